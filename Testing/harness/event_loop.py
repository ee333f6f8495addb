"""Runs Qt's loop until something is true, the way PySide6 does it or the way Slicer does it.

PySide6 releases Python's lock (the GIL) while Qt idles; the Slicer application holds it, so that a Python worker thread
starves there unless the main thread yields. `hold_gil()` switches to Slicer's way: Qt's C++ loop is entered through
`ctypes.PyDLL`, which keeps the lock. Python then runs only in slots, as in Slicer, and in the caller's check of its
condition, once every `_LOOK_EVERY` milliseconds.
"""

import contextlib
import ctypes
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import PySide6
import shiboken6
from PySide6 import QtCore

_LOOK_EVERY = 100  # ms between two looks at the condition while the GIL is held; each look lets a worker run once
_holding = False


class _HeldLoop:
    """QEventLoop::exec and QCoreApplication::processEvents called without letting go of the GIL."""

    def __init__(self):
        path = next(Path(PySide6.__file__).parent.glob("Qt/lib/libQt6Core.so.6"), "libQt6Core.so.6")
        library = ctypes.PyDLL(str(path))
        self._exec = library["_ZN10QEventLoop4execE6QFlagsINS_17ProcessEventsFlagEE"]
        self._exec.argtypes, self._exec.restype = [ctypes.c_void_p, ctypes.c_int], ctypes.c_int
        self._process = library["_ZN16QCoreApplication13processEventsE6QFlagsIN10QEventLoop17ProcessEventsFlagEE"]
        self._process.argtypes, self._process.restype = [ctypes.c_int], None

    def run(self, milliseconds: int) -> None:
        loop, timer = QtCore.QEventLoop(), QtCore.QTimer()
        timer.setSingleShot(True)
        timer.timeout.connect(loop.quit)  # C++ to C++: no Python runs when it fires
        timer.start(milliseconds)
        self._exec(shiboken6.getCppPointer(loop)[0], 0)

    def process_events(self, *_flags) -> None:
        self._process(0)


_held_loop: _HeldLoop | None = None
_process_released = QtCore.QCoreApplication.processEvents


def _run_released(milliseconds: int) -> None:
    loop = QtCore.QEventLoop()
    QtCore.QTimer.singleShot(milliseconds, loop.quit)
    loop.exec()


@contextlib.contextmanager
def hold_gil() -> Iterator[None]:
    """Within the block the loop (and `process_events`) idles with the GIL held, as in the Slicer application."""
    global _holding, _held_loop
    _held_loop = _held_loop or _HeldLoop()
    before, _holding = _holding, True
    try:
        yield
    finally:
        _holding = before


def gil_held() -> bool:
    """Whether `hold_gil()` is in force."""
    return _holding


def process_events(*flags) -> None:
    """Handle what is pending and return."""
    if _holding:
        _held_loop.process_events(*flags)
    else:
        _process_released(*flags)


def install() -> None:
    """Make every `processEvents` that a module can call obey `hold_gil()`."""
    QtCore.QCoreApplication.processEvents = staticmethod(process_events)


def run_for(seconds: float) -> None:
    """Let the loop run for a time."""
    milliseconds = max(1, round(seconds * 1000))
    if _holding:
        _held_loop.run(milliseconds)
    else:
        _run_released(milliseconds)


def wait(condition: Callable[[], object], timeout: float = 10.0, why: str = "") -> float:
    """Let the loop run until `condition()` is true; return the seconds that took, or raise TimeoutError."""
    start = time.perf_counter()
    pause = (_LOOK_EVERY if _holding else 5) / 1000
    while not condition():
        left = timeout - (time.perf_counter() - start)
        if left <= 0:
            mode = " with the GIL held" if _holding else ""
            raise TimeoutError(f"not so after {timeout:g} s{mode}: {why or 'the awaited condition'}")
        run_for(min(pause, left))
    return time.perf_counter() - start
