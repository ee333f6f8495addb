"""The states of the panel and how the Apply button, the progress bar and the result line show them."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Any

from slicer.i18n import tr as _


class PanelState(enum.Enum):
    """What the panel is doing. IDLE, DONE and ERROR accept Apply; RUNNING accepts Cancel."""

    IDLE = "idle"
    RUNNING = "running"
    CANCELLING = "cancelling"
    DONE = "done"
    ERROR = "error"

    @property
    def busy(self) -> bool:
        """Whether a run is under way."""
        return self in (PanelState.RUNNING, PanelState.CANCELLING)


_BUTTON = {PanelState.RUNNING: _("Cancel"), PanelState.CANCELLING: _("Cancelling…")}
ERROR_COLOUR, GOOD_COLOUR = "#c62828", "#2e7d32"  # readable on light and dark palettes
_COLOUR = {PanelState.ERROR: ERROR_COLOUR, PanelState.DONE: GOOD_COLOUR}
_WARNING = "color: #b26a00; font-weight: bold"
_NOTE = "color: #808080"


def show_state(ui: Any, state: PanelState, text: str = "", warnings: Sequence[str] = (), explanation: str = "") -> None:
    """Show `state`; `text` is the headline, `warnings` stand below it, `explanation` under the fold *Details*."""
    ui.applyButton.text = _BUTTON.get(state, _("Apply"))
    ui.applyButton.enabled = state is not PanelState.CANCELLING
    ui.keepButton.visible = False  # until a fit is under way
    ui.keepButton.enabled = True
    for section in (ui.inputsButton, ui.methodButton, ui.advancedButton, ui.outputButton, ui.resetButton):
        section.enabled = not state.busy
    ui.progressBar.visible = state.busy
    ui.progressLabel.visible = state.busy
    if state is PanelState.RUNNING:
        ui.progressBar.value = 0
        ui.progressLabel.text = _("Starting…")
    ui.resultLabel.visible = bool(text)
    ui.resultLabel.text = text
    show_warnings(ui.warningLabel, warnings)
    ui.detailsButton.visible = bool(explanation)
    ui.detailsLabel.text = explanation
    ui.detailsLabel.styleSheet = _NOTE
    ui.resultLabel.styleSheet = f"color: {_COLOUR[state]}" if state in _COLOUR else ""


def show_warnings(label: Any, warnings: Sequence[str]) -> None:
    """Show what the user should weigh, one sentence a line; without any the label is hidden."""
    label.visible = bool(warnings)
    label.text = "\n".join(warnings)
    label.styleSheet = _WARNING
