"""The volumes that live zoom shows in a slice view, in additional layers of its own.

Slicer saves a view's layers as the identifiers of their nodes, and sends no event before it saves. So the layers'
nodes, which are never saved themselves, have identifiers that no other node can get (singletons of a tag of their own),
and layers of a loaded scene that still name them are removed (`remove_stale_layers`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer

FIRST = 3  # after background, foreground and label: the additional layers of Slicer 5.10 and newer
TAG = "MultiContrastSRLiveZoom"
DIFFERENCE_OPACITY = 0.6
DIFFERENCE_WINDOW = 0.3  # of the target's window
SUPPORTED = hasattr(slicer.vtkMRMLSliceCompositeNode, "SetNthLayerVolume")


class ViewLayers:
    """At most two layers of one view: the frame, and under it the target where the user shows something else.

    The user's own layers stay as they are.

    Args:
        slice_logic: vtkMRMLSliceLogic of the view.
        target: the node that is super-resolved; how it is displayed is followed.
        name: of the view, part of the identifiers of the layers' nodes.
    """

    def __init__(self, slice_logic: Any, target: Any, name: str) -> None:
        self._logic, self._target, self._name = slice_logic, target, name
        self._frame: Any = None
        self._base: Any = None
        self._difference = False

    @property
    def frame(self) -> Any:
        """The node that shows the latest frame; None before the first."""
        return self._frame

    @property
    def visible(self) -> bool:
        """Whether a frame is shown."""
        layer = self._layer_of(self._frame)
        return layer is not None and self._composite.GetNthLayerOpacity(layer) > 0

    def show(self, array: np.ndarray, affine: np.ndarray, difference: bool = False) -> None:
        """Show `array` [1, rows, columns] at `affine` (to RAS mm, world); as a signed difference if it is one."""
        if self._frame is None:
            self._frame = _hidden_volume(f"{self._name}Frame")
            self.follow_display()
        node = self._frame
        with slicer.util.NodeModify(node):
            slicer.util.updateVolumeFromArray(node, array)
            node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(affine))
        if difference != self._difference:
            self._difference = difference
            self.follow_display()
        self.follow_background()
        layer = self._layer_of(node)
        self._set_opacity(self._append(node) if layer is None else layer, DIFFERENCE_OPACITY if difference else 1.0)

    def hide(self) -> None:
        """Hide the frame, so that the target is shown as Slicer interpolates it."""
        layer = self._layer_of(self._frame)
        if layer is not None:
            self._set_opacity(layer, 0.0)

    def follow_display(self) -> None:
        """Display the layers as the target is displayed, or the frame as a difference."""
        shown = self._target.GetDisplayNode()
        if shown is None:
            return
        for node in (self._base, self._frame):
            if node is None:
                continue
            display = node.GetDisplayNode()
            with slicer.util.NodeModify(display):
                display.SetAutoWindowLevel(False)
                display.SetInterpolate(shown.GetInterpolate())
                if self._difference and node is self._frame:
                    display.SetApplyThreshold(False)
                    display.SetInvertDisplayScalarRange(False)
                    display.SetWindowLevel(DIFFERENCE_WINDOW * shown.GetWindow(), 0.0)
                    display.SetAndObserveColorNodeID(difference_colours().GetID())
                else:
                    display.SetWindowLevel(shown.GetWindow(), shown.GetLevel())
                    display.SetAndObserveColorNodeID(shown.GetColorNodeID())
                    display.SetThreshold(shown.GetLowerThreshold(), shown.GetUpperThreshold())
                    display.SetApplyThreshold(shown.GetApplyThreshold())
                    display.SetInvertDisplayScalarRange(shown.GetInvertDisplayScalarRange())

    def follow_background(self) -> None:
        """Show the target under the frame where the view's background is another volume."""
        needed = self._frame is not None and self._composite.GetBackgroundVolumeID() != self._target.GetID()
        if needed and self._base is None:
            self._base = _hidden_volume(f"{self._name}Base")
            self.follow_display()
            self.follow_target()
            layer = self._layer_of(self._frame)
            opacity = 0.0
            if layer is not None:
                opacity = self._composite.GetNthLayerOpacity(layer)
                self._remove_layer(layer)
            self._set_opacity(self._append(self._base), 1.0)
            self._set_opacity(self._append(self._frame), opacity)
        elif not needed and self._base is not None:
            base, self._base = self._base, None
            self._discard(base)

    def follow_target(self) -> None:
        """Let the layer under the frame show the target's present voxels and position; nothing is copied."""
        if self._base is not None:
            with slicer.util.NodeModify(self._base):
                self._base.CopyOrientation(self._target)
                self._base.SetAndObserveTransformNodeID(self._target.GetTransformNodeID())
                self._base.SetAndObserveImageData(self._target.GetImageData())

    def has(self, node: Any) -> bool:
        """Whether `node` is one of the layers' volumes, or displays one."""
        volumes = self._frame, self._base
        return any(volume is not None and node in (volume, volume.GetDisplayNode()) for volume in volumes)

    def remove(self, leaving: Any = None) -> None:
        """Remove the layers from the view and their nodes from the scene; `leaving` is about to leave it anyway."""
        volumes = self._frame, self._base
        self._frame = self._base = None
        for volume in volumes:
            if volume is not None:
                self._discard(volume, leaving)

    # ------------------------------------------------------------------ details

    @property
    def _composite(self) -> Any:
        return self._logic.GetSliceCompositeNode()

    def _layers(self) -> range:
        return range(FIRST, FIRST + self._composite.GetNumberOfAdditionalLayers())

    def _layer_of(self, node: Any) -> int | None:
        """The additional layer that shows `node`."""
        composite = self._composite
        if node is None or composite is None:
            return None
        return next((n for n in self._layers() if composite.GetNthLayerVolume(n) is node), None)

    def _append(self, node: Any) -> int:
        layer = FIRST + self._composite.GetNumberOfAdditionalLayers()
        self._composite.SetNthLayerVolume(layer, node)
        return layer

    def _discard(self, node: Any, leaving: Any = None) -> None:
        layer = self._layer_of(node)
        if layer is not None:
            self._remove_layer(layer)
        for removed in (node, node.GetDisplayNode()):
            if removed is not None and removed is not leaving and slicer.mrmlScene.IsNodePresent(removed):
                slicer.mrmlScene.RemoveNode(removed)
        node.SetAndObserveImageData(None)  # last: a layer of the view whose volume has no image is an error of VTK

    def _remove_layer(self, layer: int) -> None:
        composite = self._composite
        above = [composite.GetNthLayerOpacity(n) for n in self._layers() if n > layer]
        composite.SetNthLayerVolume(layer, None)  # layers above move down, their opacities do not
        for number, opacity in enumerate([*above, 1.0]):
            self._set_opacity(layer + number, opacity)
        last = self._logic.GetNthLayer(FIRST + composite.GetNumberOfAdditionalLayers())
        if last is not None:
            last.SetVolumeNode(None)  # the logic keeps its layer, which would keep the volume

    def _set_opacity(self, layer: int, opacity: float) -> None:
        """Without the composite node's growing list of opacities making layers below it invisible."""
        composite = self._composite
        lower = [composite.GetNthLayerOpacity(n) for n in range(FIRST, layer)]
        with slicer.util.NodeModify(composite):
            composite.SetNthLayerOpacity(layer, opacity)
            for number, before in enumerate(lower):
                composite.SetNthLayerOpacity(FIRST + number, before)


def remove_stale_layers(scene: Any) -> None:
    """Remove layers whose nodes are missing, since the scene was saved with live zoom on."""
    role = "additionalLayerVolume"
    for composite in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode", scene):
        for number in reversed(range(composite.GetNumberOfNodeReferences(role))):
            identifier = composite.GetNthNodeReferenceID(role, number) or ""
            if TAG in identifier and scene.GetNodeByID(identifier) is None:
                composite.RemoveNthNodeReferenceID(role, number)


def _hidden_volume(name: str) -> Any:
    """A scalar volume with a display node, both hidden and never saved."""
    made = []
    for kind in (slicer.vtkMRMLScalarVolumeDisplayNode, slicer.vtkMRMLScalarVolumeNode):
        node = kind()
        node.SetName(f"Live zoom {name}")
        node.SetSingletonTag(TAG + name)
        node.SetHideFromEditors(True)
        node.SetSaveWithScene(False)
        made.append(slicer.mrmlScene.AddNode(node))
    display, volume = made
    volume.SetAndObserveDisplayNodeID(display.GetID())
    return volume


_COLOURS = "MultiContrastSR signed difference"


def difference_colours() -> Any:
    """A colour table from blue (less than interpolation) over dark grey to red (more); not saved with the scene."""
    found = slicer.mrmlScene.GetFirstNodeByName(_COLOURS)
    if found is not None:
        return found
    node = slicer.vtkMRMLColorTableNode()
    node.SetName(_COLOURS)
    node.SetHideFromEditors(True)
    node.SetSaveWithScene(False)
    node.SetTypeToUser()
    node.SetNumberOfColors(256)
    for number, share in enumerate(np.linspace(-1, 1, 256)):
        rest = 0.15 * (1 - abs(share))
        red, blue = max(share, 0.0), max(-share, 0.0)
        node.SetColor(number, f"{share:+.2f}", rest + red, rest + 0.35 * (red + blue) ** 2, rest + blue, 1.0)
    slicer.mrmlScene.AddNode(node)
    return node


def remove_difference_colours() -> None:
    """Remove the colour table of the differences from the scene."""
    found = slicer.mrmlScene.GetFirstNodeByName(_COLOURS)
    if found is not None:
        slicer.mrmlScene.RemoveNode(found)
