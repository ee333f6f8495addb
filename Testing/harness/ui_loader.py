"""Reads Designer's .ui files with the stand-in widgets, and refuses what Designer files may silently get wrong."""

import xml.etree.ElementTree as ElementTree

from PySide6 import QtCore, QtUiTools, QtWidgets

from . import pythonqt, signals

CUSTOM_WIDGETS: dict[str, type] = {}  # class name in the .ui file -> stand-in, filled by ctk.py and qmrml.py

_DESIGNERS_OWN = {"buddy"}  # written like a property, read by the loader itself


class UiLoader(QtUiTools.QUiLoader):
    """qt.QUiLoader. Connections are made here, since PySide6 knows no `setMRMLScene(vtkMRMLScene*)`."""

    def createWidget(self, class_name: str, parent=None, name: str = ""):
        if class_name in CUSTOM_WIDGETS:
            widget = CUSTOM_WIDGETS[class_name](parent)
            widget.setObjectName(name)
            return widget
        return super().createWidget(class_name, parent, name)

    def load(self, device, parent=None):
        tree = ElementTree.fromstring(bytes(device.readAll().data()))
        _check_classes(tree)
        connections = [
            tuple(c.findtext(part) for part in ("sender", "signal", "receiver", "slot"))
            for c in tree.iterfind("connections/connection")
        ]
        for element in tree.findall("connections"):
            tree.remove(element)
        buffer = QtCore.QBuffer()
        buffer.setData(ElementTree.tostring(tree))
        buffer.open(QtCore.QIODevice.OpenModeFlag.ReadOnly)
        with pythonqt.loading_ui:
            root = super().load(buffer, parent)
        if root is None:
            raise ValueError(f"the .ui file cannot be read: {self.errorString()}")
        objects = {root.objectName: root} | {o.objectName: o for o in root.findChildren(QtCore.QObject)}
        _check_properties(tree, objects)
        for sender, signal, receiver, slot in connections:
            method = getattr(objects[receiver], slot.partition("(")[0])
            signals.connect(objects[sender], signal, method)
        return root


def _check_classes(tree: ElementTree.Element) -> None:
    for name in (element.get("class") for element in tree.iter("widget")):
        if name not in CUSTOM_WIDGETS and name != "Line" and not hasattr(QtWidgets, name):
            raise ValueError(f"the .ui file uses the widget class {name}, which the harness does not have")


def _check_properties(tree: ElementTree.Element, objects: dict) -> None:
    """Designer writes a property that a class lacks without complaint, and Qt drops it: say so instead."""
    for element in tree.iter("widget"):
        widget = objects.get(element.get("name"))
        for entry in element.findall("property"):
            name = entry.get("name")
            known = widget is None or name in _DESIGNERS_OWN or widget.metaObject().indexOfProperty(name) >= 0
            if not known and entry.get("stdset") != "0":
                raise ValueError(f"{element.get('class')} '{element.get('name')}' has no property '{name}'")
