"""The section "Batch": a study and its results, its subjects with their states, Start and Stop, Load."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from ..logic.automatic import resolve_method
from ..logic.batch.process import BatchState
from ..logic.batch.status import BatchStatus, BatchSubject, SubjectState
from ..logic.library import library
from ..logic.remaining_time import format_remaining
from .panel_state import ERROR_COLOUR, GOOD_COLOUR

_STATES = {
    SubjectState.WAITING: _("waiting"),
    SubjectState.DONE: _("done"),
    SubjectState.UNCHANGED: _("done earlier"),
    SubjectState.FAILED: _("failed"),
}
_STOPPED = _("not started")


class BatchSection:
    """Drives the widgets of the section.

    Args:
        ui: the named widgets.
        logic: a `MultiContrastSRLogic`.
        settings: gives the settings of the recipe as `logic.startBatch` takes them.
    """

    def __init__(self, ui: Any, logic: Any, settings: Callable[[], dict[str, Any]]) -> None:
        self.ui, self.logic, self._settings = ui, logic, settings
        self._parameters: Any = None
        self._rows: dict[str, int] = {}  # of the subjects in the list, by name
        for edit, button in ((ui.batchInput, ui.batchInputBrowse), (ui.batchOutput, ui.batchOutputBrowse)):
            button.connect("clicked(bool)", lambda checked=False, edit=edit: self._browse(edit))
        ui.batchStartButton.connect("clicked(bool)", self._start_clicked)
        ui.batchSubjects.connect("itemSelectionChanged()", self._selection_changed)
        ui.batchSubjects.connect("itemActivated(QTreeWidgetItem*,int)", lambda item, column: self.load())
        ui.batchLoadButton.connect("clicked(bool)", lambda checked=False: self.load())
        ui.batchReportButton.connect("clicked(bool)", lambda checked=False: self._open_report())

    def set_parameters(self, parameters: Any) -> None:
        """Follow this parameter node (wrapped), or none. A batch under way goes on."""
        self._parameters = parameters

    def refresh(self) -> None:
        """Bring recipe and button up to date with the parameters."""
        if self._parameters is None:
            return
        self.ui.batchRecipeLabel.text = _recipe_text(resolve_method(self._settings()))
        problem = self._problem()
        running = self._batch is not None and self._batch.active
        button = self.ui.batchStartButton
        button.text = _("Stop") if running else _("Start")
        if running:
            button.enabled = self._batch.state is BatchState.RUNNING
            button.toolTip = _("Stop; subjects that are finished stay, and Start goes on.")
        else:
            button.enabled = not problem
            button.toolTip = problem or _("Super-resolve all subjects in the background. Slicer can be used meanwhile.")
        self._enable_inputs(not running)

    def load(self) -> None:
        """Load the results of the selected subjects."""
        made = [(subject.name, path) for subject in self._selected() for path in subject.outputs]
        try:
            for name, path in made:
                node = self.logic.loadBatchResult(path, name)
                slicer.util.showStatusMessage(_("Loaded {name}.").format(name=node.GetName()), 5000)
        except Exception as error:
            if not isinstance(error, library().MultiContrastSRError):
                logging.exception("A result of the batch could not be loaded.")
            slicer.util.errorDisplay(_("The result could not be loaded.\n{error}").format(error=error))

    # ------------------------------------------------------------------ details

    @property
    def _batch(self) -> Any:
        return self.logic.batch

    def _problem(self) -> str:
        """Why the batch cannot start; empty where it can."""
        parameters = self._parameters
        if not parameters.batchInput.strip():
            return _("Choose the folder of the study first.")
        if not parameters.batchOutput.strip():
            return _("Choose the folder of the results first.")
        return "" if parameters.batchTargets.split() else _("Name the contrasts to super-resolve first.")

    def _enable_inputs(self, enabled: bool) -> None:
        ui = self.ui
        edits = ui.batchInput, ui.batchOutput, ui.batchScans, ui.batchTargets, ui.batchReferences
        for widget in (*edits, ui.batchInputBrowse, ui.batchOutputBrowse, ui.batchProcesses):
            widget.enabled = enabled

    def _browse(self, edit: Any) -> None:
        folder = qt.QFileDialog.getExistingDirectory(slicer.util.mainWindow(), edit.accessibleName, edit.text)
        if folder:
            edit.text = folder

    def _start_clicked(self, checked: bool = False) -> None:
        if self._batch is not None and self._batch.active:
            self.logic.stopBatch()
            self._say(_("Stopping…"))
        else:
            self._start()
        self.refresh()

    def _start(self) -> None:
        parameters = self._parameters
        self._fill(())
        self.ui.batchProgressBar.value = 0
        self.ui.batchProgressBar.visible = True
        self._say(_("Looking for subjects…"))
        try:
            self.logic.startBatch(
                parameters.batchInput.strip(),
                parameters.batchOutput.strip(),
                parameters.batchTargets.split(),
                parameters.batchReferences.split(),
                scans=parameters.batchScans.strip(),
                processes=parameters.batchProcesses,
                onChange=self._changed,
                onEnd=self._ended,
                **self._settings(),
            )
        except Exception as error:
            if not isinstance(error, library().MultiContrastSRError):
                logging.exception("The batch could not start.")
            self.ui.batchProgressBar.visible = False
            self._say(str(error), ERROR_COLOUR)

    def _changed(self, subjects: Sequence[BatchSubject]) -> None:
        status = self._batch.status
        if len(self._rows) != len(status.subjects):
            self._fill(list(status.subjects))
        for subject in subjects:
            self._show_subject(subject)
        self.ui.batchProgressBar.value = round(100 * status.fraction)
        if self._batch.state is BatchState.RUNNING:
            count = _("{done} of {all} subjects").format(done=status.finished, all=len(status.subjects))
            self._say(" – ".join(part for part in (count, format_remaining(status.remaining)) if part))
        self._selection_changed()

    def _ended(self, error: BaseException | None) -> None:
        status = self._batch.status
        for subject in status.subjects.values():
            self._show_subject(subject)
        self.ui.batchProgressBar.visible = False
        failed = status.count(SubjectState.FAILED)
        if error is not None:
            self._say(str(error), ERROR_COLOUR)
        else:
            self._say(_summary(status, self._batch.state), ERROR_COLOUR if failed else GOOD_COLOUR)
        self.ui.batchReportButton.enabled = status.page.is_file()
        self.refresh()

    # ------------------------------------------------------------------ the list

    def _fill(self, names: Sequence[str]) -> None:
        """Show these subjects in the list."""
        tree = self.ui.batchSubjects
        tree.clear()
        self._rows = {name: row for row, name in enumerate(names)}
        for name in names:
            item = qt.QTreeWidgetItem()
            item.setText(0, name)
            tree.addTopLevelItem(item)
        if names:
            tree.resizeColumnToContents(0)
        for widget in (tree, self.ui.batchButtons):
            widget.visible = bool(names)
        self.ui.batchReportButton.enabled = False
        self._selection_changed()

    def _show_subject(self, subject: BatchSubject) -> None:
        item = self.ui.batchSubjects.topLevelItem(self._rows[subject.name])
        item.setText(1, self._state_text(subject))
        for column in (0, 1):
            item.setToolTip(column, _explanation(subject))

    def _state_text(self, subject: BatchSubject) -> str:
        if subject.state is SubjectState.RUNNING:
            return f"{round(100 * subject.fraction)} %"
        if subject.state is SubjectState.WAITING and not self._batch.active:
            return _STOPPED
        if subject.state in (SubjectState.DONE, SubjectState.UNCHANGED) and subject.warnings:
            return _("{state}, with warnings").format(state=_STATES[subject.state])
        return _STATES[subject.state]

    def _selected(self) -> list[BatchSubject]:
        subjects = {} if self._batch is None else self._batch.status.subjects
        chosen = {item.text(0) for item in self.ui.batchSubjects.selectedItems()}
        return [subject for name, subject in subjects.items() if name in chosen]

    def _selection_changed(self) -> None:
        selected = self._selected()
        self.ui.batchLoadButton.enabled = any(subject.outputs for subject in selected)
        text = "\n".join(filter(None, map(_explanation, selected[:1])))
        self.ui.batchSubjectLabel.text = text
        self.ui.batchSubjectLabel.visible = bool(text)

    def _open_report(self) -> None:
        qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(str(self._batch.status.page)))

    def _say(self, text: str, colour: str = "") -> None:
        self.ui.batchLabel.text = text
        self.ui.batchLabel.visible = bool(text)
        self.ui.batchLabel.styleSheet = f"color: {colour}" if colour else ""


def _recipe_text(settings: dict[str, Any]) -> str:
    """The settings in words, as far as fits on a line or two."""
    registered = {method.name: method for method in library("methods").all_methods()}
    method = registered.get(settings["method"])
    if "spacing" in settings:
        size = _("voxels of {spacing:g} mm").format(spacing=settings["spacing"])
    else:
        size = _("scale ×{scale:g}").format(scale=settings["scale"])
    return _("{method}, {size}").format(method=method.label if method else settings["method"], size=size)


def _summary(status: BatchStatus, state: BatchState) -> str:
    counts = (
        (status.count(SubjectState.DONE, SubjectState.UNCHANGED), _("done")),
        (status.count(SubjectState.FAILED), _("failed: select one to see why")),
        (status.count(SubjectState.WAITING), _STOPPED),
    )
    parts = [f"{number} {text}" for number, text in counts if number]
    if state is BatchState.STOPPED:
        parts.append(_("Start goes on"))
    return "; ".join(parts) + "."


def _explanation(subject: BatchSubject) -> str:
    """Why a subject failed, or the warnings about its results."""
    return "\n".join(filter(None, (subject.message, *subject.warnings)))
