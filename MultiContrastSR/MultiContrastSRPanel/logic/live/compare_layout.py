"""Two linked slice views side by side: the target at the left, its result at the right."""

from __future__ import annotations

from typing import Any

import numpy as np
import qt
import slicer

from .view_names import slice_view_names

LEFT, RIGHT = "Red", "Yellow"  # the views of Slicer's layout "Side by side"


class CompareLayout:
    """Shows two nodes side by side in one plane at one zoom, and puts the views back as they were before.

    Args:
        target, result: the nodes of the left and of the right view.
    """

    def __init__(self, target: Any, result: Any) -> None:
        self._manager = slicer.app.layoutManager()
        self._layout_before = self._manager.layout
        # of all views: those that are not shown follow linked ones
        self._views_before = [_ViewState(self._manager.sliceWidget(name)) for name in slice_view_names()]
        self._layers_before = [
            (composite, composite.GetBackgroundVolumeID(), composite.GetForegroundVolumeID())
            for composite in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")
        ]
        self._shown = True
        self._manager.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutSideBySideView)
        for name, node in ((LEFT, target), (RIGHT, result)):
            composite = self._manager.sliceWidget(name).mrmlSliceCompositeNode()
            with slicer.util.NodeModify(composite):
                composite.SetBackgroundVolumeID(node.GetID())
                composite.SetForegroundVolumeID(None)
                composite.SetLinkedControl(True)
                composite.SetHotLinkedControl(True)
        self._align()
        qt.QTimer.singleShot(0, self._align)  # once the views have the sizes of the new layout

    def restore(self) -> None:
        """Show the layout, the planes and the volumes of before; nodes that left the scene are left out."""
        if not self._shown:
            return
        self._shown = False
        self._manager.setLayout(self._layout_before)
        for state in self._views_before:
            state.restore()
        for composite, *volumes in self._layers_before:
            background, foreground = (v if v and slicer.mrmlScene.GetNodeByID(v) else None for v in volumes)
            with slicer.util.NodeModify(composite):
                composite.SetBackgroundVolumeID(background)
                composite.SetForegroundVolumeID(foreground)

    def _align(self) -> None:
        """Give the right view the plane, the centre and the zoom of the left one."""
        if not self._shown:
            return
        left, right = (self._manager.sliceWidget(name).mrmlSliceNode() for name in (LEFT, RIGHT))
        with slicer.util.NodeModify(right):
            right.GetSliceToRAS().DeepCopy(left.GetSliceToRAS())
            right.SetXYZOrigin(*left.GetXYZOrigin())
            width, _height, depth = left.GetFieldOfView()
            columns, rows, _ = right.GetDimensions()
            right.SetFieldOfView(width, width * rows / max(columns, 1), depth)
            right.UpdateMatrices()


class _ViewState:
    """The plane, the zoom and the links of a slice view at one time."""

    def __init__(self, widget: Any) -> None:
        self._node, self._composite = widget.mrmlSliceNode(), widget.mrmlSliceCompositeNode()
        self._plane = np.array(slicer.util.arrayFromVTKMatrix(self._node.GetSliceToRAS()))
        self._origin = self._node.GetXYZOrigin()
        width, _height, self._depth = self._node.GetFieldOfView()
        self._pixel = width / max(self._node.GetDimensions()[0], 1)
        self._links = self._composite.GetLinkedControl(), self._composite.GetHotLinkedControl()

    def restore(self) -> None:
        self._composite.SetLinkedControl(self._links[0])
        self._composite.SetHotLinkedControl(self._links[1])
        self._restore_zoom()
        qt.QTimer.singleShot(0, self._restore_zoom)  # once the view has its former size

    def _restore_zoom(self) -> None:
        columns, rows, _ = self._node.GetDimensions()
        with slicer.util.NodeModify(self._node):
            self._node.GetSliceToRAS().DeepCopy(slicer.util.vtkMatrixFromArray(self._plane))
            self._node.SetXYZOrigin(*self._origin)
            self._node.SetFieldOfView(self._pixel * columns, self._pixel * rows, self._depth)
            self._node.UpdateMatrices()
