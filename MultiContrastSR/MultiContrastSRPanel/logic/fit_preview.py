"""Shows the latest image of a fit under way in the slice views, and can end the fit early."""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager
from typing import Any

import slicer

from .library import library

POINTS = 1 << 17  # of a preview: a second or so of a small network on a CPU
_SHOWN = "MultiContrastSR.Shown"  # reference of a view that shows a preview: its target, which a saved scene needs


class FitImages:
    """The latest image of a fit, and a way to end the fit early: what the worker's thread has of a preview.

    Args:
        target: the `Volume` that is super-resolved.

    Attributes:
        begun: whether a fit is under way.
    """

    def __init__(self, target: Any) -> None:
        self._target = target
        self._end_early = threading.Event()
        self._latest: Any = None
        self.begun = False

    def fit_callbacks(self) -> AbstractContextManager[None]:
        """Within the block, fits of this thread leave their images here and can be ended early by `keep`."""
        return library("inr.callbacks").fit_callbacks(self._end_early.is_set, self._take_image)

    def keep(self) -> None:
        """End the fit at its next step; the run goes on with its best state so far."""
        self._end_early.set()

    def take(self) -> Any:
        """The latest image, a `Volume`, if there is a new one; else None."""
        latest, self._latest = self._latest, None
        return latest

    def _take_image(self, point: Any, render: Any) -> None:
        self.begun = True
        grid = preview_grid(self._target.grid)
        self._latest = library("image.volume").Volume.on(grid, render(grid)[0], self._target.name)


class FitPreview:
    """Shows, in the views that show the target, the present state of a subject-specific fit. Main thread only.

    The volume is coarse, hidden from menus, never saved, and removed when the run ends.

    Args:
        target: the `mrml.Source` that is super-resolved.

    Attributes:
        images: see `FitImages`.
    """

    def __init__(self, target: Any) -> None:
        self._target = target
        self._node: Any = None
        self.images = FitImages(target.volume)

    def show(self) -> None:
        """Show the latest image, if there is a new one."""
        latest = self.images.take()
        if latest is None:
            return
        if self._node is None or not slicer.mrmlScene.IsNodePresent(self._node):
            self._node = self._hidden_volume()
        with slicer.util.NodeModify(self._node):
            slicer.util.updateVolumeFromArray(self._node, latest.array)
            self._node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(latest.affine))
        for composite in _views(slicer.mrmlScene):
            if composite.GetBackgroundVolumeID() == self._target.node.GetID():
                composite.SetNodeReferenceID(_SHOWN, self._target.node.GetID())
                composite.SetBackgroundVolumeID(self._node.GetID())

    def remove(self) -> None:
        """Show the target again, and remove the preview from the scene."""
        node, self._node = self._node, None
        if node is not None and slicer.mrmlScene.IsNodePresent(node):
            display = node.GetDisplayNode()
            slicer.mrmlScene.RemoveNode(node)
            slicer.mrmlScene.RemoveNode(display)
            restore_targets(slicer.mrmlScene)

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


def restore_targets(scene: Any) -> None:
    """Show targets where previews were shown that are gone: removed, or not in a scene that was saved meanwhile."""
    for composite in _views(scene):
        if not composite.GetNodeReferenceID(_SHOWN):
            continue
        background = scene.GetNodeByID(composite.GetBackgroundVolumeID() or "")
        if background is None:
            target = composite.GetNodeReference(_SHOWN)
            composite.SetBackgroundVolumeID(None if target is None else target.GetID())
        if background is None or background.GetSaveWithScene():  # else a preview, which another run shows
            composite.SetNodeReferenceID(_SHOWN, None)


def _views(scene: Any) -> list[Any]:
    """What the slice views of a scene show."""
    return slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode", scene)
