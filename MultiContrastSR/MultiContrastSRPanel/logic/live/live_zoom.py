"""Live zoom while it is on: observes the scene and the views, requests frames, shows them. Main thread only."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from slicer.i18n import tr as _

from .. import dependencies
from ..automatic import AUTOMATIC, ensure_packages, load_packages, method_of, name_choice
from ..library import library
from ..sources import sources_of
from ..worker import Job, Worker
from .display_options import DisplayOptions
from .layers import SUPPORTED
from .slice_view import LiveSliceView, frame_label
from .view_names import check_view_names
from .view_session import ViewSession
from .view_volume import require_visible, store_view

# While Slicer's event loop is idle it holds Python's global lock (the GIL), and the engine's threads starve. So, as
# long as they have work, a timer waits YIELD_S with the lock released, then lets the loop handle events, and again.
YIELD_S = 0.012
INTERVAL_MS = 3
RESTART_DELAY_S = 0.25  # from the last change of the target (its voxels, its transform) until it is prepared again
KEEP_LIMIT_S = 60.0  # the interface waits so long for a view that is kept
MEGABYTE = 1 << 20
_AMENDMENTS = ("slice_thickness", "replace_nan")
_PIPELINE_SETTINGS = ("method", "register", "data_consistency", "device")


class LiveZoom(ViewSession):
    """Super-resolved slice views of one target.

    Args:
        target, reference: nodes; the reference may be None.
        view_names: slice views; None for all.
        display: how the views show the frames.
        quality: "auto", "full" or "draft", see `MultiContrastSRLib.live.engine.Engine`.
        cache_megabytes: bound of the memory in which frames and slices are kept.
        on_status: called with a line of text about each frame.
        on_end: called once with the reason (None when `stop` was called), after everything was removed.
        settings: method (or `AUTOMATIC`), register, data_consistency, device, slice_thickness, replace_nan and the
            method's options.

    Attributes:
        sources: (target, reference) as `mrml.Source`, which frames are made of.

    Raises:
        MultiContrastSRError: it cannot be switched on; nothing was changed.
    """

    def __init__(
        self,
        target: Any,
        reference: Any = None,
        view_names: list[str] | None = None,
        *,
        display: DisplayOptions | None = None,
        quality: str = "auto",
        cache_megabytes: float = 256,
        on_status: Callable[[str], None] | None = None,
        on_end: Callable[[BaseException | None], None] | None = None,
        **settings: Any,
    ) -> None:
        errors = library("core.errors")
        if not SUPPORTED:
            raise errors.MethodUnavailableError("Live zoom needs Slicer 5.10 or newer; update Slicer.")
        if quality not in library("live.engine").QUALITIES:
            expected = ", ".join(library("live.engine").QUALITIES)
            raise errors.InputError(f"Quality is {quality!r}; expected one of {expected}.")
        super().__init__(target, reference, display, on_end)
        self._quality, self._cache_bytes = quality, int(cache_megabytes * MEGABYTE)
        self._on_status = on_status
        self._amendments = {name: settings.pop(name) for name in _AMENDMENTS if name in settings}
        self._automatic = settings.get("method") == AUTOMATIC
        self._use(settings)
        self.sources: tuple[Any, Any] = (None, None)
        self._engine: Any = None
        self._worker = Worker("MultiContrastSR live zoom dependencies")
        self._loading: Job | None = None
        self._restart_at: float | None = None
        self._views_to_request: set[str] = set()
        names = check_view_names(view_names)
        self._take_sources()
        ensure_packages(settings)
        loaded = dependencies.are_loaded(self._method.requires)
        if loaded:
            self._use(load_packages(settings))
        self._method.check_options({k: v for k, v in settings.items() if k not in _PIPELINE_SETTINGS})
        self._begin(names)
        self._timer.setInterval(INTERVAL_MS)
        self._timer.connect("timeout()", self._on_timeout)
        grid = self.sources[0].volume.grid
        self.views = {n: LiveSliceView(n, target, grid, self.display, self._on_view_changed) for n in names}
        if loaded:
            self._start_engine()
        else:
            self._loading = self._worker.submit(lambda progress, cancel: load_packages(settings))
            self._show_waiting()
            self._timer.start()

    # ------------------------------------------------------------------ for the logic, the panel and scripts

    @property
    def busy(self) -> bool:
        """Whether frames are still to be rendered (neighbours included) or shown."""
        waiting = self._views_to_request or self._restart_at is not None or self._engine is None
        return bool(waiting) or self._engine.busy or self._engine.has_frames  # in this order: busy ends with a frame

    @property
    def nbytes(self) -> int:
        """Memory of cache and prepared images."""
        return 0 if self._engine is None else self._engine.nbytes

    def redraw(self) -> None:
        """Show the views as the display options say now, and request what is missing."""
        for view in self.views.values():
            view.redraw()
            if self.display.difference and view.frame is not None and view.frame.difference is None:
                self._request_soon(view)

    def keep(self, view_name: str) -> Any:
        """What a view shows of the target, at every screen pixel, as a volume of the scene. Waits for it.

        Raises:
            MultiContrastSRError: nothing of the target is visible there, or it cannot be rendered (in `KEEP_LIMIT_S`).
        """
        view = self.views.get(view_name)
        if view is None:
            raise library("core.errors").InputError(
                f"Live zoom is not on in view {view_name!r}; expected one of {', '.join(self.views)}."
            )
        grid = require_visible(view.grid, view_name, self.target)
        if self._engine is None:
            raise library("core.errors").InputError("Live zoom is still starting; wait for its first image.")
        frame = self._engine.render(grid, KEEP_LIMIT_S)
        report = self._engine.renderer.report_of(grid)
        return store_view(frame.array, grid, view_name, report, *self.sources)

    # ------------------------------------------------------------------ changes of the nodes, see `InputObserver`

    def restart_soon(self) -> None:
        """Prepare again once the target, the reference and their transforms have not changed for a while."""
        self._restart_at = time.monotonic() + RESTART_DELAY_S
        for view in self.views.values():
            view.layers.follow_target()
            view.clear_frame()
        self._show_waiting()
        self._timer.start()

    def remove_reference(self) -> None:
        """Go on without a reference."""
        self.reference = None
        self.restart_soon()

    def remove_view_of(self, node: Any) -> None:
        """Stop following the view of this slice node, if there is one."""
        for name, view in list(self.views.items()):
            if node is view.node:
                self.views.pop(name).remove()
                if self._engine is not None:
                    self._engine.withdraw(name)

    # ------------------------------------------------------------------ engine

    def _release(self) -> None:
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.close()
        self._worker.stop(0.0)
        self.sources = (None, None)

    def _use(self, settings: dict[str, Any]) -> None:
        self._settings, self._method = settings, method_of(settings)

    def _take_sources(self) -> None:
        self.sources = sources_of(self.target, self.reference, **self._amendments)

    def _start_engine(self) -> None:
        target, reference = self.sources
        cache = library("core.cache").Cache(self._cache_bytes)
        renderer = library("live.renderer").ViewRenderer(
            target.volume, None if reference is None else reference.volume, cache, **self._settings
        )
        self._engine = library("live.engine").Engine(renderer, cache, self._quality)
        self._loading = self._restart_at = None
        for view in self.views.values():
            view.target_grid = target.volume.grid
            view.clear_frame()
            view.requested = None
            view.update()

    def _restart(self) -> None:
        """Prepare again: the target, the reference or a transform has changed."""
        if self._engine is not None:
            self._engine.close()
        try:
            self._take_sources()
            self._start_engine()
        except library().MultiContrastSRError as error:
            self.stop(error)

    def _on_view_changed(self, view: LiveSliceView) -> None:
        self._request_soon(view)
        if view.frame is None:
            view.set_text(self._waiting_label())

    def _request_soon(self, view: LiveSliceView) -> None:
        self._views_to_request.add(view.name)
        self._timer.start()

    def _waiting_label(self) -> str:
        if self._loading is not None:
            state = dependencies.loading_text(self._method.requires)
        elif self._engine is None or self._engine.preparing or self._restart_at is not None:
            state = _("interpolated, preparing…")
        else:
            state = _("interpolated")
        return _("{method} · {state}\nresearch use").format(method=self._method.label, state=state)

    def _show_waiting(self) -> None:
        for view in self.views.values():
            if view.frame is None:
                view.set_text(self._waiting_label())

    def _on_timeout(self) -> None:
        """Send the requests of views that changed, give the engine's threads time to run, show their frames."""
        if self._loading is not None:
            self._continue_loading()
        elif self._restart_at is not None and time.monotonic() >= self._restart_at:
            self._restart()
        if not self.on or self._engine is None:
            return
        if self._restart_at is None:
            self._send_requests()
        if self._engine.busy:
            self._engine.wait(YIELD_S)
        for frame in self._engine.frames():
            self._show(frame)
            if not self.on:
                return
        for view in self.views.values():
            if view.frame is None and view.requested is not None:
                view.set_text(self._waiting_label())
        if not self.busy:
            self._timer.stop()

    def _continue_loading(self) -> None:
        """Wait for the packages that the method needs; then start."""
        if not self._loading.finished.wait(YIELD_S):
            return
        error = self._loading.error
        if error is not None:
            self.stop(error)
        else:
            self._use(self._loading.result)
            self._restart()

    def _send_requests(self) -> None:
        names, self._views_to_request = self._views_to_request, set()
        for name in names & set(self.views):
            request = self.views[name].request()
            if request is None:
                self._engine.withdraw(name)
                self.views[name].set_text("")
            else:
                self._engine.request(request)

    def _show(self, frame: Any) -> None:
        if frame.error is not None:
            if not isinstance(frame.error, library().MultiContrastSRError):
                logging.error(f"Live zoom failed: {frame.error!r}\n{frame.details}")
            self.stop(frame.error)
            return
        view = self.views.get(frame.request.view)
        if view is None:
            return
        view.show(frame)
        report = self._engine.renderer.report
        label = library("methods").get(frame.method).label
        device = report.device if report is not None else "cpu"
        if view.frame is frame:
            view.set_text(frame_label(label, frame, device))
        if self._on_status is not None:
            chosen = name_choice(label, self._automatic and frame.method == self._method.name)  # not for a sketch
            self._on_status(f"{frame.request.view}: {frame_label(chosen, frame, device).splitlines()[0]}")
