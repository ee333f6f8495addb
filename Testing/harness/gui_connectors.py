"""Binds one parameter to one widget. Which widget takes which type is decided as in Slicer, by exact class."""

import types

import ctk
import qt
import slicer

from .parameter_types import Choice, Decimals, Maximum, Minimum, Parameter, SingleStep, WithinRange

_NUMBER_WIDGETS = (qt.QDoubleSpinBox, ctk.ctkSliderWidget, slicer.qMRMLSliderWidget, ctk.ctkDoubleSpinBox)


class Connector:
    """How to read, write and follow a widget: property or pair of functions, and the signal that tells of changes."""

    def __init__(self, widget, signal: str, read, write):
        self.widget, self.read, self.write = widget, read, write
        self._signal, self._slot = signal, None

    def follow(self, slot) -> None:
        """Call `slot()` when the widget changes; None stops that."""
        if self._slot is not None:
            getattr(self.widget, self._signal).disconnect(self._slot)
        self._slot = None if slot is None else (lambda *_: slot())
        if self._slot is not None:
            getattr(self.widget, self._signal).connect(self._slot)


def _property(widget, signal: str, name: str, convert=lambda value: value) -> Connector:
    def write(value) -> None:
        if getattr(widget, name) != value:
            setattr(widget, name, value)

    return Connector(widget, signal, lambda: convert(getattr(widget, name)), write)


def _number(widget, parameter: Parameter) -> Connector:
    """Limits and decimals come from the annotations; a slider must be bounded on both sides."""
    bounds = parameter.note(WithinRange)
    lowest = bounds or parameter.note(Minimum)
    highest = bounds or parameter.note(Maximum)
    integer = type(widget) in (qt.QSpinBox, qt.QSlider)
    if "lider" in type(widget).__name__ and (lowest is None or highest is None):
        raise RuntimeError(f"'{parameter.name}': a slider needs WithinRange, or Minimum and Maximum")
    if not integer:
        decimals = parameter.note(Decimals)
        if parameter.type is int:
            widget.decimals = 0
        elif decimals is not None:
            widget.decimals = decimals.value
    step = parameter.note(SingleStep)
    if step is not None:
        widget.singleStep = step.value
    endless = 2**31 - 1 if integer else float("inf")
    widget.minimum = lowest.minimum if lowest else (-endless - 1 if integer else -endless)
    widget.maximum = highest.maximum if highest else endless
    return _property(widget, "valueChanged", "value", parameter.type)


def _choice(widget, parameter: Parameter) -> Connector:
    """As in Slicer the items are replaced: by the choices, or by an Enum's labels (method `label`) or names."""
    if parameter.is_enum:
        label = getattr(parameter.type, "label", lambda member: member.name)
        values = list(parameter.type)
        texts = [label(member) for member in values]
    else:
        if parameter.note(Choice) is None:
            raise RuntimeError(f"'{parameter.name}': a combo box needs the annotation Choice")
        values = parameter.note(Choice).choices
        texts = [str(value) for value in values]
    widget.clear()
    widget.addItems(texts)

    def write(value) -> None:
        widget.currentIndex = values.index(value)

    return Connector(widget, "currentIndexChanged", lambda: values[widget.currentIndex], write)


def _node(widget, parameter: Parameter) -> Connector:
    widget.nodeTypes = [parameter.type().GetClassName()]
    return Connector(widget, "currentNodeChanged", widget.currentNode, widget.setCurrentNode)


def _text_edit(widget) -> Connector:
    return Connector(widget, "textChanged", widget.toPlainText, widget.setPlainText)


def _label(widget) -> Connector:
    connector = _property(widget, "", "text")
    connector.follow = types.MethodType(lambda self, slot: None, connector)  # a label never changes by itself
    return connector


def make_connector(widget, parameter: Parameter) -> Connector:
    """The connector for this widget and parameter, or RuntimeError when Slicer has none either."""
    cls, kind = type(widget), parameter.type
    if parameter.is_node and cls is slicer.qMRMLNodeComboBox:
        return _node(widget, parameter)
    if not parameter.optional:
        if kind is bool and cls in (qt.QCheckBox, ctk.ctkCheckBox):
            return _property(widget, "toggled", "checked")
        if kind is bool and cls is qt.QPushButton:
            widget.checkable = True
            return _property(widget, "toggled", "checked")
        if kind is int and cls in (qt.QSpinBox, qt.QSlider):
            return _number(widget, parameter)
        if kind in (int, float) and cls in _NUMBER_WIDGETS:
            return _number(widget, parameter)
        if (parameter.is_enum or kind in (int, float, str, bool)) and cls in (qt.QComboBox, ctk.ctkComboBox):
            return _choice(widget, parameter)
        if kind is str and cls is qt.QLineEdit:
            return _property(widget, "textChanged", "text")
        if kind is str and cls is qt.QLabel:
            return _label(widget)
        if kind is str and cls is qt.QTextEdit:
            return _text_edit(widget)
        if cls is ctk.ctkPathLineEdit and not parameter.is_enum and kind.__module__.startswith("pathlib"):
            read, write = (lambda: kind(widget.currentPath)), (lambda value: widget.setCurrentPath(str(value)))
            return Connector(widget, "currentPathChanged", read, write)
    raise RuntimeError(f"Unable to create GUI connector from datatype '{parameter.annotation}' to widget type '{cls}'")
