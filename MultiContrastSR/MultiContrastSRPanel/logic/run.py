"""From nodes to a result node: taken apart so that the heavy middle may run on another thread.

`Request.take` (main thread) copies the inputs, `Request.work` (any thread) computes, `Request.store` (main thread)
puts the result into the scene. `Run` does the three for a job on the worker.
"""

from __future__ import annotations

import contextlib
import enum
import functools
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import qt
import slicer

from . import dependencies
from .fit_preview import FitPreview
from .library import library
from .pump import Pump
from .remaining_time import RemainingTime
from .worker import Worker

if TYPE_CHECKING:
    from slicer import vtkMRMLScalarVolumeNode


# Work looks often at whether it should stop, but a single call into a library may take its seconds. The user does not
# wait for that: after this time the run counts as cancelled, and what the worker still brings is thrown away.
CANCEL_GRACE_MS = 500


class Request:
    """Everything one run needs, independent of the scene from here on."""

    def __init__(self, target: Any, reference: Any, output: Any, companion: bool, settings: dict[str, Any]) -> None:
        self.target, self.reference, self.output, self.settings = target, reference, output, settings
        self.companion = companion

    @classmethod
    def take(
        cls,
        targetNode: vtkMRMLScalarVolumeNode,
        referenceNode: vtkMRMLScalarVolumeNode | None = None,
        outputNode: vtkMRMLScalarVolumeNode | None = None,
        *,
        method: str = "guided",
        companion: bool = False,
        **settings: Any,
    ) -> Request:
        """Check what can be checked at once, install what the method needs, copy the inputs. Main thread only.

        Args:
            companion: whether the reference, super-resolved by the same run, is wanted too where the method makes it.
            settings: keywords of `MultiContrastSRLib.super_resolve`, the method's options among them.

        Raises:
            MultiContrastSRError: inputs, output or method cannot be used; each message says what to do.
        """
        mrml = library("mrml")
        mrml.check_output(outputNode, targetNode, referenceNode)
        chosen = library("methods").get(method)
        target = mrml.Source.of(targetNode)
        reference = None if referenceNode is None else mrml.Source.of(referenceNode, "reference")
        dependencies.ensure(chosen.requires)
        return cls(target, reference, outputNode, companion, {"method": method, **settings})

    def work(
        self,
        progress: Callable[[float, str], None] | None = None,
        cancel: Callable[[], bool] | None = None,
        preview: FitPreview | None = None,
    ) -> tuple[Any, Any]:
        """The library's `Result`, and the reference's (None unless wanted and made). Touches no node."""
        reference = None if self.reference is None else self.reference.volume
        monitor = library("core.progress").Monitor(progress, cancel)
        share = 0.95 if self.companion else 1.0
        with preview.listening() if preview else contextlib.nullcontext():
            part = monitor.part(0.0, share)
            result = library("pipeline").super_resolve(
                self.target.volume, reference, progress=part.report, cancel=part.cancelled, **self.settings
            )
        rest = monitor.part(share, 1.0, "render")
        other = result.companion(progress=rest.report, cancel=rest.cancelled) if self.companion else None
        return result, other

    def store(self, result: Any, other: Any = None) -> tuple[vtkMRMLScalarVolumeNode, vtkMRMLScalarVolumeNode | None]:
        """The result, and the reference's if there is one, as nodes of the scene. Main thread only."""
        keep = functools.partial(library("mrml").store_result, slicer.mrmlScene)
        node = keep(result.volume, result.report.as_dict(), self.target, self.reference, self.output)
        if other is None:
            return node, None
        return node, keep(other.volume, other.report.as_dict(), self.reference, self.target)


class RunState(enum.Enum):
    """The life of a run; the last three are final."""

    RUNNING = "running"
    CANCELLING = "cancelling"
    DONE = "done"
    ERROR = "error"
    CANCELLED = "cancelled"


class Run:
    """A request under way on the worker. Callbacks come on the main thread, exactly one of done and error at the end.

    Args:
        on_done: gets the result node.
        on_error: gets the exception; a `CancelledError` after `cancel()` or when the scene was closed.
        on_progress: gets fraction, stage, seconds left (None while unknown).

    Attributes:
        state: see `RunState`.
        node, report: after DONE; `companion_node` too, where the reference was wanted and made.
        error, traceback: after ERROR or CANCELLED.
    """

    def __init__(
        self,
        request: Request,
        worker: Worker,
        pump: Pump,
        on_done: Callable[[vtkMRMLScalarVolumeNode], None] | None = None,
        on_error: Callable[[BaseException], None] | None = None,
        on_progress: Callable[[float, str, float | None], None] | None = None,
    ) -> None:
        self._request: Request | None = request
        self._on_done, self._on_error, self._on_progress = on_done, on_error, on_progress
        self._remaining = RemainingTime()
        self.state = RunState.RUNNING
        self.node: vtkMRMLScalarVolumeNode | None = None
        self.companion_node: vtkMRMLScalarVolumeNode | None = None
        self.report: Any = None
        self.error: BaseException | None = None
        self.traceback = ""
        scene = slicer.mrmlScene
        self._observer = (scene, scene.AddObserver(scene.StartCloseEvent, lambda caller, event: self.cancel()))
        self._preview: FitPreview | None = FitPreview(request.target)
        self._job, self._pump = worker.submit(functools.partial(request.work, preview=self._preview)), pump
        pump.watch(self._job, self._progressed, self._finished)

    @property
    def active(self) -> bool:
        """Whether it has not ended yet."""
        return self.state in (RunState.RUNNING, RunState.CANCELLING)

    @property
    def fitting(self) -> bool:
        """Whether a fit is under way that `keep` can end early."""
        return self._preview is not None and self._preview.begun

    def keep(self) -> None:
        """Let a fit under way end at its next step, and go on with what it has."""
        if self._preview is not None:
            self._preview.keep()

    def cancel(self) -> None:
        """Stop at the next check of the work, for the user within `CANCEL_GRACE_MS`. Nothing will reach the scene."""
        if self.state is RunState.RUNNING:
            self.state = RunState.CANCELLING
            self._job.cancel()
            qt.QTimer.singleShot(CANCEL_GRACE_MS, self._stop_waiting)

    def abandon(self) -> None:
        """Cancel, and tell nobody: whoever waited is gone."""
        self._on_done = self._on_error = self._on_progress = None
        self.cancel()

    def _stop_waiting(self) -> None:
        if self.active:  # still watched, so that the worker gets room to end, but without us
            self._pump.watch(self._job, lambda fraction, stage: None, lambda: None)
            self._finished()

    def _progressed(self, fraction: float, stage: str) -> None:
        if self.state is RunState.RUNNING:
            self._preview.show()
        if self._on_progress is not None and self.state is RunState.RUNNING:
            self._on_progress(fraction, stage, self._remaining.after(fraction))

    def _finished(self) -> None:
        scene, tag = self._observer
        scene.RemoveObserver(tag)
        self._preview.remove()
        request, self._request, self._preview = self._request, None, None
        job = self._job
        cancelled = library("core.errors").CancelledError
        try:
            if self.state is RunState.CANCELLING and (job.error is None or isinstance(job.error, cancelled)):
                # perhaps it was done before it noticed; the user's word counts
                self.error = cancelled(job.progress[1])
            elif job.error is not None:
                self.error, self.traceback = job.error, job.traceback
            else:
                self.node, self.companion_node = request.store(*job.result)
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
