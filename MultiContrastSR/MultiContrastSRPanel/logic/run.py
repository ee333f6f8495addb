"""A super-resolution task under way on the worker thread."""

from __future__ import annotations

import enum
import functools
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import qt
import slicer

from .fit_preview import FitPreview
from .library import library
from .pump import Pump
from .remaining_time import RemainingTime
from .task import SuperResolutionTask
from .worker import Worker

if TYPE_CHECKING:
    from slicer import vtkMRMLScalarVolumeNode

# Work looks often at whether it should stop, but a single call into a library may take its seconds. The user does not
# wait for that: after this time the run counts as cancelled, and what the worker still computes is dropped.
CANCEL_GRACE_MS = 500


class RunState(enum.Enum):
    """The states of a run; the last three are final."""

    RUNNING = "running"
    CANCELLING = "cancelling"
    DONE = "done"
    ERROR = "error"
    CANCELLED = "cancelled"


class Run:
    """A task on the worker. Callbacks come on the main thread, exactly one of done and error at the end.

    Args:
        on_done: gets the result node.
        on_error: gets the exception; a `CancelledError` after `cancel()` or when the scene was closed.
        on_progress: gets fraction, stage, seconds left (None while unknown).

    Attributes:
        state: see `RunState`.
        node, report: after DONE; `companion_node` too, where the reference was requested and made.
        error, traceback: after ERROR or CANCELLED.
    """

    def __init__(
        self,
        task: SuperResolutionTask,
        worker: Worker,
        pump: Pump,
        on_done: Callable[[vtkMRMLScalarVolumeNode], None] | None = None,
        on_error: Callable[[BaseException], None] | None = None,
        on_progress: Callable[[float, str, float | None], None] | None = None,
    ) -> None:
        self._task: SuperResolutionTask | None = task
        self._on_done, self._on_error, self._on_progress = on_done, on_error, on_progress
        self._remaining = RemainingTime(task.expected_seconds())
        self.state = RunState.RUNNING
        self.node: vtkMRMLScalarVolumeNode | None = None
        self.companion_node: vtkMRMLScalarVolumeNode | None = None
        self.report: Any = None
        self.error: BaseException | None = None
        self.traceback = ""
        scene = slicer.mrmlScene
        self._observer = (scene, scene.AddObserver(scene.StartCloseEvent, lambda caller, event: self.cancel()))
        self._preview: FitPreview | None = FitPreview(task.target)
        work = functools.partial(task.computation.run, images=self._preview.images)
        self._job, self._pump = worker.submit(work), pump
        pump.watch(self._job, self._on_job_progress, self._on_job_finished)

    @property
    def active(self) -> bool:
        """Whether it has not ended yet."""
        return self.state in (RunState.RUNNING, RunState.CANCELLING)

    @property
    def fitting(self) -> bool:
        """Whether a fit is under way that `keep` can end early."""
        return self._preview is not None and self._preview.images.begun

    def keep(self) -> None:
        """End the fit under way at its next step, and go on with its best state so far."""
        if self._preview is not None:
            self._preview.images.keep()

    def cancel(self) -> None:
        """Stop at the next check of the work, for the user within `CANCEL_GRACE_MS`. Nothing will reach the scene."""
        if self.state is RunState.RUNNING:
            self.state = RunState.CANCELLING
            self._job.cancel()
            qt.QTimer.singleShot(CANCEL_GRACE_MS, self._stop_waiting)

    def abandon(self) -> None:
        """Cancel without calling any callback."""
        self._on_done = self._on_error = self._on_progress = None
        self.cancel()

    def _stop_waiting(self) -> None:
        if self.active:  # the job is still watched, so that the worker's thread gets time to end it
            self._pump.watch(self._job, lambda fraction, stage: None, lambda: None)
            self._on_job_finished()

    def _on_job_progress(self, fraction: float, stage: str) -> None:
        if self.state is RunState.RUNNING:
            self._preview.show()
        if self._on_progress is not None and self.state is RunState.RUNNING:
            self._on_progress(fraction, stage, self._remaining.estimate(fraction))

    def _on_job_finished(self) -> None:
        scene, tag = self._observer
        scene.RemoveObserver(tag)
        self._preview.remove()
        task, self._task, self._preview = self._task, None, None
        job = self._job
        cancelled = library("core.errors").CancelledError
        try:
            if self.state is RunState.CANCELLING and (job.error is None or isinstance(job.error, cancelled)):
                self.error = cancelled(job.progress[1])  # also when the work was done before it noticed
            elif job.error is not None:
                self.error, self.traceback = job.error, job.traceback
            else:
                self.node, self.companion_node = task.store(*job.result)
                self.report = job.result[0].report
        except Exception as error:
            logging.exception("Storing the result failed.")
            self.error = error
        job.drop_result()
        if self.error is None:
            self.state = RunState.DONE
        else:
            self.state = RunState.CANCELLED if isinstance(self.error, cancelled) else RunState.ERROR
        if self.state is RunState.DONE and self._on_done is not None:
            self._on_done(self.node)
        elif self.error is not None and self._on_error is not None:
            self._on_error(self.error)
        elif self.state is RunState.ERROR:
            logging.error(f"Super-resolution failed: {self.error}")
