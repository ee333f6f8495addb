"""Stand-ins for Slicer's MRML widgets: they show and choose nodes of a real MRML scene."""

import types
from typing import ClassVar

import slicer
from PySide6 import QtWidgets
from PySide6.QtCore import Signal

from .ctk import ctkSliderWidget
from .node_combo_box import qMRMLNodeComboBox
from .pythonqt import cpp_class, typed_property
from .ui_loader import CUSTOM_WIDGETS


@cpp_class
class qMRMLWidget(QtWidgets.QWidget):
    """A widget that knows the scene and passes it on by `mrmlSceneChanged`."""

    _scene_changed = Signal(object)
    _signatures_: ClassVar = {"mrmlSceneChanged(vtkMRMLScene*)": ("_scene_changed", None)}

    def __init__(self, parent=None):
        super().__init__(parent)
        self._impl = types.SimpleNamespace(scene=None)

    def setMRMLScene(self, scene) -> None:
        if scene is not self._impl.scene:
            self._impl.scene = scene
            self._scene_changed.emit(scene)

    def mrmlScene(self):
        return self._impl.scene


@cpp_class
class qSlicerWidget(qMRMLWidget):
    """Slicer's own flavour of qMRMLWidget."""


@cpp_class
class qMRMLSliderWidget(ctkSliderWidget):
    """A slider that follows the scene's units; units are not followed here."""

    def setMRMLScene(self, scene) -> None:
        self._impl.scene = scene

    quantity = typed_property(str, lambda self: "", lambda self, name: None)


def install() -> None:
    """Put the widgets into the module `slicer` and teach the .ui reader."""
    for cls in (qMRMLNodeComboBox, qMRMLSliderWidget, qMRMLWidget, qSlicerWidget):
        setattr(slicer, cls.__name__, cls)
        CUSTOM_WIDGETS[cls.__name__] = cls
