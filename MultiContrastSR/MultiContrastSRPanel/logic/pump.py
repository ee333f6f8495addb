"""Brings a job's progress and end to the main thread, and gives the worker's thread time to run meanwhile."""

from __future__ import annotations

from collections.abc import Callable

import qt

from .worker import Job

# While Slicer's event loop is idle it holds Python's global lock (the GIL), and a Python worker thread starves. So, as
# long as there is a job, a timer waits YIELD_S for it with the lock released, then lets the loop handle events, and
# again: the worker has most of the time, the user's clicks wait for some milliseconds.
YIELD_S = 0.012
INTERVAL_MS = 1


class Pump:
    """Watches jobs from the main thread. Its timer runs only while there are any."""

    def __init__(self) -> None:
        self._watched: dict[Job, tuple[Callable[[float, str], None], Callable[[], None]]] = {}
        self._reported: dict[Job, tuple[float, str]] = {}
        self._timer = qt.QTimer()
        self._timer.setInterval(INTERVAL_MS)
        self._timer.connect("timeout()", self._on_timeout)

    def watch(self, job: Job, on_progress: Callable[[float, str], None], on_finished: Callable[[], None]) -> None:
        """Call `on_progress(fraction, stage)` when it changes and `on_finished()` once, both on the main thread."""
        self._watched[job] = (on_progress, on_finished)
        self._timer.start()

    def _on_timeout(self) -> None:
        if self._watched:
            next(iter(self._watched)).finished.wait(YIELD_S)
        for job, (on_progress, on_finished) in list(self._watched.items()):
            if job not in self._watched:
                continue  # a callback opened a dialog, whose event loop ran this timer and finished the job
            ended = job.finished.is_set()
            if self._reported.get(job) != job.progress:
                self._reported[job] = job.progress
                on_progress(*job.progress)
            if ended and self._watched.pop(job, None):
                self._reported.pop(job, None)
                if not self._watched:
                    self._timer.stop()
                on_finished()
