"""Live zoom while it is on: scene and views are watched, the engine is fed, its frames are shown. Main thread only."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

import qt
import slicer
import vtk
from slicer.i18n import tr as _

from .. import dependencies
from ..library import library
from .display_options import Choices
from .layers import SUPPORTED, forget_difference_colours
from .slice_view import LiveView, describe
from .view_volume import check_view_names, grid_shown, store_view

# While Slicer's event loop is idle it holds Python's global lock, and the engine's thread starves. So, as long as it
# has work, a timer waits YIELD_S on it with the lock released, then lets the loop handle events, and again.
YIELD_S = 0.012
INTERVAL_MS = 3
SETTLE_S = 0.25  # a target that is being changed (its voxels, its transform) is prepared anew when it has come to rest
MEGABYTE = 1 << 20


class LiveZoom:
    """Super-resolved slice views of one target.

    Args:
        target, reference: nodes; the reference may be None.
        view_names: slice views; None for all.
        choices: what the views show.
        quality: "auto", "full" or "draft", see `MultiContrastSRLib.live.engine.Engine`.
        cache_megabytes: bound of the memory in which frames and slices are kept.
        on_status: called with a line about what is going on.
        on_end: called once with the reason (None when `stop` was called), after everything was removed.
        settings: method, register, data_consistency, device and the method's options.

    Raises:
        MultiContrastSRError: it cannot be switched on; nothing was changed.
    """

    def __init__(
        self,
        target: Any,
        reference: Any = None,
        view_names: list[str] | None = None,
        *,
        choices: Choices | None = None,
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
        self.target, self.reference = target, reference
        self.choices = choices or Choices()
        self._quality, self._cache_bytes, self._settings = quality, int(cache_megabytes * MEGABYTE), settings
        self._on_status, self._on_end = on_status, on_end
        self._method = library("methods").get(settings.get("method", "guided"))
        self.on = False
        self.sources: tuple[Any, Any] = (None, None)
        self._engine: Any = None
        self._restart_at: float | None = None
        self._asking: set[str] = set()
        self._prepared_for: list[tuple] = []
        names = check_view_names(view_names)
        self._take_sources()
        dependencies.ensure(self._method.requires)
        self._method.check_options({k: v for k, v in settings.items() if k not in _PIPELINE_SETTINGS})
        self.on = True
        self._timer = qt.QTimer()
        self._timer.setInterval(INTERVAL_MS)
        self._timer.connect("timeout()", self._turn)
        self.views = {
            name: LiveView(name, target, self.sources[0].volume.grid, self.choices, self._view_moved) for name in names
        }
        self._observed: list[tuple[Any, int]] = []
        self._observe()
        self._start_engine()

    # ------------------------------------------------------------------ for others

    @property
    def busy(self) -> bool:
        """Whether frames are still to come (neighbours included)."""
        return bool(self._asking) or self._restart_at is not None or self._engine.busy

    @property
    def nbytes(self) -> int:
        """Memory of cache and prepared images."""
        return 0 if self._engine is None else self._engine.nbytes

    def redraw(self) -> None:
        """The choices changed: show the frames accordingly, and ask for what is missing."""
        for view in self.views.values():
            view.redraw()
            if self.choices.difference and view.shown is not None and view.shown.difference is None:
                self._ask(view)

    def flip(self) -> None:
        """Between the original (as Slicer interpolates it) and the super-resolved image."""
        self.choices.original = not self.choices.original
        self.redraw()

    def toggle_difference(self) -> None:
        """Between the image and what was added over interpolation."""
        self.choices.difference = not self.choices.difference
        self.choices.original = False
        self.redraw()

    def keep(self, view_name: str) -> Any:
        """What a view shows of the target, at every screen pixel, as a volume of the scene. Waits for it.

        Raises:
            MultiContrastSRError: nothing of the target is to be seen there, or it cannot be rendered.
        """
        view = self.views.get(view_name)
        if view is None:
            raise library("core.errors").InputError(
                f"Live zoom is not on in view {view_name!r}; expected one of {', '.join(self.views)}."
            )
        grid = grid_shown(view.grid, view_name, self.target)
        frame = self._engine.render(grid)
        report = self._engine.renderer.report_of(grid)
        return store_view(frame.array, grid, view_name, report, *self.sources)

    def stop(self, reason: BaseException | None = None) -> None:
        """Switch off: views, scene and memory are as they were before."""
        if not self.on:
            return
        self.on = False
        self._timer.stop()
        for node, tag in self._observed:
            node.RemoveObserver(tag)
        self._observed = []
        for view in self.views.values():
            view.remove()
        forget_difference_colours()
        self.views.clear()
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.close()
        self.sources = (None, None)
        if self._on_end is not None:
            self._on_end(reason)

    # ------------------------------------------------------------------ engine

    def _take_sources(self) -> None:
        source = library("mrml").Source
        reference = None if self.reference is None else source.of(self.reference, "reference")
        self.sources = source.of(self.target), reference
        self._prepared_for = self._state_of_inputs()

    def _start_engine(self) -> None:
        live = library("core.cache"), library("live.renderer"), library("live.engine")
        target, reference = self.sources
        cache = live[0].Cache(self._cache_bytes)
        renderer = live[1].ViewRenderer(
            target.volume, None if reference is None else reference.volume, cache, **self._settings
        )
        self._engine = live[2].Engine(renderer, cache, self._quality)
        self._restart_at = None
        for view in self.views.values():
            view.target_grid = target.volume.grid
            view.forget()
            view.wanted = None
            view.moved()

    def _restart(self) -> None:
        """Prepare anew: the target, the reference or a transform is not what it was."""
        self._engine.close()
        try:
            self._take_sources()
            self._start_engine()
        except library().MultiContrastSRError as error:
            self.stop(error)

    def _view_moved(self, view: LiveView) -> None:
        self._ask(view)
        if view.shown is None:
            view.say(self._waiting())

    def _ask(self, view: LiveView) -> None:
        self._asking.add(view.name)
        self._timer.start()

    def _waiting(self) -> str:
        preparing = self._engine is None or self._engine.preparing or self._restart_at is not None
        state = _("interpolated, preparing…") if preparing else _("interpolated")
        return _("{method} · {state}\nresearch use").format(method=self._method.label, state=state)

    def _turn(self) -> None:
        """Hand over what views want, give the engine's thread room to run, show what it made."""
        if self._restart_at is not None and time.monotonic() >= self._restart_at:
            self._restart()
        if not self.on:
            return
        asking, self._asking = self._asking, set()
        if self._restart_at is None:
            for name in asking & set(self.views):
                request = self.views[name].request()
                if request is None:
                    self._engine.withdraw(name)
                    self.views[name].say("")
                else:
                    self._engine.request(request)
        if self._engine.busy:
            self._engine.wait(YIELD_S)
        for frame in self._engine.frames():
            self._show(frame)
            if not self.on:
                return
        for view in self.views.values():
            if view.shown is None and view.wanted is not None:
                view.say(self._waiting())
        if not self.busy:
            self._timer.stop()

    def _show(self, frame: Any) -> None:
        if frame.error is not None:
            if not isinstance(frame.error, library().MultiContrastSRError):
                logging.error(f"Live zoom failed: {frame.error!r}")
            self.stop(frame.error)
            return
        view = self.views.get(frame.request.view)
        if view is None:
            return
        view.show(frame)
        report = self._engine.renderer.report
        label = library("methods").get(frame.method).label
        text = describe(label, frame, report.device if report is not None else "cpu")
        if view.shown is frame:
            view.say(text)
        if self._on_status is not None:
            self._on_status(f"{frame.request.view}: {text.splitlines()[0]}")

    # ------------------------------------------------------------------ what happens to the scene

    def _observe(self) -> None:
        scene, target, reference = slicer.mrmlScene, self.target, self.reference
        watch = [
            (scene, scene.StartCloseEvent, lambda *_: self.stop()),
            (scene, scene.NodeAboutToBeRemovedEvent, self._node_removed),
        ]
        for node in (target, reference):
            if node is not None:
                events = vtk.vtkCommand.ModifiedEvent, node.ImageDataModifiedEvent, node.TransformModifiedEvent
                watch += [(node, event, self._input_modified) for event in events]
        display = target.GetDisplayNode()
        if display is not None:
            watch.append((display, vtk.vtkCommand.ModifiedEvent, self._look_changed))
        crosshair = scene.GetFirstNodeByClass("vtkMRMLCrosshairNode")
        if crosshair is not None:
            watch.append((crosshair, crosshair.CursorPositionModifiedEvent, self._pointer_moved))
        self._observed = [(node, node.AddObserver(event, slot)) for node, event, slot in watch]

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _node_removed(self, caller: Any, event: str, node: Any) -> None:
        if node is self.target:
            self.stop(
                library("core.errors").InputError(f"The target {node.GetName()!r} was deleted; live zoom is off.")
            )
        elif node is self.reference:
            self.reference = None
            self._prepare_soon()
        else:
            for name, view in list(self.views.items()):
                if node is view.node:
                    self.views.pop(name).remove()
                    self._engine.withdraw(name)

    def _input_modified(self, caller: Any, event: str) -> None:
        if (caller is self.target or caller is self.reference) and self._state_of_inputs() != self._prepared_for:
            self._prepare_soon()

    def _state_of_inputs(self) -> list[tuple]:
        """Changes when voxels, geometry or transforms of the inputs do; not with names and the like."""
        return [_state_of(node) for node in (self.target, self.reference) if node is not None]

    def _prepare_soon(self) -> None:
        self._prepared_for = self._state_of_inputs()
        self._restart_at = time.monotonic() + SETTLE_S
        for view in self.views.values():
            view.layers.follow_target()
            view.forget()
            view.say(self._waiting())
        self._timer.start()

    def _look_changed(self, caller: Any, event: str) -> None:
        for view in self.views.values():
            view.layers.follow_look()

    def _pointer_moved(self, caller: Any, event: str) -> None:
        place = [0.0, 0.0, 0.0]
        node = caller.GetCursorPositionXYZ(place)
        for view in self.views.values():
            if node is view.node:
                view.point(place[0], place[1])


def _state_of(node: Any) -> tuple:
    image, matrix = node.GetImageData(), vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    local = slicer.util.arrayFromVTKMatrix(matrix).tobytes()
    parent = node.GetParentTransformNode()
    linear = parent is None or bool(parent.IsTransformToWorldLinear())
    world = library("mrml").transform_to_world(node).tobytes() if linear else parent.GetMTime()
    return image is None or image.GetMTime(), local, world


_PIPELINE_SETTINGS = ("method", "register", "data_consistency", "device")
