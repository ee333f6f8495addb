"""A persistent thread for the heavy work. It touches no Qt, no VTK and no MRML: arrays in, arrays out."""

from __future__ import annotations

import queue
import threading
import traceback
import weakref
from collections.abc import Callable
from typing import Any


class Job:
    """Work for the worker: its progress, its result, and a way to cancel it.

    Attributes:
        progress: latest (fraction in [0, 1], stage).
        finished: set once `result` or `error` is there.
        traceback: of `error`, as text, for the log.
    """

    def __init__(self, work: Callable[..., Any]) -> None:
        self._work: Callable[..., Any] | None = work
        self._cancel = threading.Event()
        self._discarded = False
        self.progress: tuple[float, str] = (0.0, "")
        self.finished = threading.Event()
        self.result: Any = None
        self.error: BaseException | None = None
        self.traceback = ""

    def cancel(self) -> None:
        """Ask the work to stop at its next check."""
        self._cancel.set()

    def drop_result(self) -> None:
        """Release the result, also one that is still to come."""
        self._discarded = True
        self.result = None

    def report(self, fraction: float, stage: str) -> None:
        """Set the progress of the work; called on the worker's thread."""
        self.progress = (fraction, stage)

    def run(self) -> None:
        """Do the work (on the worker's thread): `work(progress=…, cancel=…)`."""
        try:
            self.result = self._work(progress=self.report, cancel=self._cancel.is_set)
        except BaseException as error:  # nothing may end the thread; the job carries the error
            self.traceback = traceback.format_exc()
            self.error = error
            _drop_frames(error)
        finally:
            self._work = None  # with it go the input arrays
            if self._discarded:
                self.result = None
            self.finished.set()


class Worker:
    """A daemon thread that does one job after the other. It starts with the first job and ends with its worker.

    Each owner has a worker of its own, so that stopping one leaves the jobs of others alone.
    """

    def __init__(self, name: str = "MultiContrastSR worker") -> None:
        self._name = name
        self._thread: threading.Thread | None = None
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._end: weakref.finalize | None = None

    def submit(self, work: Callable[..., Any]) -> Job:
        """Queue `work(progress=callable(fraction, stage), cancel=callable() -> bool)`."""
        if self._thread is None:
            self._jobs = queue.SimpleQueue()
            self._thread = threading.Thread(target=_do_jobs, args=(self._jobs,), name=self._name, daemon=True)
            self._thread.start()
            self._end = weakref.finalize(self, self._jobs.put, None)  # also without a call of `stop`
            self._end.atexit = False
        job = Job(work)
        self._jobs.put(job)
        return job

    def stop(self, timeout: float = 2.0) -> bool:
        """End the thread after the jobs in its queue (cancel them first). Whether it ended within `timeout` seconds."""
        if self._thread is None:
            return True
        self._end()
        self._thread.join(timeout)
        ended = not self._thread.is_alive()
        self._thread = None
        return ended


def _do_jobs(jobs: queue.SimpleQueue[Job | None]) -> None:
    while (job := jobs.get()) is not None:
        job.run()
        del job  # an idle worker holds no volume


def _drop_frames(error: BaseException | None) -> None:
    """Release the frames of an error and of its causes: they would keep all arrays of the run alive."""
    while error is not None:
        error.__traceback__ = None
        error = error.__cause__ or error.__context__
