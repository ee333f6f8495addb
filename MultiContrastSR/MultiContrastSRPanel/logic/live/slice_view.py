"""Live zoom in one slice view: the frame it shows and the request for the next one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _

from ..library import library
from .annotations import ViewAnnotations
from .layers import ViewLayers


class LiveSliceView:
    """Follows a slice view.

    Args:
        name: of the view, "Red" for example.
        target: the node that is super-resolved.
        target_grid: where its samples lie (`MultiContrastSRLib.Grid`, world).
        display: how frames are shown, see `DisplayOptions`; shared by all views, may change at any time.
        on_changed: called with this view when it shows other pixels than before.

    Attributes:
        frame: the one on the screen; None while there is none.
        requested: the grid that was on the screen at the latest change.
    """

    def __init__(
        self, name: str, target: Any, target_grid: Any, display: Any, on_changed: Callable[[LiveSliceView], None]
    ) -> None:
        self.name, self.target_grid, self.display = name, target_grid, display
        widget = slicer.app.layoutManager().sliceWidget(name)
        self.logic = widget.sliceLogic()
        self.node = widget.mrmlSliceNode()
        self._composite = widget.mrmlSliceCompositeNode()
        self._views = library("live.view")
        self._on_changed = on_changed
        self.layers = ViewLayers(self.logic, target, name)
        self.annotations = ViewAnnotations(widget.sliceView())
        self.frame: Any = None
        self.requested: Any = None
        self._pointer: tuple[float, float] | None = None
        self._observed = [
            (node, node.AddObserver(vtk.vtkCommand.ModifiedEvent, slot))
            for node, slot in ((self.node, self._node_modified), (self._composite, self._composite_modified))
        ]

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in screen pixels."""
        width, height, _depth = self.node.GetDimensions()
        return width, height

    @property
    def grid(self) -> Any:
        """The pixels in which something of the target is visible; None when there are none."""
        width, height = self.size
        if width < 2 or height < 2 or not self.node.IsMappedInLayout():
            return None
        whole = self._views.view_grid(
            slicer.util.arrayFromVTKMatrix(self.node.GetXYToRAS()), width, height, self.target_grid
        )
        return self._cut(whole)

    def request(self) -> Any:
        """The request for what the view shows now; None when nothing of the target is visible."""
        grid = self.grid
        if grid is None:
            return None
        step = self.logic.GetLowestVolumeSliceSpacing()[2] or grid.spacing[0]
        near = [self._cut(other) for other in self._views.neighbours(grid, step)]
        return library("live.request").Request(
            self.name, grid, self.display.difference, tuple(other for other in near if other is not None)
        )

    def _cut(self, grid: Any) -> Any:
        seen = self._views.seen_of(self.target_grid, grid)
        return None if seen.empty else self._views.part_of(grid, seen)

    # ------------------------------------------------------------------ frames

    def show(self, frame: Any) -> None:
        """Show a frame, unless the view shows another plane by now."""
        now = self.grid
        if now is None or not self._views.same_plane(frame.grid, now):
            return
        self.frame = frame
        self.redraw()

    def redraw(self) -> None:
        """Show the frame as the display options say: all of it, the lens, one side of a line, or none."""
        frame, display = self.frame, self.display
        if frame is None:
            return
        array = frame.difference if display.difference else frame.array
        part = self._part_of(frame.grid)
        if array is None or display.original or part.empty:
            self.layers.hide()
        else:
            piece = array[:, part.bottom : part.top, part.left : part.right]
            self.layers.show(piece, np.array(self._views.part_of(frame.grid, part).affine), display.difference)
        self._draw_edge()

    def clear_frame(self) -> None:
        """Show no frame until the next one arrives."""
        self.frame = None
        self.layers.hide()

    def renew_layers(self, leaving: Any) -> None:
        """Show the next frame in new layers, since somebody removes `leaving`, a node of theirs, from the scene."""
        self.layers.remove(leaving)
        self.frame = None
        self._on_changed(self)

    def set_text(self, text: str) -> None:
        """Show `text` in the label of the view."""
        self.annotations.set_text(text)

    def _rectangle(self) -> Any:
        """The part of the view, in its pixels, in which frames are shown."""
        width, height = self.size
        rectangle = self._views.Rectangle
        if self.display.show == "lens":
            x, y = self._pointer or (width / 2, height / 2)
            return rectangle.around(x, y, self.display.lens_size).within(width, height)
        if self.display.show == "split":
            return rectangle(round(self.display.split * width), width, 0, height)
        return rectangle(0, width, 0, height)

    def _part_of(self, grid: Any) -> Any:
        """The pixels of a frame's `grid` that lie in `_rectangle`, whatever their size."""
        rectangle = self._rectangle()
        to_frame = np.linalg.inv(grid.affine) @ slicer.util.arrayFromVTKMatrix(self.node.GetXYToRAS())
        first = to_frame @ (rectangle.left - 0.5, rectangle.bottom - 0.5, 0, 1)
        last = to_frame @ (rectangle.right - 0.5, rectangle.top - 0.5, 0, 1)
        _depth, rows, columns = grid.shape
        edges = [round(float(edge) + 0.5) for edge in (first[0], last[0], first[1], last[1])]
        return self._views.Rectangle(*edges).within(columns, rows)

    def _draw_edge(self) -> None:
        r = self._rectangle()
        if self.display.original or self.display.show == "view":
            self.annotations.draw_line()
        elif self.display.show == "split":
            self.annotations.draw_line((r.left, 0), (r.left, r.top))
        else:
            left, right, bottom, top = r.left, r.right - 1, r.bottom, r.top - 1
            self.annotations.draw_line((left, bottom), (right, bottom), (right, top), (left, top), (left, bottom))

    # ------------------------------------------------------------------ changes of the view

    def set_pointer(self, x: float, y: float) -> None:
        """Move the lens to the pointer's pixel."""
        if (x, y) != self._pointer:
            self._pointer = x, y
            if self.display.show == "lens":
                self.redraw()

    def update(self) -> None:
        """Follow the view; `on_changed` is called when it shows other pixels than before."""
        grid = self.grid
        if grid is not None and self.requested is not None and grid == self.requested:
            return
        self.requested = grid
        if self.frame is not None:
            if grid is None or not self._views.same_plane(self.frame.grid, grid):
                self.clear_frame()  # another slice: Slicer's interpolation is shown until the next frame
            elif self.display.show != "view":
                self.redraw()
        self._on_changed(self)

    def _node_modified(self, caller: Any, event: str) -> None:
        self.update()

    def _composite_modified(self, caller: Any, event: str) -> None:
        self.layers.follow_background()

    def remove(self) -> None:
        """Leave the view as it was before."""
        for node, tag in self._observed:
            node.RemoveObserver(tag)
        self._observed = []
        self.layers.remove()
        self.annotations.remove()
        self.frame = None


def frame_label(method: str, frame: Any, device: str) -> str:
    """The view's label while it shows `frame`: method, scale, time taken, device."""
    state = f"{1000 * frame.seconds:.0f} ms" if frame.final else _("refining…")
    if frame.final and not frame.seconds:
        state = _("from cache")
    first = _("{method} ×{scale:.1f} · {state} · {device}").format(
        method=method, scale=frame.scale, state=state, device="CPU" if device == "cpu" else "GPU"
    )
    second = _("detail within slices · research use") if frame.within_slices else _("research use")
    return f"{first}\n{second}"
