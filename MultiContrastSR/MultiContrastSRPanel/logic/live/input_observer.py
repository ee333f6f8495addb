"""Observes what live zoom and Compare depend on: its nodes, their transforms and display, the pointer, the scene."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import slicer
import vtk

from ..library import library

if TYPE_CHECKING:
    from .view_session import ViewSession


class InputObserver:
    """Calls a `ViewSession` when its target, its reference, the target's display, the pointer or the scene change.

    Args:
        session: called on changes until `remove` is called.
    """

    def __init__(self, session: ViewSession) -> None:
        self._session = session
        self._state = self._state_of_inputs()
        scene = slicer.mrmlScene
        slots = [
            (scene, scene.StartCloseEvent, self._on_scene_closed),
            (scene, scene.NodeAboutToBeRemovedEvent, self._on_node_removed),
            # also when the target gets another display node
            (session.target, session.target.DisplayModifiedEvent, self._on_display_modified),
        ]
        for node in self._inputs:
            events = vtk.vtkCommand.ModifiedEvent, node.ImageDataModifiedEvent, node.TransformModifiedEvent
            slots += [(node, event, self._on_input_modified) for event in events]
        crosshair = scene.GetFirstNodeByClass("vtkMRMLCrosshairNode")
        if crosshair is not None:
            slots.append((crosshair, crosshair.CursorPositionModifiedEvent, self._on_pointer_moved))
        self._tags = [(node, node.AddObserver(event, slot)) for node, event, slot in slots]

    def remove(self) -> None:
        """Stop observing."""
        for node, tag in self._tags:
            node.RemoveObserver(tag)
        self._tags = []

    @property
    def _inputs(self) -> list[Any]:
        return [node for node in (self._session.target, self._session.reference) if node is not None]

    def _state_of_inputs(self) -> list[tuple]:
        """Changes when voxels, geometry or transforms of the inputs do; not with names and the like."""
        return [_state_of(node) for node in self._inputs]

    def _on_scene_closed(self, caller: Any, event: str) -> None:
        self._session.stop()

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _on_node_removed(self, caller: Any, event: str, node: Any) -> None:
        session = self._session
        if node is session.target:
            message = f"The target {node.GetName()!r} was deleted; live zoom is off."
            session.stop(library("core.errors").InputError(message))
        elif node is session.reference:
            session.remove_reference()
            self._state = self._state_of_inputs()
        else:
            session.remove_view_of(node)
            for view in session.views.values():
                if view.layers.has(node):
                    view.renew_layers(node)

    def _on_input_modified(self, caller: Any, event: str) -> None:
        if any(caller is node for node in self._inputs) and self._state_of_inputs() != self._state:
            self._state = self._state_of_inputs()
            self._session.restart_soon()

    def _on_display_modified(self, caller: Any, event: str) -> None:
        for view in self._session.views.values():
            view.layers.follow_display()

    def _on_pointer_moved(self, caller: Any, event: str) -> None:
        position = [0.0, 0.0, 0.0]
        node = caller.GetCursorPositionXYZ(position)
        for view in self._session.views.values():
            if node is view.node:
                view.set_pointer(position[0], position[1])


def _state_of(node: Any) -> tuple:
    image, matrix = node.GetImageData(), vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    local = slicer.util.arrayFromVTKMatrix(matrix).tobytes()
    parent = node.GetParentTransformNode()
    linear = parent is None or bool(parent.IsTransformToWorldLinear())
    world = library("mrml").transform_to_world(node).tobytes() if linear else parent.GetMTime()
    return image is None or image.GetMTime(), local, world
