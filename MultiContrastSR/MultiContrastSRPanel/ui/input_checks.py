"""The sentences below the inputs that the user should weigh, and the button *Swap*."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..logic.library import library
from .panel_state import show_warnings


class InputChecks:
    """Shows what speaks against the chosen pair of scans, before anything is computed.

    Args:
        ui: the named widgets.
        on_swap: called when the user wants target and reference exchanged.
    """

    def __init__(self, ui: Any, on_swap: Callable[[], None]) -> None:
        self.ui = ui
        self._checked: tuple | None = None  # the pair whose sentences are shown, and where its voxels lie
        ui.swapButton.connect("clicked(bool)", lambda checked=False: on_swap())

    def refresh(self, target: Any, reference: Any) -> None:
        """Bring the sentences up to date with these nodes (either may be None)."""
        if target is None or reference is None or target is reference:
            self._show(None)
            return
        mrml = library("mrml")
        try:
            grids = mrml.grid_from_node(target), mrml.grid_from_node(reference)
        except library().MultiContrastSRError:  # Apply says so
            self._show(None)
            return
        names = target.GetName(), reference.GetName()
        if self._checked == (target, reference, *grids, *names):
            return
        checks = library("pipeline.plausibility")
        metadata = mrml.metadata_from_node(target), mrml.metadata_from_node(reference)
        self._show(
            (target, reference, *grids, *names),
            checks.swap_warning(*grids, *names),
            checks.patient_warning(*metadata, *names),
        )

    def _show(self, checked: tuple | None, swapped: str | None = None, patient: str | None = None) -> None:
        self._checked = checked
        show_warnings(self.ui.inputWarningLabel, [sentence for sentence in (swapped, patient) if sentence])
        self.ui.swapButton.visible = swapped is not None
