"""Stand-ins for the CTK widgets that module panels use: same properties, slots and signals, similar looks.

Only what CTK exposes to PythonQt has a public name here (properties, slots, invokable methods): `slider.minimum = 1`
works, `slider.setMinimum(1)` does not, as in Slicer. A widget's own state lives in `_impl`.
"""

import math
import sys
import types

from PySide6 import QtWidgets
from PySide6.QtCore import Qt, Signal

from .collapsible_button import ctkCollapsibleButton
from .pythonqt import cpp_class, typed_property
from .ui_loader import CUSTOM_WIDGETS


@cpp_class
class ctkComboBox(QtWidgets.QComboBox):
    """A combo box with a text for "nothing chosen yet"."""

    def __init__(self, parent=None):
        super().__init__(parent)
        self._impl = types.SimpleNamespace()

    defaultText = typed_property(
        str, lambda self: self.placeholderText, lambda self, text: self.setPlaceholderText(text)
    )
    currentUserDataAsString = typed_property(str, lambda self: str(self.currentData or ""))


@cpp_class
class ctkCheckBox(QtWidgets.QCheckBox):
    """A plain check box; CTK's extra is an icon in the indicator."""


def _row(widget: QtWidgets.QWidget, *parts: QtWidgets.QWidget) -> None:
    layout = QtWidgets.QHBoxLayout(widget)
    layout.setContentsMargins(0, 0, 0, 0)
    for part in parts:
        layout.addWidget(part)


def _spin_property(kind: type, name: str):
    """A property that lives in the inner spin box."""
    setter = "set" + name[0].upper() + name[1:]
    return typed_property(
        kind,
        lambda self: getattr(self._impl.spin, name),
        lambda self, value: getattr(self._impl.spin, setter)(value),
    )


@cpp_class
class ctkDoubleSpinBox(QtWidgets.QWidget):
    """A spin box for doubles; as in CTK a QWidget around Qt's."""

    valueChanged = Signal(float)
    decimalsChanged = Signal(int)
    editingFinished = Signal()

    def __init__(self, parent=None):
        super().__init__(parent)
        spin = QtWidgets.QDoubleSpinBox(self)
        self._impl = types.SimpleNamespace(spin=spin)
        _row(self, spin)
        self.setFocusProxy(spin)
        spin.valueChanged.connect(self.valueChanged)
        spin.editingFinished.connect(self.editingFinished)

    value, minimum, maximum = (_spin_property(float, n) for n in ("value", "minimum", "maximum"))
    singleStep, decimals = _spin_property(float, "singleStep"), _spin_property(int, "decimals")
    prefix, suffix = _spin_property(str, "prefix"), _spin_property(str, "suffix")

    def setValue(self, value: float) -> None:
        self._impl.spin.setValue(value)

    def setDecimals(self, decimals: int) -> None:
        self._impl.spin.setDecimals(decimals)


def _inexact(value: float) -> float:
    """CTK's slider computes its value from a position: 3.3 reads 3.2999999999999994; halves, quarters, … are exact."""
    return value if (1024 * value).is_integer() else math.nextafter(value, 0.0)


@cpp_class
class ctkSliderWidget(QtWidgets.QWidget):
    """A slider and a spin box that show one double. Defaults as in CTK: 0 to 99, step 1, two decimals."""

    valueChanged = Signal(float)
    valueIsChanging = Signal(float)
    decimalsChanged = Signal(int)

    def __init__(self, parent=None):
        super().__init__(parent)
        slider, spin = QtWidgets.QSlider(Qt.Orientation.Horizontal, self), QtWidgets.QDoubleSpinBox(self)
        self._impl = types.SimpleNamespace(slider=slider, spin=spin, tracking=True, reported=0.0, page=10.0)
        _row(self, slider, spin)
        self.setFocusProxy(spin)
        spin.setRange(0.0, 99.0)
        spin.valueChanged.connect(self._on_spin)
        slider.valueChanged.connect(self._on_slider)
        slider.sliderReleased.connect(self._report)
        self._spread()

    def _spread(self) -> None:
        """Give the slider one position a step and move it to the value."""
        spin, slider = self._impl.spin, self._impl.slider
        step = spin.singleStep or 1.0
        slider.blockSignals(True)
        slider.setRange(0, max(1, round((spin.maximum - spin.minimum) / step)))
        slider.setPageStep(max(1, round(self._impl.page / step)))
        slider.setValue(round((spin.value - spin.minimum) / step))
        slider.blockSignals(False)

    def _on_slider(self, position: int) -> None:
        spin = self._impl.spin
        spin.setValue(min(spin.minimum + position * spin.singleStep, spin.maximum))

    def _on_spin(self, value: float) -> None:
        self._spread()
        if self._impl.tracking or not self._impl.slider.sliderDown:
            self._report()
        else:
            self.valueIsChanging.emit(_inexact(value))

    def _report(self) -> None:
        value = self._impl.spin.value
        if value != self._impl.reported:
            self._impl.reported = value
            self.valueChanged.emit(_inexact(value))

    def _limit(name: str):
        setter = "set" + name[0].upper() + name[1:]

        def write(self, value: float) -> None:
            getattr(self._impl.spin, setter)(value)
            self._spread()

        return typed_property(float, lambda self: getattr(self._impl.spin, name), write)

    minimum, maximum, singleStep = _limit("minimum"), _limit("maximum"), _limit("singleStep")
    prefix, suffix = _spin_property(str, "prefix"), _spin_property(str, "suffix")

    def setValue(self, value: float) -> None:
        self._impl.spin.setValue(value)

    def setDecimals(self, decimals: int) -> None:
        if decimals != self._impl.spin.decimals:
            self._impl.spin.setDecimals(decimals)
            self.decimalsChanged.emit(decimals)

    def setSpinBoxVisible(self, visible: bool) -> None:
        self._impl.spin.setVisible(visible)

    def _set_page(self, page: float) -> None:
        self._impl.page = page
        self._spread()

    value = typed_property(float, lambda self: _inexact(self._impl.spin.value), setValue)
    decimals = typed_property(int, lambda self: self._impl.spin.decimals, setDecimals)
    pageStep = typed_property(float, lambda self: self._impl.page, _set_page)
    spinBoxVisible = typed_property(bool, lambda self: self._impl.spin.isVisibleTo(self), setSpinBoxVisible)
    tracking = typed_property(
        bool, lambda self: self._impl.tracking, lambda self, on: setattr(self._impl, "tracking", on)
    )


@cpp_class
class ctkPathLineEdit(QtWidgets.QWidget):
    """A path that can be typed; the browse button opens nothing here."""

    currentPathChanged = Signal(str)
    validInputChanged = Signal(bool)

    def __init__(self, parent=None):
        super().__init__(parent)
        combo, browse = QtWidgets.QComboBox(self), QtWidgets.QToolButton(self)
        combo.setEditable(True)
        browse.setText("...")
        browse.setToolTip("Open a dialog")
        self._impl = types.SimpleNamespace(combo=combo, label="", filters=[], key="")
        _row(self, combo, browse)
        combo.setSizePolicy(QtWidgets.QSizePolicy.Policy.Expanding, QtWidgets.QSizePolicy.Policy.Fixed)
        self.setFocusProxy(combo)
        combo.currentTextChanged.connect(self.currentPathChanged)

    def setCurrentPath(self, path: str) -> None:
        self._impl.combo.setEditText(path)

    def comboBox(self) -> QtWidgets.QComboBox:
        return self._impl.combo

    def addCurrentPathToHistory(self) -> None:
        path = self._impl.combo.currentText
        if path and self._impl.combo.findText(path) < 0:
            self._impl.combo.insertItem(0, path)

    def _kept(kind: type, name: str):
        return typed_property(
            kind, lambda self: getattr(self._impl, name), lambda self, value: setattr(self._impl, name, value)
        )

    currentPath = typed_property(str, lambda self: self._impl.combo.currentText, setCurrentPath)
    label, nameFilters, settingKey = _kept(str, "label"), _kept(list, "filters"), _kept(str, "key")


@cpp_class
class ctkMessageBox(QtWidgets.QMessageBox):
    """Modal like Qt's, so `exec_` raises here."""


def install() -> types.ModuleType:
    """Register the module `ctk`; classes that are not here raise AttributeError."""
    ctk = types.ModuleType("ctk", "Stand-ins for CTK's widgets.")
    for cls in (
        ctkCheckBox,
        ctkCollapsibleButton,
        ctkComboBox,
        ctkDoubleSpinBox,
        ctkMessageBox,
        ctkPathLineEdit,
        ctkSliderWidget,
    ):
        setattr(ctk, cls.__name__, cls)
        CUSTOM_WIDGETS[cls.__name__] = cls
    sys.modules["ctk"] = ctk
    return ctk
