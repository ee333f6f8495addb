"""Live zoom in one slice view: what it shows now, and what is laid over it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _

from ..library import library
from .annotations import ViewMarks
from .layers import ViewLayers


class LiveView:
    """Follows a slice view.

    Args:
        name: of the view, "Red" for example.
        target: the node that is super-resolved.
        target_grid: where its samples lie (`MultiContrastSRLib.Grid`, world).
        choices: what to show, see `session.Choices`; shared by all views, may change at any time.
        on_moved: called with this view when it shows other pixels than before.
    """

    def __init__(
        self, name: str, target: Any, target_grid: Any, choices: Any, on_moved: Callable[[LiveView], None]
    ) -> None:
        self.name, self.target_grid, self.choices = name, target_grid, choices
        widget = slicer.app.layoutManager().sliceWidget(name)
        self.logic = widget.sliceLogic()
        self.node = widget.mrmlSliceNode()
        self._composite = widget.mrmlSliceCompositeNode()
        self._views = library("live.view")
        self._on_moved = on_moved
        self.layers = ViewLayers(self.logic, target, name)
        self.marks = ViewMarks(widget.sliceView())
        self.shown: Any = None  # the frame on the screen
        self.wanted: Any = None  # the grid on the screen
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
        """The pixels on which something of the target is to be seen; None when there are none."""
        width, height = self.size
        if width < 2 or height < 2 or not self.node.IsMappedInLayout():
            return None
        whole = self._views.view_grid(
            slicer.util.arrayFromVTKMatrix(self.node.GetXYToRAS()), width, height, self.target_grid
        )
        return self._cut(whole)

    def request(self) -> Any:
        """What the engine should render for this view now; None when nothing of the target is to be seen."""
        grid = self.grid
        if grid is None:
            return None
        step = self.logic.GetLowestVolumeSliceSpacing()[2] or grid.spacing[0]
        near = [self._cut(other) for other in self._views.neighbours(grid, step)]
        return library("live.request").Request(
            self.name, grid, self.choices.difference, tuple(other for other in near if other is not None)
        )

    def _cut(self, grid: Any) -> Any:
        seen = self._views.seen_of(self.target_grid, grid)
        return None if seen.empty else self._views.part_of(grid, seen)

    # ------------------------------------------------------------------ frames

    def show(self, frame: Any) -> None:
        """Lay a frame over the view, unless the view has turned to another plane since."""
        now = self.grid
        if now is None or not self._views.same_plane(frame.grid, now):
            return
        self.shown = frame
        self.redraw()

    def redraw(self) -> None:
        """Show the frame at hand as the present choices want it: all of it, the lens, one side of a line, or none."""
        frame, choices = self.shown, self.choices
        if frame is None:
            return
        array = frame.difference if choices.difference else frame.array
        part = self._part_of(frame.grid)
        if array is None or choices.original or part.empty:
            self.layers.hide()
        else:
            piece = array[:, part.bottom : part.top, part.left : part.right]
            self.layers.show(piece, np.array(self._views.part_of(frame.grid, part).affine), choices.difference)
        self._draw_edge()

    def forget(self) -> None:
        """Show nothing until the next frame."""
        self.shown = None
        self.layers.hide()

    def say(self, text: str) -> None:
        """Show `text` in the view's badge."""
        self.marks.say(text)

    def _rectangle(self) -> Any:
        """The part of the view, in its pixels, in which frames are shown."""
        width, height = self.size
        rectangle = self._views.Rectangle
        if self.choices.show == "lens":
            x, y = self._pointer or (width / 2, height / 2)
            return rectangle.around(x, y, self.choices.lens_size).within(width, height)
        if self.choices.show == "split":
            return rectangle(round(self.choices.split * width), width, 0, height)
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
        if self.choices.original or self.choices.show == "view":
            self.marks.outline()
        elif self.choices.show == "split":
            self.marks.outline((r.left, 0), (r.left, r.top))
        else:
            left, right, bottom, top = r.left, r.right - 1, r.bottom, r.top - 1
            self.marks.outline((left, bottom), (right, bottom), (right, top), (left, top), (left, bottom))

    # ------------------------------------------------------------------ what happens to the view

    def point(self, x: float, y: float) -> None:
        """The pointer is at this pixel: the lens follows."""
        if (x, y) != self._pointer:
            self._pointer = x, y
            if self.choices.show == "lens":
                self.redraw()

    def moved(self) -> None:
        """Look at the view again: perhaps it shows other pixels."""
        grid = self.grid
        if grid is not None and self.wanted is not None and grid == self.wanted:
            return
        self.wanted = grid
        if self.shown is not None:
            if grid is None or not self._views.same_plane(self.shown.grid, grid):
                self.forget()  # another slice: what Slicer interpolates, until the next frame
            elif self.choices.show != "view":
                self.redraw()
        self._on_moved(self)

    def _node_modified(self, caller: Any, event: str) -> None:
        self.moved()

    def _composite_modified(self, caller: Any, event: str) -> None:
        self.layers.follow_background()

    def remove(self) -> None:
        """Leave the view as it was before."""
        for node, tag in self._observed:
            node.RemoveObserver(tag)
        self._observed = []
        self.layers.remove()
        self.marks.remove()
        self.shown = None


def describe(method: str, frame: Any, device: str) -> str:
    """The badge's words about a frame."""
    state = f"{1000 * frame.seconds:.0f} ms" if frame.final else _("refining…")
    if frame.final and not frame.seconds:
        state = _("from cache")
    where = "GPU" if device.startswith("cuda") else "CPU"
    first = _("{method} ×{scale:.1f} · {state} · {where}").format(
        method=method, scale=frame.scale, state=state, where=where
    )
    second = _("detail within slices · research use") if frame.within_slices else _("research use")
    return f"{first}\n{second}"
