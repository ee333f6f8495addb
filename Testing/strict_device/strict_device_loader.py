"""Builds the strict device and registers it with torch as `strict:0`. This holds for the rest of the process."""

from __future__ import annotations

import os
import shutil
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

NAME = "strict:0"
_SOURCE = Path(__file__).with_name("strict_device.cpp")


class Counts(NamedTuple):
    """Since the last `reset`: copies to and from the device, calls of operators, bytes held now, most bytes held."""

    uploads: int
    downloads: int
    launches: int
    bytes: int
    peak: int


class StrictDevice:
    """The device. Its tensors cannot be mixed with those of the CPU; the memory that it holds is counted.

    Attributes:
        name: as torch takes it.
    """

    name = NAME

    def __init__(self, extension: types.ModuleType) -> None:
        self._extension = extension
        self.reset: Callable[[], None] = extension.reset

    @property
    def counts(self) -> Counts:
        """See `Counts`."""
        return Counts(*self._extension.counts())

    @contextmanager
    def limited(self, free: int) -> Iterator[None]:
        """Within it, allocations beyond `free` further bytes raise `torch.OutOfMemoryError`."""
        self._extension.set_limit(self.counts.bytes + free)
        try:
            yield
        finally:
            self._extension.set_limit(0)


def reason_to_skip() -> str | None:
    """Why the device cannot be built here, or None."""
    try:
        from torch.utils.cpp_extension import is_ninja_available
    except ImportError:
        return "The strict device needs torch, which is not installed here."
    compiler = os.environ.get("CXX", "cl" if os.name == "nt" else "c++")
    if shutil.which(compiler) is None:
        return f"The strict device needs a C++ compiler; {compiler} was not found."
    if not is_ninja_available():
        return "The strict device needs ninja to be built; it was not found."
    return None


def load_strict_device() -> StrictDevice:
    """The device, built into torch's folder for extensions in the user's cache: a minute at first, then at once."""
    import torch
    from torch.utils.cpp_extension import load

    torch.utils.rename_privateuse1_backend("strict")
    torch._register_device_module("strict", _device_module())
    torch.utils.generate_methods_for_privateuse1_backend()
    warnings = [] if os.name == "nt" else ["-O1", "-w"]
    return StrictDevice(load("multicontrastsr_strict_device", [str(_SOURCE)], extra_cflags=warnings))


def _device_module() -> types.ModuleType:
    """What `torch.strict` has to offer, as `torch.cuda` does."""
    import torch

    module = types.ModuleType("torch.strict")
    module.is_available = module.is_initialized = lambda: True
    module.device_count = lambda: 1
    module.current_device = lambda: 0
    module.get_device_name = lambda device=None: "Strict device"
    module.get_amp_supported_dtype = lambda: [torch.float16, torch.bfloat16]
    module.synchronize = lambda device=None: None
    module.empty_cache = module._lazy_init = lambda: None
    module.manual_seed_all = lambda seed: None
    module._is_in_bad_fork = lambda: False
    return module
