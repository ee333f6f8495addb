"""Locks between processes, on one machine or on several that share a file system.

The operating system frees the lock of a process that ends, however it ends.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ..core.errors import CancelledError, FileWriteError

_PAUSE = 0.1  # s between two attempts

if sys.platform == "win32":
    import msvcrt

    _BEYOND = 1 << 30  # a locked byte cannot be read there, so one is locked that no file has

    def _try_lock(descriptor: int, *, shared: bool) -> bool:
        """Whether the lock was taken; all are exclusive."""
        os.lseek(descriptor, _BEYOND, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _share(descriptor: int) -> None:
        """Locks are exclusive."""
else:
    import fcntl

    def _try_lock(descriptor: int, *, shared: bool) -> bool:
        """Whether the lock was taken."""
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _share(descriptor: int) -> None:
        """Let others take the lock that is held, as shared too."""
        fcntl.flock(descriptor, fcntl.LOCK_SH)


@contextmanager
def locked(place: Path, cancelled: Callable[[], bool] = lambda: False) -> Iterator[bool]:
    """Hold the lock file `place`, waiting until it is free; yields whether another process held it first.

    Raises:
        FileWriteError: the file cannot be made.
        CancelledError: `cancelled()` returned True while waiting.
    """
    descriptor = _open(place)
    try:
        waited = False
        while not _try_lock(descriptor, shared=False):
            waited = True
            if cancelled():
                raise CancelledError("lock")
            time.sleep(_PAUSE)
        yield waited
    finally:
        os.close(descriptor)


@contextmanager
def same_settings(place: Path, settings: str) -> Iterator[None]:
    """Hold `place` together with every other run of the same settings.

    Raises:
        FileWriteError: a run with other settings holds it, or the file cannot be made.
    """
    descriptor = _open(place)
    try:
        deadline = time.monotonic() + 5.0
        while True:
            if _try_lock(descriptor, shared=False):  # nobody else: the settings are ours to state
                os.ftruncate(descriptor, 0)
                os.lseek(descriptor, 0, os.SEEK_SET)
                os.write(descriptor, settings.encode("utf-8"))
                _share(descriptor)
                break
            if _try_lock(descriptor, shared=True):
                os.lseek(descriptor, 0, os.SEEK_SET)
                if os.read(descriptor, 1 << 20).decode("utf-8") == settings:
                    break
                raise FileWriteError(
                    f"Output folder {place.parent.parent} is in use by another run with other settings; expected the "
                    "same recipe and input. Wait for it to end, or choose another output folder."
                )
            if time.monotonic() > deadline:
                raise FileWriteError(
                    f"Output folder {place.parent.parent} is in use by another run. Wait for it to end, or choose "
                    "another output folder."
                )
            time.sleep(_PAUSE)
        yield
    finally:
        os.close(descriptor)


def _open(place: Path) -> int:
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        return os.open(place, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise FileWriteError(
            f"Could not write {place}: {error.strerror or error}. Choose an output folder that is writable and has "
            "space."
        ) from error
