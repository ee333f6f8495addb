"""The threads that render views while the user moves on. They touch no Qt, no VTK and no MRML: grids in, arrays out."""

from __future__ import annotations

import itertools
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from functools import partial

import numpy as np

from ..core.cache import Cache
from ..core.errors import CancelledError, MultiContrastSRError
from ..image.grid import Grid
from .renderer import ViewRenderer
from .request import Frame, Request
from .schedule import QUALITIES, PendingRequest, Schedule, Step
from .view import coarser, effective_scale, key_of

__all__ = ["QUALITIES", "THREAD_NAME", "Engine"]

THREAD_NAME = "MultiContrastSR live zoom"
_POLL_S = 0.02  # while a preparation is under way, how often to look whether its first slices can be shown


class Engine:
    """Renders requests, the latest of each view first. `Schedule` decides what comes next.

    One thread renders the frames that views wait for. A second one prepares (encodes slices, say) and renders
    neighbours ahead, so that views which need no preparation are not delayed by one that does. Cancel callbacks only
    return whether a step is obsolete.

    Args:
        renderer: makes the images; used by the engine's threads only, from here on. Its `prepare` runs at the same
            time as its other methods.
        cache: frames are kept there (and slices, by the renderer); emptied by `close`.
        quality: "auto" precedes slow frames by coarse ones, "full" makes every pixel at once, "draft" every second one.
    """

    def __init__(self, renderer: ViewRenderer, cache: Cache, quality: str = "auto") -> None:
        self.renderer, self.cache, self.quality = renderer, cache, quality
        self._schedule = Schedule(renderer, quality, self._is_cached)
        self._changed = threading.Condition()
        self._frames: deque[Frame] = deque()
        self._frame_arrived = threading.Event()
        self._single_frames = itertools.count()
        self._running: list[Step] = []
        self._closed = False
        self._failure: BaseException | None = None
        self._steps: dict[Step, Callable[[PendingRequest], None]] = {
            Step.SKETCH: self._sketch,
            Step.COARSE: self._render_coarse,
            Step.FINAL: self._render_final,
            Step.PREPARE: self._prepare,
            Step.NEIGHBOUR: self._render_neighbour,
        }
        next_frame = lambda: self._schedule.next_frame(self.preparing)  # noqa: E731
        self._threads = [
            threading.Thread(target=self._loop, args=(next_step,), name=THREAD_NAME, daemon=True)
            for next_step in (next_frame, self._schedule.next_preparation)
        ]
        self._threads_left = len(self._threads)
        for thread in self._threads:
            thread.start()

    # ------------------------------------------------------------------ any thread

    def request(self, request: Request) -> None:
        """Render this next; the earlier request of the same view is forgotten. Returns at once."""
        self._add(request)

    def render(self, grid: Grid, timeout: float | None = None) -> Frame:
        """Render every pixel of `grid` and wait for it (Python's lock is released meanwhile).

        Args:
            timeout: seconds; None waits until the frame is there or the engine is closed.

        Raises:
            MultiContrastSRError: it could not be made, or not within `timeout`.
            CancelledError: the engine was closed.
        """
        pending = self._add(Request(f"single frame {next(self._single_frames)}", grid, full=True))
        finished = pending.finished.wait(timeout)
        self.withdraw(pending.request.view)
        if pending.frame is not None:
            if pending.frame.error is not None:
                raise pending.frame.error
            return pending.frame
        if finished:
            raise CancelledError("live zoom")
        raise MultiContrastSRError(
            f"The view was not rendered within {timeout:g} s; expected it by then. "
            "Wait until it is prepared, as its label says, and try again."
        )

    def withdraw(self, view: str) -> None:
        """Forget the request of `view`."""
        with self._changed:
            self._schedule.remove(view)

    def frames(self) -> list[Frame]:
        """What was made since the last call, for requests that still count; oldest first."""
        self._frame_arrived.clear()
        found = []
        while self._frames:
            frame = self._frames.popleft()
            if self._schedule.of_view(frame.request.view) is not None:
                found.append(frame)
        return found

    def wait(self, seconds: float) -> bool:
        """Wait for a frame, at most so long, with Python's lock released; whether there is one."""
        return self._frame_arrived.wait(seconds)

    @property
    def has_frames(self) -> bool:
        """Whether `frames` would return any, or drop those whose request no longer counts."""
        return bool(self._frames)

    @property
    def busy(self) -> bool:
        """Whether a request or a neighbour is still to be made. False once the engine was closed or has failed."""
        with self._changed:
            return not self._stopped and (bool(self._running) or not self._schedule.is_empty)

    @property
    def preparing(self) -> bool:
        """Whether the scans are being prepared, so that frames may take a while."""
        return Step.PREPARE in self._running

    def close(self, timeout: float = 0.0) -> bool:
        """Stop at the next check and let go of everything; whether the threads ended within `timeout` seconds."""
        with self._changed:
            self._closed = True
            for pending in self._schedule.clear():
                pending.finished.set()
            self._frames.clear()
            self._frame_arrived.set()
            self._changed.notify_all()
            self._release()
        end = time.monotonic() + timeout
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    @property
    def nbytes(self) -> int:
        """Memory of the cache and of the prepared images; 0 once the threads have ended."""
        renderer = self.renderer
        return self.cache.nbytes + (0 if renderer is None else renderer.nbytes)

    # ------------------------------------------------------------------ the threads

    @property
    def _stopped(self) -> bool:
        return self._closed or self._failure is not None

    def _add(self, request: Request) -> PendingRequest:
        with self._changed:
            pending = self._schedule.add(request)
            if self._closed:
                pending.finished.set()
            elif self._failure is not None:
                self._deliver_error(pending, self._failure)
            self._changed.notify_all()
        return pending

    def _loop(self, next_step: Callable[[], tuple[Step, PendingRequest] | None]) -> None:
        try:
            while (found := self._wait_for(next_step)) is not None:
                step, pending = found
                try:
                    self._do(step, pending)
                finally:
                    with self._changed:
                        self._running.remove(step)
                        self._changed.notify_all()
                del found, pending  # an idle thread holds no request
        except BaseException as error:  # of the schedule: it concerns no request in particular
            self._fail(error)
        finally:
            with self._changed:
                self._threads_left -= 1
                self._release()

    def _wait_for(self, next_step: Callable[[], tuple[Step, PendingRequest] | None]) -> tuple | None:
        """The next step, which from now on counts as running; None once the engine stops."""
        with self._changed:
            while not self._stopped:
                found = next_step()
                if found is not None:
                    self._running.append(found[0])
                    self._changed.notify_all()  # the other thread, which looks for sketches while this one prepares
                    return found
                self._changed.wait(_POLL_S if self.preparing else None)
        return None

    def _do(self, step: Step, pending: PendingRequest) -> None:
        try:
            self._steps[step](pending)
        except CancelledError:
            pass
        except Exception as error:
            with self._changed:
                self._deliver_error(pending, error)

    def _fail(self, error: BaseException) -> None:
        """End both threads; every request, also those to come, gets `error`."""
        with self._changed:
            self._failure = error
            for pending in self._schedule.latest_first():
                self._deliver_error(pending, error)
            self._changed.notify_all()

    def _release(self) -> None:
        """Let go of the scans and of what was made of them, once no thread uses them any more."""
        if self._closed and not self._threads_left:
            self.renderer = None
            self.cache.clear()
            self._frames.clear()

    # ------------------------------------------------------------------ steps

    def _prepare(self, pending: PendingRequest) -> None:
        def is_obsolete() -> bool:
            return self._stopped or not self._sharing(pending)

        self.renderer.prepare(pending.request.grid, is_obsolete)
        for other in self._sharing(pending):
            other.prepared = True  # if the cache could not hold what was prepared, rendering makes it once more

    def _sharing(self, pending: PendingRequest) -> list[PendingRequest]:
        with self._changed:
            return self._schedule.with_same_need(pending)

    def _sketch(self, pending: PendingRequest) -> None:
        pending.sketched = True
        request = pending.request
        made = self._make(self.renderer.sketch, request.grid, request.difference, lambda: self._stopped)
        self._deliver(pending, self._frame(request, request.grid, *made, final=False, sketch=True))

    def _render_coarse(self, pending: PendingRequest) -> None:
        pending.coarse = True
        request = pending.request
        grid = coarser(request.grid, self._schedule.coarse_factor(request))
        # not interrupted by a later request: each of them brings something new to the screen
        made = self._make(self._rendering(request.grid), grid, request.difference, lambda: self._stopped)
        self._schedule.record_speed(request, grid, made[2], final=False)
        self._deliver(pending, self._frame(request, grid, *made, final=False))

    def _render_final(self, pending: PendingRequest) -> None:
        request = pending.request
        grid = self._final_grid(request)
        made = self._cached(grid, request.difference)
        if made is None:
            slow, missing = self._schedule.is_slow(request, grid), self.renderer.missing(request.grid)

            def superseded() -> bool:
                return self._stopped or (slow and not self._schedule.is_current(pending))

            made = self._make(self._rendering(request.grid), grid, request.difference, superseded)
            if not missing:
                self._schedule.record_speed(request, grid, made[2])
            self._store(grid, made)
        pending.done = True
        self._deliver(pending, self._frame(request, grid, *made, final=True))

    def _render_neighbour(self, pending: PendingRequest) -> None:
        """Render a neighbour into the cache, unless something is requested meanwhile."""
        renderer, neighbour = self.renderer, pending.neighbours.pop(0)
        grid = self._final_grid(pending.request, neighbour)
        ready = renderer.ready(neighbour)
        if self._cached(grid, pending.request.difference) or not (ready or renderer.can_look_ahead(neighbour)):
            return
        with self._changed:
            latest = self._schedule.last_number

        def interrupted() -> bool:
            with self._changed:
                return self._stopped or self._schedule.last_number > latest

        if not ready:
            renderer.prepare(neighbour, interrupted)
        self._store(grid, self._make(self._rendering(neighbour), grid, pending.request.difference, interrupted))

    def _rendering(self, like: Grid) -> Callable[[Grid, Callable[[], bool]], np.ndarray]:
        """The renderer's `render` for grids in the plane of `like`, which was prepared for."""
        return partial(self.renderer.render, like=like)

    def _make(
        self,
        render: Callable[[Grid, Callable[[], bool]], np.ndarray],
        grid: Grid,
        with_difference: bool,
        cancel: Callable[[], bool],
    ) -> tuple[np.ndarray, np.ndarray | None, float]:
        """Image, difference from interpolation where requested, seconds taken."""
        begin = time.perf_counter()
        array = render(grid, cancel)
        difference = array - self.renderer.interpolate(grid) if with_difference else None
        return array, difference, time.perf_counter() - begin

    # ------------------------------------------------------------------ frames

    def _final_grid(self, request: Request, grid: Grid | None = None) -> Grid:
        """The pixels of the final frame of `request`, or of its neighbour `grid`."""
        draft = self.quality == "draft" and not request.full
        return coarser(grid or request.grid, 2) if draft else grid or request.grid

    def _frame(
        self,
        request: Request,
        grid: Grid,
        array: np.ndarray,
        difference: np.ndarray | None,
        seconds: float,
        *,
        final: bool,
        sketch: bool = False,
    ) -> Frame:
        renderer = self.renderer
        scale = effective_scale(renderer.target.grid, request.grid)
        method = renderer.sketched_by(request.grid) if sketch else renderer.method.name
        within = renderer.within_slices(request.grid, sketch)
        return Frame(request, grid, array, difference, final, scale, seconds, method, within)

    def _deliver(self, pending: PendingRequest, frame: Frame) -> None:
        with self._changed:
            if frame.final:
                pending.frame = frame
                pending.finished.set()
            self._frames.append(frame)
            self._frame_arrived.set()

    def _deliver_error(self, pending: PendingRequest, error: BaseException) -> None:
        details = "".join(traceback.format_exception(error))
        error.__traceback__ = None  # its frames hold the arrays
        pending.done, pending.neighbours = True, []
        self._deliver(pending, Frame(pending.request, pending.request.grid, error=error, details=details))

    def _store(self, grid: Grid, made: tuple[np.ndarray, np.ndarray | None, float]) -> None:
        array, difference, _ = made
        self.cache.put(("frame", key_of(grid)), array)
        if difference is not None:
            self.cache.put(("difference", key_of(grid)), difference)

    def _cached(self, grid: Grid, with_difference: bool) -> tuple[np.ndarray, np.ndarray | None, float] | None:
        """What `_make` would make, from the cache; it took 0 seconds."""
        array = self.cache.get(("frame", key_of(grid)))
        difference = self.cache.get(("difference", key_of(grid))) if with_difference else None
        return None if array is None or (with_difference and difference is None) else (array, difference, 0.0)

    def _is_cached(self, request: Request) -> bool:
        return self._cached(self._final_grid(request), request.difference) is not None
