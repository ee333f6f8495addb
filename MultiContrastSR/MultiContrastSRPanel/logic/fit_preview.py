"""Shows the latest image of a fit under way in the slice views, and can end the fit early."""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager
from typing import Any

import slicer

from .library import library

POINTS = 1 << 17  # of a preview: a second or so of a small network on a CPU


class FitPreview:
    """Shows, in the views that show the target, the present state of a subject-specific fit.

    The volume is coarse, hidden from menus, never saved, and removed when the run ends.

    Args:
        target: the `mrml.Source` that is super-resolved.
    """

    def __init__(self, target: Any) -> None:
        self._target = target
        self._end_early = threading.Event()
        self._latest: Any = None
        self._node: Any = None
        self.begun = False

    # ------------------------------------------------------------------ on the worker's thread

    def fit_callbacks(self) -> AbstractContextManager[None]:
        """Within the block, fits of this thread are shown and can be ended early by `keep`."""
        return library("inr.callbacks").fit_callbacks(self._end_early.is_set, self._take_image)

    def _take_image(self, point: Any, render: Any) -> None:
        self.begun = True
        grid = preview_grid(self._target.volume.grid)
        self._latest = library("image.volume").Volume.on(grid, render(grid)[0], self._target.volume.name)

    # ------------------------------------------------------------------ on the main thread

    def keep(self) -> None:
        """End the fit at its next step; the run goes on with its best state so far."""
        self._end_early.set()

    def show(self) -> None:
        """Show the latest image, if there is a new one."""
        latest, self._latest = self._latest, None
        if latest is None:
            return
        if self._node is None or not slicer.mrmlScene.IsNodePresent(self._node):
            self._node = self._hidden_volume()
        with slicer.util.NodeModify(self._node):
            slicer.util.updateVolumeFromArray(self._node, latest.array)
            self._node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(latest.affine))
        replace_background(self._target.node, self._node)

    def remove(self) -> None:
        """Show the target again, and remove the preview from the scene."""
        node, self._node = self._node, None
        if node is not None and slicer.mrmlScene.IsNodePresent(node):
            replace_background(node, self._target.node)
            display = node.GetDisplayNode()
            slicer.mrmlScene.RemoveNode(node)
            slicer.mrmlScene.RemoveNode(display)

    def _hidden_volume(self) -> Any:
        node = slicer.vtkMRMLScalarVolumeNode()
        node.SetName(f"{self._target.volume.name} preview")
        node.SetHideFromEditors(True)
        node.SetSaveWithScene(False)
        slicer.mrmlScene.AddNode(node)
        node.CreateDefaultDisplayNodes()
        display, target_display = node.GetDisplayNode(), self._target.node.GetDisplayNode()
        display.SetSaveWithScene(False)
        if target_display is not None:
            display.CopyContent(target_display)
            display.SetAutoWindowLevel(False)
            display.SetWindowLevel(target_display.GetWindow(), target_display.GetLevel())
        return node


def preview_grid(grid: Any) -> Any:
    """A grid of nearly cubic voxels over the field of view of `grid`, of about `POINTS` points."""
    k, j, i = grid.spacing
    return grid.isotropic((grid.size * k * j * i / POINTS) ** (1 / 3))


def replace_background(before: Any, after: Any) -> None:
    """Show `after` in the slice views that show `before`; both are volumes, the second may have left the scene."""
    present = slicer.mrmlScene.IsNodePresent(after)
    for composite in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode"):
        if composite.GetBackgroundVolumeID() == before.GetID():
            composite.SetBackgroundVolumeID(after.GetID() if present else None)
