"""How devices are found, chosen and left, with an accelerator that torch reports itself."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="Accelerators need torch, which is not installed here.")

from strict_comparison import Memory, equal, scans, super_resolved  # noqa: E402
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402
from torch.utils._pytree import tree_leaves  # noqa: E402

from MultiContrastSRLib.core import devices  # noqa: E402
from MultiContrastSRLib.core.devices import Device, list_devices, preferred_device, resolve_device  # noqa: E402
from MultiContrastSRLib.core.errors import InputError, MethodUnavailableError  # noqa: E402

pytestmark = pytest.mark.slow

ANY = ("cpu", "accelerator")


@pytest.fixture(autouse=True)
def unknown_yet():
    devices._works.cache_clear()


def test_listing_computes_nothing_on_the_device(strict_device):
    strict_device.reset()
    found = list_devices()
    assert found == [Device("cpu", "CPU"), Device("strict:0", "GPU 0: Strict device")]
    assert preferred_device(found).name == "strict:0" and strict_device.counts.launches == 0
    assert list_devices(("cpu", "cuda")) == list_devices(("cpu",)) == found[:1]


def test_a_device_is_chosen_once_it_computed(strict_device):
    memory = Memory(strict_device, lambda: resolve_device("auto", ANY, "swift"))
    assert memory.result == ("strict:0", None) and memory.launches > 0 and memory.left == 0
    assert resolve_device("strict", ANY, "swift") == resolve_device("strict:0", ANY, "swift") == ("strict:0", None)
    assert resolve_device("cpu", ANY, "swift") == resolve_device("auto", ("cpu",), "linear") == ("cpu", None)
    with pytest.raises(MethodUnavailableError, match="'strict:1' is not there; found cpu, strict:0"):
        resolve_device("strict:1", ANY, "swift")
    with pytest.raises(InputError, match="Device is 'tpu'; expected auto, cpu, cuda"):
        resolve_device("tpu", ANY, "swift")


def test_a_device_that_the_installed_torch_does_not_know_is_named_with_the_remedy(strict_device, monkeypatch):
    def fails(*_: object) -> None:
        raise RuntimeError("CUDA error: no kernel image is available for execution on the device\nCompile with …")

    monkeypatch.setattr(torch.nn.functional, "conv2d", fails)
    device, note = resolve_device("auto", ANY, "swift")
    assert device == "cpu" and note.startswith(
        "GPU 0: Strict device (strict:0) cannot be used by the installed PyTorch: CUDA error: no kernel image is "
        "available for execution on the device. It ran on the CPU. Install a PyTorch build for it"
    )
    with pytest.raises(MethodUnavailableError, match=r"no kernel image is available .* Install a PyTorch build"):
        resolve_device("strict:0", ANY, "swift")
    monkeypatch.undo()
    assert resolve_device("auto", ANY, "swift") == ("strict:0", None)  # it is asked again


def test_guided_runs_on_the_cpu_and_says_so(strict_device):
    memory = Memory(strict_device, lambda: super_resolved("guided", "strict:0", scans()[1]))
    assert memory.launches == 0 and memory.result.report.device == "cpu"
    assert "Method guided has no GPU version; it ran on the CPU." in memory.result.report.notes
    assert equal(memory.result.volume.array, super_resolved("guided", "cpu", scans()[1]).volume.array)


class Float64Refused(TorchDispatchMode):
    """Within it, no tensor of float64 is made on the device."""

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        made = function(*arguments, **(keywords or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, torch.Tensor) and tensor.device.type == "strict":
                assert tensor.dtype != torch.float64, function
        return made


@pytest.mark.parametrize("method", ["swift", "dinet", "joint-nonlocal", "subject-inr"])
def test_devices_without_float64_are_given_none(method, strict_device, monkeypatch):
    with pytest.raises(AssertionError), Float64Refused():
        torch.ones(2, dtype=torch.float64).to(strict_device.name)
    for user in ("acquisition.arrays", "joint.channel", "joint.solver"):
        monkeypatch.setattr(f"MultiContrastSRLib.{user}.has_float64", lambda device_type: False)
    with Float64Refused():
        result = super_resolved(method, strict_device.name, scans()[1])
    assert result.report.device == strict_device.name and result.report.warnings == ()
    assert equal(result.volume.array, super_resolved(method, "cpu", scans()[1]).volume.array)
