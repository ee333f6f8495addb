"""Devices and what is done when one fails, with stand-ins for the GPUs of a machine."""

from __future__ import annotations

import types

import pytest

torch = pytest.importorskip("torch", reason="GPUs need torch, which is not installed here.")

from MultiContrastSRLib.core import devices  # noqa: E402
from MultiContrastSRLib.core.devices import Device, list_devices, preferred_device, resolve_device  # noqa: E402
from MultiContrastSRLib.core.errors import MethodUnavailableError  # noqa: E402
from MultiContrastSRLib.core.fallback import FallbackDevice, is_out_of_memory, retry_smaller  # noqa: E402

ANY = ("cpu", "accelerator")


@pytest.fixture
def two_gpus(monkeypatch) -> list[str]:
    """Two GPUs, of which the installed torch does not know the first; the devices that something was computed on."""
    module = types.SimpleNamespace(device_count=lambda: 2, get_device_name=["Old", "New"].__getitem__)
    computed = []

    def works(name: str) -> bool:
        computed.append(name)
        if name == "cuda:0":
            raise RuntimeError("no kernel image is available")
        return True

    monkeypatch.setattr(devices, "_accelerators", lambda: [("cuda", module)])
    monkeypatch.setattr(devices, "_works", works)
    return computed


def test_listing_gpus_touches_none(two_gpus):
    found = list_devices()
    assert found == [Device("cpu", "CPU"), Device("cuda:0", "GPU 0: Old"), Device("cuda:1", "GPU 1: New")]
    assert preferred_device(found).name == "cuda:0" and preferred_device(found[:1]).name == "cpu" and two_gpus == []
    assert list_devices(("cpu",)) == list_devices(("cpu", "xpu")) == found[:1]


def test_auto_passes_over_a_gpu_that_does_not_compute(two_gpus):
    device, note = resolve_device("auto", ANY, "swift")
    assert device == "cuda:1" and two_gpus == ["cuda:0", "cuda:1"]
    assert note == "GPU 0: Old (cuda:0) cannot be used by the installed PyTorch: no kernel image is available."


def test_only_the_gpu_that_is_asked_for_is_touched(two_gpus):
    assert resolve_device("cuda:1", ("cpu", "cuda"), "swift") == ("cuda:1", None) and two_gpus == ["cuda:1"]
    with pytest.raises(MethodUnavailableError, match=r"GPU 0: Old .* cannot be used .* or choose cpu"):
        resolve_device("cuda", ANY, "swift")
    with pytest.raises(MethodUnavailableError, match="'mps' is not there; found cpu, cuda:0, cuda:1"):
        resolve_device("mps", ANY, "swift")


def test_a_torch_that_is_broken_leaves_the_cpu(monkeypatch):
    def broken() -> None:
        raise OSError("libcuda.so: no such file")

    monkeypatch.setattr(devices, "_accelerators", broken)
    assert list_devices() == [Device("cpu", "CPU")]
    assert resolve_device("auto", ANY, "swift") == ("cpu", "No usable GPU was found; it ran on the CPU.")


@pytest.mark.parametrize("older", [False, True])
def test_out_of_memory_is_recognised_in_all_its_forms(older, monkeypatch):
    errors = [torch.cuda.OutOfMemoryError("full"), RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)")]
    if older:  # before PyTorch 2.5
        monkeypatch.delattr(torch, "OutOfMemoryError", raising=False)
    assert all(map(is_out_of_memory, errors))
    assert not is_out_of_memory(RuntimeError("device-side assert")) and not is_out_of_memory(
        MemoryError("out of memory")
    )


def test_work_is_repeated_in_smaller_pieces_only_when_memory_is_short():
    def full() -> str:
        raise torch.cuda.OutOfMemoryError("full")

    def wrong() -> str:
        raise RuntimeError("sizes differ")

    assert retry_smaller(full, lambda: "halves", "cpu") == "halves"
    with pytest.raises(torch.cuda.OutOfMemoryError):
        retry_smaller(full, None, "cpu")
    with pytest.raises(RuntimeError, match="sizes differ"):
        retry_smaller(wrong, lambda: "halves", "cpu")


@pytest.mark.parametrize("kind", [RuntimeError, NotImplementedError, TypeError])
def test_errors_that_are_not_the_devices_come_again_on_the_cpu(kind):
    device, tried = FallbackDevice("cuda:0", "the network"), []

    def wrong(name: str) -> None:
        tried.append(name)
        raise kind("sizes differ")

    with pytest.raises(kind, match="sizes differ"):
        device.run(wrong)
    assert tried == ["cuda:0", "cpu"]
    with pytest.raises(kind, match="sizes differ"):  # there is nowhere left to go
        device.run(wrong)
    assert tried == ["cuda:0", "cpu", "cpu"] and len(device.warnings) == 1


@pytest.mark.parametrize(("of_each", "expected"), [([True, True], True), ([True, False], False)])
def test_intels_gpus_say_whether_they_compute_in_float64(of_each, expected, monkeypatch):
    properties = [types.SimpleNamespace(has_fp64=has) for has in of_each]
    monkeypatch.setattr(torch.xpu, "device_count", lambda: len(properties))
    monkeypatch.setattr(torch.xpu, "get_device_properties", properties.__getitem__)
    devices.has_float64.cache_clear()
    assert devices.has_float64("xpu") == expected and devices.has_float64("cuda")
    devices.has_float64.cache_clear()
