"""The menu *Region*: the whole scan, the box of a markups ROI, or what the slice views show."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt
import slicer
import vtk

from ..logic.region import VIEWS, place_default_box

_DELAY_MS = 150  # from the last change of a box or of a view until the size of the result is computed again


class RegionChoice:
    """Shows the selector of the ROI where it is needed, and follows the box or the views that are chosen.

    Args:
        ui: the named widgets.
        on_changed: called a while after the box or a view has changed.
    """

    def __init__(self, ui: Any, on_changed: Callable[[], None]) -> None:
        self.ui = ui
        self._parameters: Any = None
        self._observed: list[tuple[Any, list[int]]] = []
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(_DELAY_MS)
        self._timer.connect("timeout()", on_changed)
        ui.roiSelector.connect("nodeAddedByUser(vtkMRMLNode*)", self._on_node_added)

    def set_parameters(self, parameters: Any) -> None:
        """Follow this parameter node (wrapped), or none."""
        self._parameters = parameters
        self.refresh()

    def refresh(self) -> None:
        """Show the widgets that belong to the choice, and observe what it depends on."""
        mode = self._mode
        for widget in (self.ui.roiLabel, self.ui.roiSelector):
            widget.visible = mode == "roi"
        nodes: list[Any] = []
        if mode == "roi" and self._parameters.roi is not None:
            nodes = [self._parameters.roi]
        elif mode == "views":
            nodes = list(slicer.util.getNodesByClass("vtkMRMLSliceNode"))
        self._observe(nodes)

    def value(self) -> Any:
        """The choice as `logic.process` takes it: None, a node or "views"."""
        return {"roi": self._parameters.roi, "views": VIEWS}.get(self._mode)

    @property
    def _mode(self) -> str:
        return "whole" if self._parameters is None else self._parameters.region.name

    def _observe(self, nodes: list[Any]) -> None:
        if nodes == [node for node, _ in self._observed]:
            return
        for node, tags in self._observed:
            for tag in tags:
                node.RemoveObserver(tag)
        self._observed = []
        for node in nodes:
            events = [vtk.vtkCommand.ModifiedEvent]
            if node.IsA("vtkMRMLMarkupsNode"):
                events += [node.PointModifiedEvent, node.TransformModifiedEvent]
            self._observed.append((node, [node.AddObserver(event, self._on_modified) for event in events]))

    def _on_modified(self, caller: Any = None, event: Any = None) -> None:
        self._timer.start()

    def _on_node_added(self, node: Any) -> None:
        """A box that was just created has no extent: give it one in the middle of the first view."""
        if node.GetNumberOfControlPoints() == 0:
            place_default_box(node, self._parameters.target)
