"""A combo box whose items have names, bound to the parameter node by name.

The parameter node's own connector for combo boxes knows only a fixed list of texts, and an index would mean another
item in another version. So the chosen name is the text of a line edit that the .ui file binds; this class keeps the two
equal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import qt
from slicer.i18n import tr as _


@dataclass(frozen=True)
class MenuItem:
    """An item of a menu; without a name it is a heading. `blocked` is the reason why it cannot be chosen."""

    label: str
    name: str = ""
    tooltip: str = ""
    blocked: str = ""


class NamedComboBox:
    """Keeps `combo` (labels) and `edit` (the name that is saved) equal; calls `on_changed` when the name changes."""

    def __init__(self, combo: qt.QComboBox, edit: qt.QLineEdit, on_changed: Callable[[], None]) -> None:
        self._combo, self._edit, self._on_changed = combo, edit, on_changed
        self._filling = False
        self._tooltip = combo.toolTip  # of the .ui file, for items without one
        combo.connect("currentIndexChanged(int)", self._on_index_changed)
        edit.connect("textChanged(QString)", self._on_name_changed)

    @property
    def name(self) -> str:
        """The chosen name."""
        return self._edit.text

    def fill(self, items: Iterable[MenuItem]) -> None:
        """Show `items`; the chosen name stays, and is shown as not available when none of them has it."""
        self._filling = True
        self._combo.clear()
        for item in items:
            if not item.name and self._combo.count:
                self._combo.insertSeparator(self._combo.count)
            self._add(item)
        self._show_name()
        self._filling = False

    def _add(self, item: MenuItem) -> None:
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
            reason = _("'{name}' is not available here.").format(name=self.name)
            self._add(MenuItem(self.name, self.name, blocked=reason))
            index = self._combo.count - 1
        self._combo.currentIndex = index
        if index >= 0:
            self._combo.toolTip = self._combo.itemData(index, qt.Qt.ToolTipRole) or self._tooltip

    def _on_index_changed(self, index: int) -> None:
        if not self._filling and index >= 0:
            self._edit.text = self._combo.itemData(index)

    def _on_name_changed(self, name: str) -> None:
        self._filling = True
        self._show_name()
        self._filling = False
        self._on_changed()
