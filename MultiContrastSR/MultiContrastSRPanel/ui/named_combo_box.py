"""A combo box whose items carry names, bound to the parameter node by name.

The parameter node's own combo binding knows only a fixed list of words, and an index would mean another thing in
another version. So the chosen name lives in a line edit that the .ui file binds; this class keeps the two in step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import qt
from slicer.i18n import tr as _


@dataclass(frozen=True)
class Item:
    """An entry of the menu; without a name it is a heading. `blocked` says why it cannot be chosen."""

    label: str
    name: str = ""
    tooltip: str = ""
    blocked: str = ""


class NamedChoice:
    """Keeps `combo` (what people see) and `edit` (the name that is saved) in step."""

    def __init__(self, combo: qt.QComboBox, edit: qt.QLineEdit, on_changed: Callable[[], None]) -> None:
        self._combo, self._edit, self._on_changed = combo, edit, on_changed
        self._filling = False
        combo.connect("currentIndexChanged(int)", self._chosen)
        edit.connect("textChanged(QString)", self._loaded)

    @property
    def name(self) -> str:
        """The chosen name."""
        return self._edit.text

    def fill(self, items: Iterable[Item]) -> None:
        """Show `items`; the chosen name stays, and is shown as not available when none of them has it."""
        self._filling = True
        self._combo.clear()
        for item in items:
            if not item.name and self._combo.count:
                self._combo.insertSeparator(self._combo.count)
            self._add(item)
        self._show_name()
        self._filling = False

    def _add(self, item: Item) -> None:
        index = self._combo.count
        self._combo.addItem(f"{item.label} ({_('unavailable')})" if item.blocked else item.label, item.name)
        self._combo.setItemData(index, item.blocked or item.tooltip, qt.Qt.ToolTipRole)
        if not item.name:
            font = qt.QFont()
            font.setBold(True)
            self._combo.setItemData(index, font, qt.Qt.FontRole)
        if item.blocked or not item.name:
            self._combo.setItemData(index, 0, qt.Qt.UserRole - 1)  # the flags of a standard item: not enabled

    def _show_name(self) -> None:
        index = self._combo.findData(self.name)
        if index < 0 and self.name:
            self._add(Item(self.name, self.name, blocked=_("'{name}' is not available here.").format(name=self.name)))
            index = self._combo.count - 1
        self._combo.currentIndex = index
        if index >= 0:
            self._combo.toolTip = self._combo.itemData(index, qt.Qt.ToolTipRole)

    def _chosen(self, index: int) -> None:
        if not self._filling and index >= 0:
            self._edit.text = self._combo.itemData(index)

    def _loaded(self, name: str) -> None:
        self._filling = True
        self._show_name()
        self._filling = False
        self._on_changed()
