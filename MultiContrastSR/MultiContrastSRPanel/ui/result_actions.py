"""What the panel offers on a finished result: to compare it with the scan, and to save it as DICOM."""

from __future__ import annotations

import functools
import logging
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from ..logic.dicom_series import new_folder
from ..logic.library import library
from .live.keys import DIFFERENCE_KEY, FLIP_KEY, LINE_KEY, ViewKeys


class ResultActions:
    """Drives the buttons below the result line.

    Args:
        ui: the named widgets.
        logic: a `MultiContrastSRLogic`.
    """

    def __init__(self, ui: Any, logic: Any) -> None:
        self.ui, self.logic = ui, logic
        self._node: Any = None
        names = {LINE_KEY: "toggle_line", FLIP_KEY: "flip", DIFFERENCE_KEY: "toggle_difference"}
        slots = {key: functools.partial(self._call, name) for key, name in names.items()}
        self._keys = ViewKeys(ui.compareButton, slots)
        ui.compareButton.connect("toggled(bool)", self._compare_toggled)
        ui.compareLineButton.connect("clicked(bool)", lambda checked: self._call("toggle_line"))
        ui.compareFlipButton.connect("clicked(bool)", lambda checked: self._call("flip"))
        ui.compareDifferenceButton.connect("clicked(bool)", lambda checked: self._call("toggle_difference"))
        ui.compareLineSlider.connect("valueChanged(double)", self._line_moved)
        ui.dicomButton.connect("clicked(bool)", self._dicom_clicked)

    @property
    def comparison(self) -> Any:
        """The `Comparison` while it is shown, else None."""
        return self.logic.comparison

    def show(self, node: Any) -> None:
        """Offer the buttons for this result; None hides them and ends the comparison."""
        if node is not self._node:
            self.logic.stopComparison()
            self._say("")
        self._node = node
        self._show_state()

    def save_dicom(self, parent: str) -> None:
        """Save the result as a DICOM series in a new folder in `parent`."""
        folder = new_folder(parent, self._node.GetName())

        def done(error: BaseException | None) -> None:
            self.ui.dicomButton.enabled = True
            self._say("" if error else _("Saved as DICOM series in {folder}.").format(folder=folder))
            if error is not None:
                slicer.util.errorDisplay(str(error))

        try:
            self.logic.saveDicomAsync(self._node, folder, self.ui.dicomPatientCheckBox.checked, onDone=done)
        except library().MultiContrastSRError as error:
            done(error)
        else:
            self.ui.dicomButton.enabled = False
            self._say(_("Saving…"))

    def _dicom_clicked(self, checked: bool = False) -> None:
        parent = qt.QFileDialog.getExistingDirectory(
            slicer.util.mainWindow(), _("Folder in which the DICOM series gets a folder of its own")
        )
        if parent:
            self.save_dicom(parent)

    def _say(self, text: str) -> None:
        self.ui.dicomLabel.text = text
        self.ui.dicomLabel.visible = bool(text)

    def _compare_toggled(self, on: bool) -> None:
        if on and self.comparison is None:
            try:
                self.logic.startComparison(self._node, split=self.ui.compareLineSlider.value / 100, onEnd=self._ended)
            except Exception as error:
                if not isinstance(error, library().MultiContrastSRError):
                    logging.exception("The comparison could not start.")
                slicer.util.errorDisplay(_("The result could not be compared.\n{error}").format(error=error))
        elif not on:
            self.logic.stopComparison()
        self._show_state()

    def _ended(self, reason: BaseException | None) -> None:
        if reason is not None:
            slicer.util.errorDisplay(str(reason))
        self._show_state()

    def _call(self, name: str) -> None:
        if self.comparison is not None:
            getattr(self.comparison, name)()
            self._show_state()

    def _line_moved(self, percent: float) -> None:
        if self.comparison is not None:
            self.comparison.display.split = percent / 100
            self.comparison.redraw()

    def _show_state(self) -> None:
        display = None if self.comparison is None else self.comparison.display
        on = display is not None
        for widget in (self.ui.resultButtons, self.ui.dicomPatientCheckBox):
            widget.visible = self._node is not None
        self.ui.compareButton.blockSignals(True)
        self.ui.compareButton.checked = on
        self.ui.compareButton.blockSignals(False)
        self.ui.compareButtons.visible = on
        self.ui.compareFlipButton.checked = on and display.original
        self.ui.compareDifferenceButton.checked = on and display.difference
        self.ui.compareLineButton.checked = on and display.show == "split"
        self.ui.compareLineSlider.visible = on and display.show == "split"
        self._keys.set_active(on)
