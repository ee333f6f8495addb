"""Devices that methods compute on: CPU and CUDA GPUs."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Collection
from dataclasses import dataclass

from .errors import InputError, MethodUnavailableError


@dataclass(frozen=True)
class Device:
    """A device: `name` is the argument of calls ("cpu", "cuda:0"), `label` its text in menus."""

    name: str
    label: str


def list_devices() -> list[Device]:
    """The CPU and every usable CUDA GPU. Imports torch when it is installed; never raises."""
    devices = [Device("cpu", "CPU")]
    if importlib.util.find_spec("torch") is None:
        return devices
    try:
        import torch

        for index in range(torch.cuda.device_count()):
            torch.zeros(1, device=f"cuda:{index}")  # torch built for another driver lists GPUs that fail here
            devices.append(Device(f"cuda:{index}", f"GPU {index}: {torch.cuda.get_device_name(index)}"))
    except Exception:  # a broken torch raises errors of many types; the CPU remains
        pass
    return devices


def resolve_device(name: str, kinds: Collection[str], method: str) -> tuple[str, str | None]:
    """The device to use, and a sentence for the report or None.

    Args:
        name: "auto", "cpu", "cuda" or "cuda:N". Auto takes the first GPU for methods that can use one.
        kinds: the kinds of device that the method supports, "cpu" or "cuda" (`Method.devices`).
        method: name of the method, for messages.

    Raises:
        InputError: another form of name.
        MethodUnavailableError: the named GPU does not exist or cannot be used.
    """
    if not isinstance(name, str) or not re.fullmatch(r"auto|cpu|cuda(:\d+)?", name):
        raise InputError(f"Device is {name!r}; expected auto, cpu, cuda or cuda:N.")
    if name == "cpu" or (name == "auto" and "cuda" not in kinds):
        return "cpu", None
    if "cuda" not in kinds:
        return "cpu", f"Method {method} has no GPU version; it ran on the CPU."
    gpus = [device.name for device in list_devices() if device.name.startswith("cuda")]
    if name == "auto":
        return (gpus[0], None) if gpus else ("cpu", "No usable GPU was found; it ran on the CPU.")
    wanted = "cuda:0" if name == "cuda" else name
    if wanted not in gpus:
        raise MethodUnavailableError(
            f"Device {name!r} is not there; found {', '.join(['cpu', *gpus])}. Choose one of these, or auto."
        )
    return wanted, None
