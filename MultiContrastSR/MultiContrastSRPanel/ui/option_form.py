"""The Advanced section: one row for each option of the chosen method, made from what the method states.

The values of all methods live as one JSON text, {method: {option: value}}, in a line edit that the .ui file binds to
the parameter node. Values that equal the default are not written, so that a better default reaches old scenes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import qt
from slicer.i18n import tr as _


class OptionForm:
    """Fills `holder`'s layout with the option rows of a method.

    Attributes:
        widgets: the controls in their order, for the tab order and for tests.
    """

    def __init__(self, holder: qt.QWidget, edit: qt.QLineEdit) -> None:
        self._holder, self._edit = holder, edit
        self._method: Any = None
        self._body: qt.QWidget | None = None
        self._setters: dict[str, Callable[[Any], None]] = {}
        self._loading = False
        self.widgets: list[qt.QWidget] = []
        edit.connect("textChanged(QString)", self._on_text_changed)

    def show(self, method: Any) -> None:
        """Make the rows of `method` (a `MultiContrastSRLib.methods.Method`, or None for an empty section)."""
        if self._body is not None:
            self._holder.layout().removeWidget(self._body)
            self._body.hide()
            self._body.deleteLater()
        self._method, self._setters, self.widgets = method, {}, []
        self._body = qt.QWidget()
        form = qt.QFormLayout(self._body)
        form.setContentsMargins(0, 0, 0, 0)
        for option in method.options if method else ():
            widget = self._control(option)
            widget.toolTip = f"{option.help} ({option.describe_range()})"
            widget.objectName = f"option_{option.name}"
            widget.accessibleName = option.label
            self.widgets.append(widget)
            if option.type is bool:
                form.addRow(widget)
            elif option.file:
                browse = self._browse_button(option, widget)
                row = qt.QHBoxLayout()
                row.addWidget(widget)
                row.addWidget(browse)
                form.addRow(f"{option.label}:", row)
                self.widgets.append(browse)
            else:
                form.addRow(f"{option.label}:", widget)
        if not self.widgets:
            form.addRow(qt.QLabel(_("This method has no options.")))
        self._holder.layout().addWidget(self._body)
        self._show_values()

    def values_of(self, method: str) -> dict[str, bool | int | float | str]:
        """The options of a method, shown or not, that differ from their defaults."""
        return self._saved().get(method, {})

    def _saved(self) -> dict[str, dict[str, Any]]:
        try:
            saved = json.loads(self._edit.text or "{}")
        except ValueError:  # edited by hand; the method's defaults are the remedy
            return {}
        if not isinstance(saved, dict):
            return {}
        return {name: values for name, values in saved.items() if isinstance(values, dict)}

    def _values(self) -> dict[str, bool | int | float | str]:
        """`values_of` the method that is shown, where a scene has a former name of an option by the present one."""
        saved = self.values_of(self._method.name)
        return {
            option.name: saved[name]
            for option in self._method.options
            for name in (*option.former_names, option.name)
            if name in saved
        }

    def _store(self, option: Any, value: Any) -> None:
        if self._loading:
            return
        saved = self._saved()
        values = {**self._values(), option.name: value}
        saved[self._method.name] = {
            known.name: values[known.name]
            for known in self._method.options
            if known.name in values and values[known.name] != known.default
        }
        self._edit.text = json.dumps({name: kept for name, kept in saved.items() if kept}, sort_keys=True)

    def _on_text_changed(self, text: str) -> None:
        if not self._loading:
            self._show_values()

    def _show_values(self) -> None:
        values = self._values() if self._method else {}
        self._loading = True
        for option in self._method.options if self._method else ():
            self._setters[option.name](values.get(option.name, option.default))
        self._loading = False

    def _control(self, option: Any) -> qt.QWidget:
        """The control for one option: check box, spin box, menu or line edit by its type."""
        if option.type is bool:
            box = qt.QCheckBox(option.label)
            self._setters[option.name] = lambda value: box.setChecked(bool(value))
            box.connect("toggled(bool)", lambda value: self._store(option, value))
            return box
        if option.type is str and option.choices:
            menu = qt.QComboBox()
            for choice in option.choices:
                menu.addItem(choice, choice)
            self._setters[option.name] = lambda value: menu.setCurrentIndex(menu.findData(value))
            menu.connect("currentIndexChanged(int)", lambda index: self._store(option, option.choices[index]))
            return menu
        if option.type is str:
            line = qt.QLineEdit()
            self._setters[option.name] = lambda value: line.setText(str(value))
            line.connect("textChanged(QString)", lambda text: self._store(option, text))
            return line
        return self._number(option)

    def _browse_button(self, option: Any, line: qt.QLineEdit) -> qt.QPushButton:
        button = qt.QPushButton("…")
        button.toolTip = _("Choose the file.")
        button.accessibleName = _("Browse for {label}").format(label=option.label)
        button.objectName = f"browse_{option.name}"

        def clicked(checked: bool = False) -> None:
            names = _("Files (*{extension});;All files (*)").format(extension=option.file)
            chosen = qt.QFileDialog.getOpenFileName(self._holder, option.label, line.text, names)
            path = chosen[0] if isinstance(chosen, tuple) else chosen  # PythonQt gives the path alone
            if path:
                line.text = path

        button.connect("clicked(bool)", clicked)
        return button

    def _number(self, option: Any) -> qt.QWidget:
        whole = option.type is int
        spin = qt.QSpinBox() if whole else qt.QDoubleSpinBox()
        limit = 10**9
        if not whole:
            spin.setDecimals(_decimals(option))
        spin.setRange(
            -limit if option.minimum is None else option.type(option.minimum),
            limit if option.maximum is None else option.type(option.maximum),
        )
        if option.zero and option.minimum == 0:
            spin.specialValueText = _(option.zero)
        if option.unit:
            spin.suffix = f" {_(option.unit)}"
        if not whole:
            spin.setSingleStep(10.0 ** (1 - _decimals(option)))
        self._setters[option.name] = lambda value: spin.setValue(option.type(value))
        signal = "valueChanged(int)" if whole else "valueChanged(double)"
        spin.connect(signal, lambda value: self._store(option, option.type(value)))
        return spin


def _decimals(option: Any) -> int:
    """Digits after the point that show an option's default and minimum: at least 2, two beyond the leading one."""
    sizes = [abs(value) for value in (option.default, option.minimum) if value]
    return max([2] + [2 - math.floor(math.log10(size)) for size in sizes])
