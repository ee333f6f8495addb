"""The keys that work in slice views while live zoom is on or a result is compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import qt
import slicer

LINE_KEY, FLIP_KEY, DIFFERENCE_KEY, KEEP_KEY = "F6", "F7", "F8", "F9"


class ViewKeys:
    """Keys of the whole application while they are active.

    Args:
        widget: a widget of the panel.
        slots: what each key calls.
    """

    def __init__(self, widget: Any, slots: Mapping[str, Callable[[], None]]) -> None:
        self._widget, self._slots = widget, dict(slots)
        self._shortcuts: list[Any] = []

    def set_active(self, active: bool) -> None:
        """Let the keys work, or leave them to the application."""
        if active and not self._shortcuts:
            self._shortcuts = [self._shortcut(key, slot) for key, slot in self._slots.items()]
        elif not active:
            for shortcut in self._shortcuts:
                shortcut.setEnabled(False)
                shortcut.deleteLater()
            self._shortcuts = []

    def _shortcut(self, key: str, slot: Callable[[], None]) -> Any:
        shortcut = qt.QShortcut(qt.QKeySequence(key), slicer.util.mainWindow() or self._widget.window())
        shortcut.setContext(qt.Qt.ApplicationShortcut)
        shortcut.connect("activated()", slot)
        return shortcut
