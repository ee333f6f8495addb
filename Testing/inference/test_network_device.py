"""Networks on another device than the CPU: what they are given lies there, also after a fall-back to the CPU."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="Networks need torch, which is not installed here.")

from MultiContrastSRLib.acquisition.axis import AxisModel  # noqa: E402
from MultiContrastSRLib.core.progress import Monitor  # noqa: E402
from MultiContrastSRLib.core.threads import single_threaded  # noqa: E402
from MultiContrastSRLib.inference.slice_network import SliceNetwork, volume_normalisation  # noqa: E402
from MultiContrastSRLib.inference.slice_stack import SliceStack  # noqa: E402
from MultiContrastSRLib.networks.registry import light  # noqa: E402


class Seen(list):
    """The same list for copies of a network."""

    def __deepcopy__(self, memo: dict) -> Seen:
        return self


class Stub(torch.nn.Module):
    """Stands for a network: remembers the devices of its inputs and returns its base image, on the CPU.

    Args:
        enough_memory: whether it fits into the memory of a device other than the CPU.
    """

    def __init__(self, enough_memory: bool) -> None:
        super().__init__()
        self.spec, self.reach = light("swift", base="guided"), None
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.enough_memory, self.devices = enough_memory, Seen()

    def forward(self, target, reference, positions, base=None):
        self.devices.append({x.device.type for x in (target, reference, base, self.weight)})
        if target.device.type != "cpu" and not self.enough_memory:
            raise torch.cuda.OutOfMemoryError("out of memory")  # its name before PyTorch 2.5
        return base if base.device.type == "cpu" else torch.zeros(base.shape, device=base.device)


def stack() -> SliceStack:
    rng = np.random.default_rng(0)
    target, base, reference = (50 * torch.from_numpy(rng.random((2, n, n))).float() for n in (12, 24, 24))
    return SliceStack((AxisModel("kspace", 12, 2.0),) * 2, target, base, reference)


def made_by(network: SliceNetwork, images: SliceStack) -> np.ndarray:
    """The network's images of a stack, in batches."""
    intensities = [volume_normalisation(x.numpy(), network.spec) for x in (images.target, images.reference)]

    def work(numbers: range, device: str, monitor: Monitor) -> tuple[np.ndarray]:
        tensors = (images.target, images.base, images.reference)
        part = SliceStack(images.axes, *(x[numbers.start : numbers.stop].to(device) for x in tensors))
        return (network(part, *intensities).cpu().numpy(),)

    with single_threaded():  # on the CPU, too, both slices at once
        return network.in_batches(range(len(images.base)), tuple(images.base.shape[1:]), work)[0]


def test_a_network_sees_images_and_intensities_on_its_own_device():
    net, images = Stub(enough_memory=True), stack()
    network = SliceNetwork(net, "meta")
    made = made_by(network, images)  # a meta tensor holds no numbers to bring back
    assert net.devices == [{"meta"}, {"cpu"}, {"cpu"}] and network.device == "cpu"
    (warning,) = network.warnings
    assert warning.startswith("meta failed (") and warning.endswith("; the network ran on the CPU.")
    assert np.abs(made - images.base.numpy()).max() < 1e-4


def test_after_running_out_of_memory_the_same_is_made_on_the_cpu():
    net, images = Stub(enough_memory=False), stack()
    network = SliceNetwork(net, "meta")
    made = made_by(network, images)
    assert net.devices == [{"meta"}, {"meta"}, {"cpu"}, {"cpu"}]  # both slices, one, then each on the CPU
    assert network.device == "cpu"
    assert network.warnings == ("meta ran out of memory; the network ran on the CPU.",)
    assert np.abs(made - images.base.numpy()).max() < 1e-4
