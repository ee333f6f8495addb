"""What live zoom draws over a slice view: a label, and the edge of the lens or the split."""

from __future__ import annotations

from typing import Any

import vtk

_COLOUR = (1.0, 0.85, 0.4)
_SIZE = 13  # points


class ViewAnnotations:
    """A label in the lower right corner and an edge, drawn by the view's own renderer.

    Args:
        slice_view: qMRMLSliceView; its pixels are device pixels, so annotations grow with the screen's density.
    """

    def __init__(self, slice_view: Any) -> None:
        self._view = slice_view
        density = float(getattr(slice_view, "devicePixelRatioF", lambda: 1.0)())
        self._label = vtk.vtkTextActor()
        text = self._label.GetTextProperty()
        text.SetFontSize(round(_SIZE * density))
        text.SetColor(*_COLOUR)
        text.SetShadow(True)
        text.SetJustificationToRight()
        text.SetVerticalJustificationToBottom()
        self._label.GetPositionCoordinate().SetCoordinateSystemToNormalizedViewport()
        self._label.SetPosition(0.99, 0.01)
        self._points, self._lines = vtk.vtkPoints(), vtk.vtkCellArray()
        shape = vtk.vtkPolyData()
        shape.SetPoints(self._points)
        shape.SetLines(self._lines)
        self._shape = shape
        mapper = vtk.vtkPolyDataMapper2D()
        mapper.SetInputData(shape)
        self._edge = vtk.vtkActor2D()
        self._edge.SetMapper(mapper)
        self._edge.GetProperty().SetColor(*_COLOUR)
        self._edge.GetProperty().SetLineWidth(density)
        for actor in (self._label, self._edge):
            self._renderer.AddViewProp(actor)

    @property
    def _renderer(self) -> Any:
        return self._view.renderWindow().GetRenderers().GetFirstRenderer()

    @property
    def text(self) -> str:
        """The text of the label."""
        return self._label.GetInput() or ""

    def set_text(self, text: str) -> None:
        """Show `text` in the label."""
        if text != self.text:
            self._label.SetInput(text)
            self._view.scheduleRender()

    def draw_line(self, *corners: tuple[float, float]) -> None:
        """Draw the line through `corners` (pixels from the lower left); none: no line."""
        self._points.Reset()
        self._lines.Reset()
        for x, y in corners:
            self._points.InsertNextPoint(x, y, 0)
        if corners:
            self._lines.InsertNextCell(len(corners))
            for number in range(len(corners)):
                self._lines.InsertCellPoint(number)
        self._points.Modified()
        self._shape.Modified()
        self._view.scheduleRender()

    def remove(self) -> None:
        """Remove the annotations from the view."""
        for actor in (self._label, self._edge):
            self._renderer.RemoveViewProp(actor)
        self._view.scheduleRender()
