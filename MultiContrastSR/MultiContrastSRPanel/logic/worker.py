"""One persistent thread for the heavy work. It touches no Qt, no VTK and no MRML: arrays in, arrays out."""

from __future__ import annotations

import queue
import threading
import traceback
from collections.abc import Callable
from typing import Any


class Job:
    """Work handed to the worker: what it says (progress), what it hears (cancel), what comes out.

    Attributes:
        progress: latest (fraction in [0, 1], stage).
        finished: set once `result` or `error` is there.
        traceback: of `error`, as text, for the log.
    """

    def __init__(self, work: Callable[..., Any]) -> None:
        self._work: Callable[..., Any] | None = work
        self._cancel = threading.Event()
        self._unwanted = False
        self.progress: tuple[float, str] = (0.0, "")
        self.finished = threading.Event()
        self.result: Any = None
        self.error: BaseException | None = None
        self.traceback = ""

    def cancel(self) -> None:
        """Ask the work to stop at its next check."""
        self._cancel.set()

    def drop_result(self) -> None:
        """Forget what came out, also when it is still to come: nobody will ask for it."""
        self._unwanted = True
        self.result = None

    def report(self, fraction: float, stage: str) -> None:
        """Take note of the work's progress; the latest counts."""
        self.progress = (fraction, stage)

    def run(self) -> None:
        """Do the work (on the worker's thread): `work(progress=…, cancel=…)`."""
        try:
            self.result = self._work(progress=self.report, cancel=self._cancel.is_set)
        except BaseException as error:  # nothing may end the thread; whoever waits for the job gets the error
            self.traceback = traceback.format_exc()
            self.error = error
            _drop_frames(error)
        finally:
            self._work = None  # with it go the input arrays
            if self._unwanted:
                self.result = None
            self.finished.set()


class Worker:
    """A daemon thread that does one job after the other. It starts with the first job and then stays."""

    def __init__(self, name: str = "MultiContrastSR worker") -> None:
        self._name = name
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def submit(self, work: Callable[..., Any]) -> Job:
        """Queue `work(progress=callable(fraction, stage), cancel=callable() -> bool)`."""
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._loop, name=self._name, daemon=True)
            self._thread.start()
        job = Job(work)
        self._jobs.put(job)
        return job

    def stop(self, timeout: float = 2.0) -> bool:
        """End the thread after the job in hand (cancel that first). Whether it ended within `timeout` seconds."""
        if self._thread is None:
            return True
        self._jobs.put(None)
        self._thread.join(timeout)
        ended = not self._thread.is_alive()
        self._thread = None
        return ended

    def _loop(self) -> None:
        jobs = self._jobs
        while (job := jobs.get()) is not None:
            job.run()
            del job  # an idle worker holds no volume


def _drop_frames(error: BaseException | None) -> None:
    """Forget the frames of an error and of its causes: they would keep all arrays of the run alive."""
    while error is not None:
        error.__traceback__ = None
        error = error.__cause__ or error.__context__
