"""The thread that renders views while the user moves on. It touches no Qt, no VTK and no MRML: grids in, arrays out."""

from __future__ import annotations

import itertools
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial

import numpy as np

from ..core.cache import Cache
from ..core.errors import CancelledError
from ..image.grid import Grid
from .renderer import ViewRenderer
from .request import Frame, Request
from .view import coarser, effective_scale, key_of

QUALITIES = ("auto", "full", "draft")
QUICK_S = 0.1  # a frame that takes longer than this is preceded by a coarse one
COARSE_S = 0.04  # what the coarse one may take
_COARSEST = 8
_UNTRIED = 4  # pixels of the first frame, while the speed is not known


class _Order:
    """A request under way: what was delivered for it, and whether it still counts."""

    def __init__(self, request: Request, number: int) -> None:
        self.request, self.number = request, number
        self.prepared = self.sketched = self.coarse_done = self.done = False
        self.waiting = list(request.neighbours)
        self.frame: Frame | None = None
        self.finished = threading.Event()


class Engine:
    """Renders requests on a thread of its own, the latest of each view first.

    Args:
        renderer: makes the images; used by the engine's thread only, from here on.
        cache: frames are kept there (and slices, by the renderer); emptied by `close`.
        quality: "auto" precedes slow frames by coarse ones, "full" makes every pixel at once, "draft" every second one.
    """

    def __init__(self, renderer: ViewRenderer, cache: Cache, quality: str = "auto") -> None:
        self.renderer, self.cache, self.quality = renderer, cache, quality
        self._orders: dict[str, _Order] = {}
        self._frames: deque[Frame] = deque()
        self._changed = threading.Condition()
        self._arrived = threading.Event()
        self._numbers = itertools.count()
        self._speed: dict[tuple, float] = {}  # seconds a pixel
        self._preparing = self._working = self._closed = False
        self._thread = threading.Thread(target=self._loop, name="MultiContrastSR live zoom", daemon=True)
        self._thread.start()

    # ------------------------------------------------------------------ any thread

    def request(self, request: Request) -> None:
        """Render this next; what the same view wanted before is forgotten. Returns at once."""
        with self._changed:
            self._orders[request.view] = _Order(request, next(self._numbers))
            self._changed.notify()

    def render(self, grid: Grid, timeout: float | None = None) -> Frame:
        """Render every pixel of `grid` and wait for it (Python's lock is released meanwhile).

        Raises:
            MultiContrastSRError: it could not be made.
            TimeoutError: not within `timeout` seconds, or the engine was closed.
        """
        order = _Order(Request(f"one frame {next(self._numbers)}", grid, full=True), next(self._numbers))
        with self._changed:
            self._orders[order.request.view] = order
            self._changed.notify()
        finished = order.finished.wait(timeout)
        self.withdraw(order.request.view)
        if not finished or order.frame is None:
            raise TimeoutError(f"The view was not rendered within {timeout} s.")
        if order.frame.error is not None:
            raise order.frame.error
        return order.frame

    def withdraw(self, view: str) -> None:
        """Forget what `view` wanted."""
        with self._changed:
            self._orders.pop(view, None)

    def frames(self) -> list[Frame]:
        """What was made since the last call, for requests that still count; oldest first."""
        self._arrived.clear()
        found = []
        while self._frames:
            frame = self._frames.popleft()
            order = self._orders.get(frame.request.view)
            if order is not None:
                found.append(frame)
        return found

    def wait(self, seconds: float) -> bool:
        """Wait for a frame, at most so long, with Python's lock released; whether there is one."""
        return self._arrived.wait(seconds)

    @property
    def busy(self) -> bool:
        """Whether a request or a neighbour is still to be made."""
        return not self._closed and (self._working or any(o.waiting or not o.done for o in self._orders.values()))

    @property
    def preparing(self) -> bool:
        """Whether the scans are being prepared, so that frames may take a while."""
        return self._preparing

    def close(self, timeout: float = 0.0) -> bool:
        """Stop at the next check and let go of everything; whether the thread ended within `timeout` seconds."""
        with self._changed:
            self._closed = True
            for order in self._orders.values():
                order.finished.set()
            self._orders.clear()
            self._changed.notify()
        self._frames.clear()
        self._arrived.set()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    @property
    def nbytes(self) -> int:
        """Memory of the cache and of the prepared images; 0 once the thread has ended."""
        renderer = self.renderer
        return self.cache.nbytes + (0 if renderer is None else renderer.nbytes)

    # ------------------------------------------------------------------ the thread

    def _loop(self) -> None:
        while True:
            with self._changed:
                while not self._closed and (task := self._next()) is None:
                    self._working = False
                    self._changed.wait()
                if self._closed:
                    break
                self._working = True
            self._do(task)
            del task
        self.renderer = None  # with it go the scans and what was made of them
        self.cache.clear()
        self._frames.clear()
        self._working = False

    def _do(self, task: tuple[Callable[[_Order], None], _Order]) -> None:
        work, order = task
        try:
            work(order)
        except CancelledError:
            pass
        except Exception as error:
            order.done, order.waiting = True, []
            error.__traceback__ = None  # its frames hold the arrays
            self._deliver(Frame(order.request, order.request.grid, error=error))

    def _next(self) -> tuple[Callable[[_Order], None], _Order] | None:
        """The most urgent piece of work: pixels that can be had at once, then preparation, then neighbours."""
        orders = sorted(self._orders.values(), key=lambda o: -o.number)
        wanted = [o for o in orders if not o.done]
        for order in wanted:
            if self.renderer.ready(order.request.grid) or (order.prepared and not self._preparing):
                return self._render, order
        for order in wanted:
            if not (order.sketched or order.request.full) and self.renderer.can_sketch(order.request.grid):
                return self._sketch, order
        if wanted and not self._preparing:
            return self._prepare, min(wanted, key=lambda o: self.renderer.effort(o.request.grid))
        if not wanted and not self._preparing:
            for order in orders:
                if order.waiting:
                    return self._look_ahead, order
        return None

    def _prepare(self, order: _Order) -> None:
        """Prepare for an order; between its steps, orders that need no preparation are served."""
        renderer, grid = self.renderer, order.request.grid

        def alike() -> list[_Order]:
            need = renderer.need(grid)
            orders = list(self._orders.values())
            return [o for o in orders if not o.done and (o is order or renderer.need(o.request.grid) == need)]

        def unwanted() -> bool:
            while not self._closed:
                with self._changed:
                    task = self._next()
                if task is None:
                    break
                self._do(task)
            return self._closed or not alike()

        self._preparing = True
        try:
            renderer.prepare(grid, unwanted)
        finally:
            self._preparing = False
        for other in alike():
            other.prepared = True  # if the cache could not hold what was prepared, rendering makes it once more

    def _sketch(self, order: _Order) -> None:
        """Show what is there, while what the view needs is being prepared."""
        request = order.request
        order.sketched = True
        made = self._make(self.renderer.sketch, request.grid, request.difference, lambda: self._closed)
        self._deliver(self._frame(request, request.grid, *made, final=False, sketch=True))

    def _render(self, order: _Order) -> None:
        request, renderer = order.request, self.renderer
        draft = self.quality == "draft" and not request.full
        grid = coarser(request.grid, 2) if draft else request.grid
        kept = self._kept(grid, request.difference)
        if kept is not None:
            order.done = True
            self._deliver(self._frame(request, grid, *kept, 0.0, final=True))
            return
        kind = renderer.refinement(request.grid), renderer.is_parallel(grid)
        speed = self._speed.get(kind)
        expected = None if speed is None else speed * grid.size
        slow = expected is None or expected > QUICK_S
        missing = renderer.missing(request.grid)
        render = partial(renderer.render, like=request.grid)
        if self.quality == "auto" and slow and not (request.full or order.coarse_done or missing):
            factor = _UNTRIED
            if expected is not None:
                factor = int(np.clip(2 ** np.ceil(np.log2(np.sqrt(expected / COARSE_S))), 2, _COARSEST))
            rough = coarser(grid, factor)
            # not interrupted: whatever comes in between, something new is to be seen
            array, difference, seconds = self._make(render, rough, request.difference, lambda: self._closed)
            order.coarse_done = True
            if expected is None:
                self._speed[kind] = seconds / rough.size
            self._deliver(self._frame(request, rough, array, difference, seconds, final=False))
            return

        def superseded() -> bool:
            return self._closed or (slow and self._orders.get(request.view) is not order)

        array, difference, seconds = self._make(render, grid, request.difference, superseded)
        if not missing:
            self._speed[kind] = seconds / grid.size if speed is None else 0.7 * speed + 0.3 * seconds / grid.size
        order.done = True
        self._keep(grid, array, difference)
        self._deliver(self._frame(request, grid, array, difference, seconds, final=True))

    def _look_ahead(self, order: _Order) -> None:
        """Render a neighbour into the cache, unless something else is wanted meanwhile."""
        renderer, wanted = self.renderer, order.waiting.pop(0)
        grid = coarser(wanted, 2) if self.quality == "draft" else wanted
        ready = renderer.ready(wanted)
        if self._kept(grid, order.request.difference) is not None or not (ready or renderer.can_look_ahead(wanted)):
            return
        number = next(self._numbers)

        def interrupted() -> bool:
            return self._closed or any(o.number > number for o in list(self._orders.values()))

        if not ready:
            renderer.prepare(wanted, interrupted)
        render = partial(renderer.render, like=wanted)
        array, difference, _ = self._make(render, grid, order.request.difference, interrupted)
        self._keep(grid, array, difference)

    def _make(
        self, render: Callable, grid: Grid, with_difference: bool, cancel: Callable[[], bool]
    ) -> tuple[np.ndarray, np.ndarray | None, float]:
        begin = time.perf_counter()
        array = render(grid, cancel)
        difference = array - self.renderer.interpolate(grid) if with_difference else None
        return array, difference, time.perf_counter() - begin

    def _frame(self, request, grid, array, difference, seconds, *, final: bool, sketch: bool = False) -> Frame:
        renderer = self.renderer
        scale = effective_scale(renderer.target.grid, request.grid)
        method = renderer.sketched_by(request.grid) if sketch else renderer.method.name
        within = renderer.within_slices(request.grid, sketch)
        return Frame(request, grid, array, difference, final, scale, seconds, method, within)

    def _deliver(self, frame: Frame) -> None:
        order = self._orders.get(frame.request.view)
        if order is not None and frame.final:
            order.frame = frame
            order.finished.set()
        self._frames.append(frame)
        self._arrived.set()

    def _keep(self, grid: Grid, array: np.ndarray, difference: np.ndarray | None) -> None:
        self.cache.put(("frame", key_of(grid)), array)
        if difference is not None:
            self.cache.put(("difference", key_of(grid)), difference)

    def _kept(self, grid: Grid, with_difference: bool) -> tuple[np.ndarray, np.ndarray | None] | None:
        array = self.cache.get(("frame", key_of(grid)))
        if array is None or not with_difference:
            return None if array is None else (array, None)
        difference = self.cache.get(("difference", key_of(grid)))
        return None if difference is None else (array, difference)
