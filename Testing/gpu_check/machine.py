"""What the figures depend on, and the device's memory and clock."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

import MultiContrastSRLib as mc
from MultiContrastSRLib.core.devices import list_devices
from MultiContrastSRLib.methods import all_methods


class Machine:
    """The device to check.

    Args:
        device: as of `resolve_device`.
    """

    def __init__(self, device: str) -> None:
        self.device = device
        self._module = getattr(torch, device.partition(":")[0], None)

    def describe(self) -> dict[str, Any]:
        """JSON-able."""
        label = next(found.label for found in list_devices() if found.name == self.device)
        return {
            "device": self.device,
            "name": label,
            "cuda": torch.version.cuda,
            "processor": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "python": platform.python_version(),
            "torch": torch.__version__,
            "version": mc.__version__,
        }

    def finish(self) -> None:
        """Wait for what was launched on the device."""
        if hasattr(self._module, "synchronize"):
            self._module.synchronize()

    def seconds(self, work: Callable[[], object]) -> float:
        """How long `work` takes, with what it launches."""
        self.finish()
        begin = time.perf_counter()
        work()
        self.finish()
        return time.perf_counter() - begin

    def repeated(self, work: Callable[[], object], most: float = 4.0) -> list[float]:
        """Seconds of up to 20 runs after a first one that does not count, within about `most` seconds."""
        self.seconds(work)
        begin, found = time.perf_counter(), []
        while not found or (len(found) < 20 and time.perf_counter() - begin < most):
            clear_caches()
            found.append(self.seconds(work))
        return found

    def peak(self, work: Callable[[], object]) -> float | None:
        """MiB that `work` needs of the device's memory at most; None where the device does not count."""
        if not hasattr(self._module, "max_memory_allocated"):
            work()
            return None
        self.finish()
        self._module.empty_cache()
        before = self._module.memory_allocated()
        self._module.reset_peak_memory_stats()
        work()
        return (self._module.max_memory_allocated() - before) / 2**20


def clear_caches() -> None:
    """Let no method reuse an earlier fit."""
    for method in all_methods():
        method.clear_cache()


def milliseconds(times: list[float], quantile: float = 0.5) -> float:
    """The quantile of `times`, in ms."""
    if len(times) == 1:
        return 1e3 * times[0]
    return 1e3 * statistics.quantiles(times, n=100, method="inclusive")[round(100 * quantile) - 1]
