"""Devices that methods compute on: the CPU and accelerators (GPUs by CUDA, XPU or MPS, and others that torch knows)."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from .errors import InputError, MethodUnavailableError

ACCELERATOR = "accelerator"
_KNOWN = ("cuda", "xpu", "mps")
_REMEDY = "Install a PyTorch build for it (https://pytorch.org/get-started), update its driver, or choose cpu."


@dataclass(frozen=True)
class Device:
    """A device: `name` is the argument of calls ("cpu", "cuda:0"), `label` its text in menus."""

    name: str
    label: str

    @property
    def type(self) -> str:
        """The name without its index: "cpu", "cuda", "xpu", "mps" or another type of torch."""
        return self.name.partition(":")[0]


def supports(kinds: Collection[str], device_type: str) -> bool:
    """Whether a method of these `Method.devices` runs on a device of this type.

    >>> supports(("cpu", "accelerator"), "xpu"), supports(("cpu", "cuda"), "xpu")
    (True, False)
    """
    return device_type in kinds or (ACCELERATOR in kinds and device_type != "cpu")


@cache
def has_float64(device_type: str) -> bool:
    """Whether all devices of this type compute in float64: Apple's GPUs and Intel's Arc A do not.

    >>> has_float64("cuda"), has_float64("mps")
    (True, False)
    """
    if device_type != "xpu":
        return device_type != "mps"
    import torch

    return all(torch.xpu.get_device_properties(number).has_fp64 for number in range(torch.xpu.device_count()))


def free_memory(name: str) -> int | None:
    """Bytes that can be allocated on an accelerator now; None for the CPU, and where the device does not say.

    Args:
        name: "cpu", "cuda:0", ….
    """
    import torch

    module: Any = getattr(torch, name.partition(":")[0], None)
    if not hasattr(module, "mem_get_info"):
        return None
    try:
        held_for_later = module.memory_reserved(name) - module.memory_allocated(name)
        return int(module.mem_get_info(name)[0]) + held_for_later
    except (AttributeError, RuntimeError):  # not every version and driver answers
        return None


def list_devices(kinds: Collection[str] = ("cpu", ACCELERATOR)) -> list[Device]:
    """The CPU and the accelerators of these kinds (`Method.devices`) that are installed. Never raises.

    Imports torch where `kinds` has more than the CPU. Nothing is computed on the devices, so some may turn out to be
    unusable in `resolve_device`.
    """
    devices = [Device("cpu", "CPU")]
    if set(kinds) == {"cpu"} or importlib.util.find_spec("torch") is None:
        return devices
    try:
        for device_type, module in _accelerators():
            if supports(kinds, device_type):
                devices += [_described(device_type, module, index) for index in range(module.device_count())]
    except Exception:  # a broken torch raises errors of many types; the devices found so far remain
        pass
    return devices


def preferred_device(devices: Sequence[Device]) -> Device:
    """That of `list_devices` which "auto" tries first: the first accelerator, else the CPU."""
    return devices[:2][-1]


def resolve_device(name: str, kinds: Collection[str], method: str) -> tuple[str, str | None]:
    """The device to use, and a sentence for the report or None.

    An accelerator is used only after a small convolution and a matrix product ran on it; only the one that is named, or
    those that "auto" tries, are touched.

    Args:
        name: "auto" (the first accelerator that works, else the CPU), "cpu", or one such as "cuda", "cuda:1" or "mps".
        kinds: the kinds of device that the method supports (`Method.devices`): "cpu", "accelerator" for any
            accelerator, or one type such as "cuda".
        method: name of the method, for messages.

    Raises:
        InputError: another form of name.
        MethodUnavailableError: the named accelerator does not exist or cannot be used.
    """
    if not isinstance(name, str) or not re.fullmatch(r"auto|cpu|[a-z]+(:\d+)?", name) or not _is_type(name):
        raise InputError(f"Device is {name!r}; expected auto, cpu, cuda, cuda:N, mps or xpu.")
    device_type = name.partition(":")[0]
    if name == "cpu" or (name == "auto" and set(kinds) == {"cpu"}):
        return "cpu", None
    if name == "auto":
        return _first_that_works(list_devices(kinds)[1:])
    if not supports(kinds, device_type):
        return "cpu", f"Method {method} has no GPU version; it ran on the CPU."
    found = list_devices(kinds)
    wanted = name if ":" in name else f"{name}:0"
    device = next((device for device in found if device.name == wanted), None)
    if device is None:
        names = ", ".join(device.name for device in found)
        raise MethodUnavailableError(f"Device {name!r} is not there; found {names}. Choose one of these, or auto.")
    failure = _failure(device.name)
    if failure:
        raise MethodUnavailableError(f"{_unusable(device, failure)} {_REMEDY}")
    return device.name, None


def _first_that_works(accelerators: list[Device]) -> tuple[str, str | None]:
    failures: list[str] = []
    for device in accelerators:
        failure = _failure(device.name)
        if not failure:
            return device.name, " ".join(failures) or None
        failures.append(_unusable(device, failure))
    if failures:
        return "cpu", " ".join([*failures, "It ran on the CPU.", _REMEDY])
    return "cpu", "No usable GPU was found; it ran on the CPU."


def _unusable(device: Device, failure: str) -> str:
    return f"{device.label} ({device.name}) cannot be used by the installed PyTorch: {failure.rstrip('.')}."


def _is_type(name: str) -> bool:
    device_type = name.partition(":")[0]
    if device_type in ("auto", "cpu", *_KNOWN):
        return True
    if importlib.util.find_spec("torch") is None:
        return False
    return device_type in [further for further, _ in _accelerators()]


def _accelerators() -> list[tuple[str, Any]]:
    """(type, module with `device_count`) of the accelerators that torch was built for."""
    import torch

    types = list(_KNOWN)
    if hasattr(torch, "accelerator"):  # PyTorch 2.6 and later
        current = torch.accelerator.current_accelerator()
        types += [] if current is None or current.type in types else [current.type]
    modules = [(name, getattr(torch, name, None)) for name in types]
    return [(name, module) for name, module in modules if hasattr(module, "device_count")]


def _described(device_type: str, module: Any, index: int) -> Device:
    title = module.get_device_name(index) if hasattr(module, "get_device_name") else device_type.upper()
    return Device(f"{device_type}:{index}", f"GPU {index}: {title}")


@cache
def _works(name: str) -> bool:
    """Whether the device computes what it should.

    Raises:
        Exception: the device's own, of many types; it is asked again the next time.
    """
    import torch

    with torch.inference_mode():
        image, kernel = torch.ones(1, 1, 8, 8, device=name), torch.ones(1, 1, 3, 3, device=name)
        convolved = torch.nn.functional.conv2d(image, kernel)[0, 0]  # all 9
        product = convolved @ convolved  # all 9 · 9 · 6
        return bool((product.cpu() == 486).all())


def _failure(name: str) -> str:
    """Why the device does not compute; empty where it does."""
    try:
        return "" if _works(name) else "a matrix product gave a wrong result"
    except Exception as error:  # depends on the driver
        return str(error).partition("\n")[0] or type(error).__name__
