"""Number formats of a network's layers, and batches that fit into a device's memory."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="Networks need torch, which is not installed here.")

import MultiContrastSRLib as mc  # noqa: E402
from MultiContrastSRLib.inference import slice_network  # noqa: E402
from MultiContrastSRLib.inference.precision import computing_in  # noqa: E402
from MultiContrastSRLib.inference.slice_network import SliceNetwork  # noqa: E402
from MultiContrastSRLib.networks.registry import build, light  # noqa: E402
from MultiContrastSRLib.samples.phantom import head_phantom  # noqa: E402

ALLOWED = 1e-3  # of the image's range
GRID = mc.Grid((1, 96, 88), np.array([[2.0, 0, 0, -87], [0, 2.0, 0, -95], [0, 0, 4.0, 12], [0, 0, 0, 1]]))


def test_float32_is_float32_on_gpus_and_other_types_are_autocast():
    before = torch.backends.cudnn.allow_tf32
    with computing_in("auto", "cuda"):
        assert not torch.backends.cudnn.allow_tf32 and torch.backends.cudnn.enabled
    assert torch.backends.cudnn.allow_tf32 == before
    with computing_in("bfloat16", "cpu"):
        assert torch.nn.functional.linear(torch.ones(1, 2), torch.ones(3, 2)).dtype is torch.bfloat16


@pytest.mark.slow
@pytest.mark.parametrize("method", ["swift", "dual-arbnet"])
def test_the_error_of_float16_is_small_with_the_weights_that_ship(method):
    truth, reference = head_phantom("T2", GRID, noise=2.0), head_phantom("T1", GRID, noise=2.0, seed=1)
    options = {"method": method, "scale": (1, 2, 2), "register": "off", "test_time_augmentation": 1, "device": "cpu"}
    images = [
        mc.super_resolve(mc.degrade(truth, "kspace", 2), reference, precision=precision, **options).volume.array
        for precision in ("float32", "float16", "auto")
    ]
    assert 0 < np.abs(images[1] - images[0]).max() <= ALLOWED * np.ptp(images[0])
    assert np.array_equal(images[2], images[0])


def test_a_batch_takes_half_of_the_devices_free_memory(monkeypatch):
    network, shape = SliceNetwork(build(light("swift", base="guided")), "cpu"), (256, 256)
    assert network.batch_size(shape) == 2
    for free, slices in ((1 << 30, 2), (8 << 30, 16), (1 << 40, 64), (1000, 1)):
        monkeypatch.setattr(slice_network, "free_memory", lambda _, free=free: free)
        assert network.batch_size(shape) == slices
