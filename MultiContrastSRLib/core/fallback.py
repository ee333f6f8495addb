"""What is done where a device runs out of memory or fails: smaller pieces, then the CPU, with a warning."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TypeVar

import numpy as np

Result = TypeVar("Result")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device's memory did not suffice, in the form of any version and device of PyTorch."""
    torch = sys.modules.get("torch")
    # torch.OutOfMemoryError is there since PyTorch 2.5, torch.cuda.OutOfMemoryError is the same or earlier; the memory
    # of MPS and of libraries such as cuDNN ends in a RuntimeError
    types = [getattr(module, "OutOfMemoryError", None) for module in (torch, getattr(torch, "cuda", None))]
    if any(isinstance(error, kind) for kind in types if kind is not None):
        return True
    return isinstance(error, RuntimeError) and "out of memory" in str(error).lower()


def release_memory(device: str) -> None:
    """Return the memory that PyTorch holds for later use on `device` to other programs; none for the CPU."""
    import torch

    empty_cache = getattr(getattr(torch, device.partition(":")[0], None), "empty_cache", None)
    if device != "cpu" and empty_cache is not None:
        with suppress(RuntimeError):  # of a device that failed
            empty_cache()


def retry_smaller(work: Callable[[], Result], smaller: Callable[[], Result] | None, device: str) -> Result:
    """`work()`, or `smaller()` where the memory of `device` does not suffice.

    Args:
        smaller: does the same in smaller pieces; None where they cannot be smaller.

    Raises:
        RuntimeError: memory does not suffice for the smallest pieces.
    """
    try:
        return work()
    except RuntimeError as error:
        if smaller is None or not is_out_of_memory(error):
            raise
    # outside the handler, which would keep the failed attempt's tensors alive
    release_memory(device)
    return smaller()


def in_halves(
    work: Callable[[range, str], tuple[np.ndarray, ...]], numbers: range, device: str
) -> tuple[np.ndarray, ...]:
    """`work(numbers, device)`, in halves of halves where the device's memory does not suffice.

    Args:
        work: returns arrays (numbers, …) for some of the numbers.
    """

    def halves() -> tuple[np.ndarray, ...]:
        parts = [in_halves(work, part, device) for part in (numbers[:half], numbers[half:])]
        return tuple(np.concatenate(pair) for pair in zip(*parts, strict=True))

    half = len(numbers) // 2
    return retry_smaller(partial(work, numbers, device), halves if half else None, device)


class FallbackDevice:
    """A device for a task; the CPU once it has failed.

    Args:
        name: "cpu", "cuda:0", ….
        task: subject of the warning: "the network".

    Attributes:
        name: of the device that is used now.
        warnings: sentences for the report.
    """

    def __init__(self, name: str, task: str) -> None:
        self.name, self._task = name, task
        self.warnings: tuple[str, ...] = ()

    def run(self, work: Callable[[str], Result]) -> Result:
        """`work(name)`, on the CPU if it fails on another device.

        Any RuntimeError counts as the device's, and any TypeError, which is how MPS refuses number formats: one that
        is not is raised again on the CPU.

        Args:
            work: must leave nothing on the device and find its data in host memory when it is called again.
        """
        failed = self.name
        try:
            return work(failed)
        except (RuntimeError, TypeError) as error:
            if failed == "cpu":
                raise
            reason = "ran out of memory" if is_out_of_memory(error) else f"failed ({_first_line(error)})"
        # outside the handler, which would keep the failed attempt's tensors alive
        release_memory(failed)
        self.name = "cpu"
        self.warnings += (f"{failed} {reason}; {self._task} ran on the CPU.",)
        return work("cpu")


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0].rstrip(".") or type(error).__name__
