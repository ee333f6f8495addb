"""Test-time augmentation: positions of transformed slices, and the invariance of the mean over all transforms."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="Networks need torch, which is not installed here.")

from network_fixtures import perturbed, tiny_light  # noqa: E402

from MultiContrastSRLib.acquisition.axis import AxisModel  # noqa: E402
from MultiContrastSRLib.core.errors import OptionError  # noqa: E402
from MultiContrastSRLib.inference.slice_network import SliceNetwork  # noqa: E402
from MultiContrastSRLib.inference.slice_stack import SliceStack  # noqa: E402
from MultiContrastSRLib.methods import get  # noqa: E402
from MultiContrastSRLib.networks.intensity import IntensityNormalisation  # noqa: E402
from MultiContrastSRLib.networks.positions import Positions, sample_linear  # noqa: E402
from MultiContrastSRLib.networks.registry import SPECS  # noqa: E402
from MultiContrastSRLib.networks.test_time_augmentation import (  # noqa: E402
    TRANSFORMS,
    invert,
    transform,
    transform_positions,
)

PLAIN = IntensityNormalisation(torch.zeros(1, 1, 1, 1), torch.ones(1, 1, 1, 1))


@pytest.mark.parametrize("code", TRANSFORMS)
def test_transformed_pixels_lie_at_the_same_places(code):
    torch.manual_seed(0)
    target, reference = torch.rand(1, 1, 9, 7), torch.rand(1, 1, 12, 15)
    where = Positions.regular((16, 11), ((0.5, 0.25), (0.6, -0.1)), ((0.7, 0.3), (1.2, 0.4)))
    there = transform_positions(where, code, (9, 7), (12, 15))
    for image, places, places_there in (
        (target, where.in_target, there.in_target),
        (reference, where.in_reference, there.in_reference),
    ):
        read = invert(sample_linear(transform(image, code), *places_there), code)
        assert torch.allclose(read, sample_linear(image, *places), atol=1e-6)
    assert there.step_t == ((0.6, 0.5) if code & 4 else (0.5, 0.6))
    alone = transform_positions(Positions.regular((4, 6), ((0.5, 0.0), (0.5, 0.0))), code, (2, 3), None)
    assert alone.rows_r is None and alone.shape == ((6, 4) if code & 4 else (4, 6))


def test_there_are_eight_transforms():
    ramp = torch.arange(12.0).view(3, 4)
    assert len({tuple(transform(ramp, code).flatten().tolist()) for code in TRANSFORMS}) == 8
    assert all(torch.equal(invert(transform(ramp, code), code), ramp) for code in TRANSFORMS)


def stack(measured: tuple[int, int], factor: float) -> SliceStack:
    """Noise, on a lattice that is its own mirror image: odd numbers in k-space."""
    rng = np.random.default_rng(3)
    axes = tuple(AxisModel("kspace", n, factor) for n in measured)
    shape = tuple(round(n * factor) for n in measured)
    sizes = (measured, shape, shape)
    target, base, reference = (torch.from_numpy(rng.random((2, *size), dtype=np.float32)) for size in sizes)
    return SliceStack(axes, target, base, reference)


def transformed(images: SliceStack, code: int) -> SliceStack:
    there = [transform(image, code) for image in (images.target, images.base, images.reference)]
    return SliceStack(images.axes[::-1] if code & 4 else images.axes, *there)


def predicted(net: torch.nn.Module, images: SliceStack, augmentation: int = 1) -> torch.Tensor:
    network = SliceNetwork(net, "cpu", augmentation)
    return network.run(lambda _: network(images, PLAIN, PLAIN))


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        *((name, {"base": "guided"}) for name in SPECS),
        *((name, {"base": "none"}) for name in ("dual-arbnet", "dinet", "minet")),
    ],
)
def test_the_mean_over_all_transforms_is_invariant(name, changes):
    torch.manual_seed(1)
    net = perturbed(tiny_light(name, **changes))
    images = stack((15, 21) if name != "minet" else (16, 22), 3.0 if name != "minet" else 2.0)
    one, mean = predicted(net, images), predicted(net, images, 8)
    scale = (one - images.base).abs().max()
    assert (mean - one).abs().max() > 1e-3 * scale  # the network alone does know
    for code in (3, 4, 6) if name != "minet" else (4,):  # an even lattice is not its own mirror image
        back = invert(predicted(net, transformed(images, code), 8), code)
        assert (back - mean).abs().max() < 1e-4 * scale


@pytest.mark.parametrize("name", ["swift", "dual-arbnet", "dinet"])
def test_every_image_is_transformed(name):
    """Target, reference and base image; the mean is that of the predictions, each transformed back."""
    torch.manual_seed(1)
    net, images = perturbed(tiny_light(name, base="guided")), stack((15, 21), 3.0)
    each = [invert(predicted(net, transformed(images, code)), code) for code in TRANSFORMS[:4]]
    assert (sum(each) / 4 - predicted(net, images, 4)).abs().max() < 1e-5
    assert (each[1] - each[0]).abs().max() > 1e-3


def test_their_number_is_an_option():
    for name in SPECS:
        assert get(name).check_options({})["test_time_augmentation"] == 1
    with pytest.raises(OptionError, match="from 1 to 8"):
        get("dinet").check_options({"test_time_augmentation": 9})
