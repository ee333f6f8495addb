"""Which step of which request the engine's threads do next."""

from __future__ import annotations

import enum
import itertools
import threading
from collections.abc import Callable

import numpy as np

from ..image.grid import Grid
from ..pipeline.prepared_run import Refinement
from .renderer import ViewRenderer
from .request import Frame, Request

QUALITIES = ("auto", "full", "draft")
QUICK_S = 0.1  # a frame that takes longer than this is preceded by a coarse one
COARSE_S = 0.04  # what the coarse one may take
_COARSEST = 8
_UNTRIED = 4  # pixels of the first frame, while the speed is not known


class Step(enum.Enum):
    """A step of a request. The first three make frames, in this order; the others need no frame.

    Attributes:
        SKETCH: the image of a quicker method, while the view is being prepared for.
        COARSE: larger pixels, where all of them take longer than `QUICK_S`.
        FINAL: the frame after which nothing better follows.
        PREPARE: what the renderer needs before it can render the view.
        NEIGHBOUR: the frame of a view that may be requested next, into the cache.
    """

    SKETCH = "sketch"
    COARSE = "coarse"
    FINAL = "final"
    PREPARE = "prepare"
    NEIGHBOUR = "neighbour"


class PendingRequest:
    """A request and the steps that are done.

    Attributes:
        number: counts requests; the latest has the largest.
        neighbours: grids of neighbouring views that are still to be rendered.
        unprepared: whether the view had to be prepared for; then a sketch precedes the other frames where there is one.
        frame: the final one, once it is there (then `finished` is set).
    """

    def __init__(self, request: Request, number: int) -> None:
        self.request, self.number = request, number
        self.unprepared = self.prepared = self.sketched = self.coarse = self.done = False
        self.neighbours = list(request.neighbours)
        self.frame: Frame | None = None
        self.finished = threading.Event()


class Schedule:
    """The latest request of each view, and the order of their steps. Not locked: callers hold the engine's lock.

    Args:
        renderer: decides what can be rendered at once and what needs preparation.
        quality: "auto" (coarse before final where that takes long), "full" or "draft" (no coarse frames).
        is_cached: whether the final frame of a request is in the cache.
    """

    def __init__(self, renderer: ViewRenderer, quality: str, is_cached: Callable[[Request], bool]) -> None:
        self._renderer, self._quality, self._is_cached = renderer, quality, is_cached
        self._pending: dict[str, PendingRequest] = {}
        self._numbers = itertools.count()
        self._seconds_per_pixel: dict[tuple[Refinement, bool], float] = {}

    def add(self, request: Request) -> PendingRequest:
        """Put `request` in the place of the earlier one of its view."""
        pending = self._pending[request.view] = PendingRequest(request, next(self._numbers))
        return pending

    def remove(self, view: str) -> None:
        """Forget the request of `view`."""
        self._pending.pop(view, None)

    def clear(self) -> list[PendingRequest]:
        """Forget all requests; those that there were."""
        removed = list(self._pending.values())
        self._pending.clear()
        return removed

    def of_view(self, view: str) -> PendingRequest | None:
        """The request of `view`."""
        return self._pending.get(view)

    def is_current(self, pending: PendingRequest) -> bool:
        """Whether no later request of the same view replaced it."""
        return self._pending.get(pending.request.view) is pending

    def latest_first(self) -> list[PendingRequest]:
        """All requests, the latest first."""
        return sorted(self._pending.values(), key=lambda pending: -pending.number)

    @property
    def last_number(self) -> int:
        """Number of the latest request; -1 without any."""
        return max((pending.number for pending in self._pending.values()), default=-1)

    @property
    def is_empty(self) -> bool:
        """Whether no step is left to do."""
        return all(pending.done and not pending.neighbours for pending in self._pending.values())

    # ------------------------------------------------------------------ what comes next

    def next_frame(self, preparing: bool) -> tuple[Step, PendingRequest] | None:
        """The most urgent frame that can be rendered at once.

        Args:
            preparing: whether a preparation is under way; a view whose slices the cache could not hold waits for it.
        """
        waiting = [pending for pending in self.latest_first() if not pending.done]
        for pending in waiting:
            if self._renderer.ready(pending.request.grid) or (pending.prepared and not preparing):
                if pending.unprepared and self._can_sketch(pending):
                    return Step.SKETCH, pending
                return (Step.COARSE if self._coarse_first(pending) else Step.FINAL), pending
        return next(((Step.SKETCH, pending) for pending in waiting if self._can_sketch(pending)), None)

    def next_preparation(self) -> tuple[Step, PendingRequest] | None:
        """What the background thread does: prepare for the view with the least effort; else a neighbour."""
        pending = self.latest_first()
        waiting = [p for p in pending if not p.done]
        unprepared = [p for p in waiting if not p.prepared and not self._renderer.ready(p.request.grid)]
        for p in unprepared:
            p.unprepared = True
        if unprepared:
            return Step.PREPARE, min(unprepared, key=lambda p: self._renderer.effort(p.request.grid))
        if not waiting:
            return next(((Step.NEIGHBOUR, p) for p in pending if p.neighbours), None)
        return None

    def with_same_need(self, pending: PendingRequest) -> list[PendingRequest]:
        """The unfinished requests (`pending` among them, if it still counts) that one preparation serves."""
        need = self._renderer.need(pending.request.grid)
        unfinished = [p for p in self.latest_first() if not p.done]
        return [p for p in unfinished if p is pending or self._renderer.need(p.request.grid) == need]

    # ------------------------------------------------------------------ speed

    def is_slow(self, request: Request, grid: Grid) -> bool:
        """Whether rendering `grid` for `request` takes longer than `QUICK_S`, or is not known to take less."""
        expected = self._expected_seconds(request, grid)
        return expected is None or expected > QUICK_S

    def coarse_factor(self, request: Request) -> int:
        """How much larger the pixels of the coarse frame are."""
        expected = self._expected_seconds(request, request.grid)
        if expected is None:
            return _UNTRIED
        return int(np.clip(2 ** np.ceil(np.log2(np.sqrt(expected / COARSE_S))), 2, _COARSEST))

    def record_speed(self, request: Request, grid: Grid, seconds: float, final: bool = True) -> None:
        """Take into account that rendering `grid` took so long; coarse frames count while no final one was rendered."""
        kind, measured = self._kind(request, grid), seconds / grid.size
        known = self._seconds_per_pixel.get(kind)
        if known is None:
            self._seconds_per_pixel[kind] = measured
        elif final:
            self._seconds_per_pixel[kind] = 0.7 * known + 0.3 * measured

    def _expected_seconds(self, request: Request, grid: Grid) -> float | None:
        known = self._seconds_per_pixel.get(self._kind(request, grid))
        return None if known is None else known * grid.size

    def _kind(self, request: Request, grid: Grid) -> tuple[Refinement, bool]:
        """Views with the same speed a pixel."""
        return self._renderer.refinement(request.grid), self._renderer.is_parallel(grid)

    def _can_sketch(self, pending: PendingRequest) -> bool:
        """Whether there is a sketch, other than the final image, that was not shown yet."""
        renderer, grid = self._renderer, pending.request.grid
        if pending.sketched or pending.request.full or not renderer.can_sketch(grid):
            return False
        other_method = renderer.sketched_by(grid) != renderer.method.name
        return other_method or renderer.within_slices(grid, sketch=True) != renderer.within_slices(grid)

    def _coarse_first(self, pending: PendingRequest) -> bool:
        request = pending.request
        if self._quality != "auto" or request.full or pending.coarse or not self.is_slow(request, request.grid):
            return False
        return not self._renderer.missing(request.grid) and not self._is_cached(request)
