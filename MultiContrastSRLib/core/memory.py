"""Memory estimates, made before work starts, and the memory that is available."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Sequence

from .errors import NotEnoughMemoryError

_USABLE = 0.9  # share of the available memory; the rest is for other programs


def available_memory() -> int:
    """Bytes that can be allocated now, without swapping; a large number where the system does not say."""
    if sys.platform == "win32":
        return _windows_available()
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            for line in lines:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:  # macOS does not report available pages; half of all memory is assumed
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    except (ValueError, OSError):
        return 1 << 62


if sys.platform == "win32":

    def _windows_available() -> int:
        class Status(ctypes.Structure):
            _fields_ = [("length", ctypes.c_ulong), ("load", ctypes.c_ulong)] + [
                (name, ctypes.c_ulonglong)
                for name in (
                    "total",
                    "available",
                    "total_page",
                    "available_page",
                    "total_virtual",
                    "available_virtual",
                    "extended",
                )
            ]

        status = Status()
        status.length = ctypes.sizeof(Status)
        ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status))
        return int(status.available)


def check_memory(what: str, shape: Sequence[int], copies: float, remedy: str) -> int:
    """Bytes needed for `copies` float32 arrays of `shape` (k, j, i).

    Raises:
        NotEnoughMemoryError: more than is available; the message says both and the remedy.
    """
    needed = 4.0 * copies
    for n in shape:
        needed *= n
    available = available_memory()
    if needed > _USABLE * available:
        raise NotEnoughMemoryError(
            f"{what} of {' × '.join(str(n) for n in shape)} samples (slices × rows × columns) needs about "
            f"{needed / 1e9:.1f} GB; {available / 1e9:.1f} GB are free. {remedy}"
        )
    return int(needed)
