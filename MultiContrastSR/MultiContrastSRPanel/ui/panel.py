"""Connects the panel's widgets with the parameter node and the logic: menus, preview, Apply and Cancel, result."""

from __future__ import annotations

import itertools
import logging
import math
import time
from collections.abc import Sequence
from typing import Any

import qt
import slicer
import vtk
from slicer.i18n import tr as _

from ..logic.automatic import AUTOMATIC, recommended_method
from ..logic.dependencies import loading_text
from ..logic.library import library
from ..logic.remaining_time import format_remaining
from ..logic.run import Run, RunState
from .batch_section import BatchSection
from .input_checks import InputChecks
from .live.section import LiveSection
from .menus import AUTOMATIC_SUMMARY, device_items, method_items, needs_loading
from .named_combo_box import NamedComboBox
from .option_form import OptionForm
from .panel_state import PanelState, show_state, show_warnings
from .presets import Presets
from .region_choice import RegionChoice
from .result_actions import ResultActions
from .result_text import details, headline, shown_warnings
from .size_preview import describe_output, describe_time

DOUBLE_CLICK_S = 0.5  # a second click on Apply within this time belongs to the first, and does not cancel the run
HELP_URL = "https://github.com/MultiContrastSR/SlicerMultiContrastSR/blob/main/docs/panel.md"
_DECIMALS = 6
_CHOICES = (  # parameters that Reset sets to their defaults: all but the volumes and the box
    *("sliceThickness", "replaceNan", "method", "outputSize", "scale", "spacing", "region", "registration"),
    *("dataConsistency", "device", "optionValues", "companion"),
    *("liveViews", "liveShow", "liveLensSize", "liveSplit", "liveQuality", "liveCache"),
    *("batchInput", "batchOutput", "batchScans", "batchTargets", "batchReferences", "batchProcesses"),
)


class Panel:
    """Drives the widgets of MultiContrastSR.ui.

    Args:
        ui: the named widgets, as `slicer.util.childWidgetVariables` gives them.
        logic: a `MultiContrastSRLogic`.

    Attributes:
        state: see `PanelState`.
        run: the latest run, or None.
    """

    def __init__(self, ui: Any, logic: Any) -> None:
        self.ui, self.logic = ui, logic
        self.state = PanelState.IDLE
        self.run: Run | None = None
        self._parameters: Any = None
        self._clicked_at = -math.inf
        self._automatic = self._chosen_automatically = False
        self._watched: list[tuple[Any, list[int]]] = []
        ui.outputSelector.addAttribute("vtkMRMLScalarVolumeNode", library("mrml").METHOD)  # earlier results only
        self._broken_packages: set[tuple[str, ...]] = set()
        self._form = OptionForm(ui.optionsHolder, ui.optionValues)
        self._methods = NamedComboBox(ui.methodSelector, ui.methodName, self._method_changed)
        self._devices = NamedComboBox(ui.deviceSelector, ui.deviceName, self.refresh)
        self.live = LiveSection(ui, logic, self.method_settings)
        self.batch = BatchSection(ui, logic, self.recipe_settings)
        self._actions = ResultActions(ui, logic)
        self._presets = Presets(ui, self.refresh)
        self._region = RegionChoice(ui, self.refresh)
        self._checks = InputChecks(ui, self._swap)
        self._methods.fill(method_items())
        self._method_changed()
        ui.applyButton.connect("clicked(bool)", self._apply_clicked)
        ui.keepButton.connect("clicked(bool)", self._keep_clicked)
        ui.helpButton.connect("clicked(bool)", lambda checked=False: qt.QDesktopServices.openUrl(qt.QUrl(HELP_URL)))
        ui.resetButton.connect("clicked(bool)", self._reset_clicked)
        self._set_state(PanelState.IDLE)

    # ------------------------------------------------------------------ parameters

    def set_parameters(self, parameters: Any) -> None:
        """Read from and write to this parameter node (wrapped), or none."""
        self._parameters = parameters
        if parameters is None:
            self._watch()
        self._presets.set_parameters(parameters)
        self._region.set_parameters(parameters)
        self.live.set_parameters(parameters)
        self.batch.set_parameters(parameters)
        self.refresh()

    def refresh(self) -> None:
        """Bring preview and Apply button up to date with the parameters."""
        if self._parameters is None:
            return
        self._watch(self._parameters.target, self._parameters.reference)
        self._presets.refresh()
        self._region.refresh()
        self._checks.refresh(self._parameters.target, self._parameters.reference)
        by_spacing = self._parameters.outputSize.name == "spacing"
        self.ui.sizeStack.setCurrentWidget(self.ui.spacingPage if by_spacing else self.ui.scalePage)
        self.ui.sizeLabel.text = _("Spacing:") if by_spacing else _("Scale:")
        self.ui.sizeLabel.setBuddy(self.ui.spacingSlider if by_spacing else self.ui.scaleSlider)
        self.ui.companionCheckBox.visible = self._makes_companion()
        problem = self._show_preview()
        if not self.state.busy:
            self.ui.applyButton.enabled = not problem
            self.ui.applyButton.toolTip = problem or _("Make the volume. While it runs, this button cancels.")
        self.live.refresh()
        self.batch.refresh()

    @property
    def result(self) -> Any:
        """The node that the latest run made; None without one."""
        return None if self.run is None else self.run.node

    def forget_result(self) -> None:
        """Clear the result line, and give back the result's memory, when it leaves the scene or the scene is closed."""
        if not self.state.busy:
            self.run = None
            self._set_state(PanelState.IDLE)

    def _reset_clicked(self, checked: bool = False) -> None:
        """Set everything but the volumes to what it is in a new scene."""
        parameters, defaults = self._parameters, self.logic.defaultParameters()
        for name in _CHOICES:
            setattr(parameters, name, getattr(defaults, name))
        self._presets.set_parameters(parameters)
        self.refresh()

    def _swap(self) -> None:
        """Exchange target and reference."""
        parameters = self._parameters
        parameters.target, parameters.reference = parameters.reference, parameters.target

    def _watch(self, *scans: Any) -> None:
        """Refresh also when the scans change: voxels may follow the node, a transform may become non-linear."""
        nodes = [node for node in scans if node is not None]
        if nodes == [node for node, _ in self._watched]:
            return
        for node, tags in self._watched:
            for tag in tags:
                node.RemoveObserver(tag)
        self._watched = []
        for node in nodes:
            events = vtk.vtkCommand.ModifiedEvent, node.ImageDataModifiedEvent, node.TransformModifiedEvent
            tags = [node.AddObserver(event, lambda caller, event: self.refresh()) for event in events]
            self._watched.append((node, tags))

    def settings(self) -> dict[str, Any]:
        """The panel's parameters as keywords of `logic.process`."""
        companion = self._parameters.companion and self._makes_companion()
        return {**self._size(), "region": self._region.value(), "companion": companion, **self.method_settings()}

    def method_settings(self) -> dict[str, Any]:
        """The keywords without the size of the result, as live zoom takes them."""
        parameters = self._parameters
        amended = {"slice_thickness": round(parameters.sliceThickness, _DECIMALS)} if parameters.sliceThickness else {}
        if parameters.replaceNan and self._checks.nan:
            amended["replace_nan"] = 0.0
        return {**amended, **self._method_keywords()}

    def recipe_settings(self) -> dict[str, Any]:
        """The keywords that do not depend on the chosen scans, as a batch takes them."""
        return {**self._size(), **self._method_keywords()}

    def _method_keywords(self) -> dict[str, Any]:
        parameters = self._parameters
        return {
            "method": parameters.method,
            "register": parameters.registration.name,
            "data_consistency": parameters.dataConsistency,
            "device": parameters.device,
            **self._form.values_of(parameters.method),  # the form may still show the method before
        }

    def _size(self) -> dict[str, float]:
        scale, spacing = self._output_size()
        return {"scale": scale} if spacing is None else {"spacing": spacing}

    def _output_size(self) -> tuple[float | None, float | None]:
        """(scale, spacing); the one that does not count is None. Rounded, since sliders give 3.2999999999999994."""
        parameters = self._parameters
        if parameters.outputSize.name == "spacing":
            return None, round(parameters.spacing, _DECIMALS)
        return round(parameters.scale, _DECIMALS), None

    def _makes_companion(self) -> bool:
        return self._method is not None and self._method.makes_companion and self._parameters.reference is not None

    def _show_preview(self) -> str:
        """Show what Apply would make; returns the reason why it cannot, or an empty text."""
        parameters = self._parameters
        show_warnings(self.ui.sizeWarningLabel, ())
        self.ui.timeLabel.text = ""
        if parameters.target is None:
            self.ui.previewLabel.text = _("Choose a target to see the size of the result.")
            return _("Choose a target volume first.")
        if self._method is None:
            self.ui.previewLabel.text = _("Choose a method.")
            return _("Method '{name}' is not available here; choose another.").format(name=parameters.method)
        if parameters.target is parameters.reference:
            name = parameters.target.GetName()
            self.ui.previewLabel.text = _(
                "'{name}' is both target and reference; choose another reference, or none."
            ).format(name=name)
            return self.ui.previewLabel.text
        if parameters.region.name == "roi" and parameters.roi is None:
            self.ui.previewLabel.text = _("Select or create a box to see the size of the result.")
            return _("Select or create the box of the region first.")
        try:
            self.ui.previewLabel.text, warnings = describe_output(
                parameters.target, *self._output_size(), self._region.value()
            )
            self.ui.timeLabel.text = describe_time(parameters.target, parameters.reference, self.settings())
        except library().MultiContrastSRError as error:
            self.ui.previewLabel.text = str(error)
            return str(error)
        show_warnings(self.ui.sizeWarningLabel, warnings)
        if self._method.reference == "required" and parameters.reference is None:
            return _("{method} needs a reference volume; choose one.").format(method=self._method.label)
        return ""

    def _method_changed(self) -> None:
        registered = {method.name: method for method in library("methods").all_methods()}
        self._automatic = self._methods.name == AUTOMATIC
        self._method = registered.get(recommended_method() if self._automatic else self._methods.name)
        if self._automatic:
            self.ui.methodSummary.text = AUTOMATIC_SUMMARY
        else:
            self.ui.methodSummary.text = self._method.summary if self._method else ""
        self._form.show(None if self._automatic else self._method)
        if self._method is not None:
            self._fill_devices()
        self._order_tabs()
        self.refresh()

    def _fill_devices(self) -> None:
        """GPUs are listed by PyTorch, which is imported on the worker when a method that needs it is chosen."""
        packages = self._method.requires
        unknown = needs_loading(self._method) and packages not in self._broken_packages
        if unknown and self._automatic:
            self._devices.fill(device_items(self._method, _("Automatic: GPU or CPU")))
            return
        self._devices.fill(device_items(self._method, loading_text(packages) if unknown else ""))
        if unknown:
            self.logic.loadPackages(packages, lambda error: self._on_packages_loaded(packages, error))

    def _on_packages_loaded(self, packages: tuple[str, ...], error: BaseException | None) -> None:
        if error is not None:
            self._broken_packages.add(packages)  # Apply reports the cause and the remedy
        if self._method is not None:
            self._fill_devices()

    def _order_tabs(self) -> None:
        """Options are made late, and Qt would visit them last: put them between their section and the output."""
        chain = [self.ui.advancedButton, *self._form.widgets, self.ui.liveSectionButton]
        for before, after in itertools.pairwise(chain):
            qt.QWidget.setTabOrder(before, after)

    # ------------------------------------------------------------------ runs

    def _apply_clicked(self, checked: bool = False) -> None:
        now = time.monotonic()
        if now - self._clicked_at < DOUBLE_CLICK_S:
            return
        self._clicked_at = now
        if self.state.busy:
            self.cancel()
        else:
            self.apply()

    def apply(self) -> None:
        """Start a run with the present parameters."""
        parameters = self._parameters
        self.run = None
        self._chosen_automatically = self._automatic
        try:
            self.run = self.logic.processAsync(
                parameters.target,
                parameters.reference,
                outputNode=parameters.output,
                onDone=self._done,
                onError=self._failed,
                onProgress=self._progressed,
                **self.settings(),
            )
        except Exception as error:
            logging.exception("The run could not start.")
            self._failed(error)
        else:
            self._set_state(PanelState.RUNNING)

    def cancel(self) -> None:
        """Stop the run under way; the scene stays as it was."""
        if self.run is not None and self.run.active:
            self.run.cancel()
            self._set_state(PanelState.CANCELLING)
            self.ui.progressLabel.text = _("Stopping…")

    def _keep_clicked(self, checked: bool = False) -> None:
        """End the fit under way, and go on with what it has."""
        if self.run is not None and self.run.active:
            self.run.keep()
            self.ui.keepButton.enabled = False

    def _progressed(self, fraction: float, stage: str, seconds_left: float | None) -> None:
        self.ui.progressBar.value = round(100 * fraction)
        self.ui.keepButton.visible = self.run is not None and self.run.fitting
        stage = stage or _("finish")
        parts = stage[:1].upper() + stage[1:], format_remaining(seconds_left)
        self.ui.progressLabel.text = " – ".join(part for part in parts if part)

    def _done(self, node: Any) -> None:
        self._update_automatic()
        report, other = self.run.report, self.run.companion_node
        names = [made.GetName() for made in (node, other) if made is not None]
        text = headline(report, self._chosen_automatically)
        self._set_state(PanelState.DONE, text, shown_warnings(report), details(names, report))
        slicer.util.showStatusMessage(_("Made {name}.").format(name=node.GetName()), 5000)
        show_in_views(node)

    def _failed(self, error: BaseException) -> None:
        self._update_automatic()
        run = self.run
        if run is not None and run.state is RunState.CANCELLED:
            self._set_state(PanelState.IDLE, str(error))
            return
        known = isinstance(error, library().MultiContrastSRError)
        text = str(error) if known else _("Unexpected error: {error}").format(error=f"{type(error).__name__}: {error}")
        details = run.traceback if run is not None and run.error is error else ""
        if not known and details:
            logging.error(details)
        self._set_state(PanelState.ERROR, text)
        slicer.util.errorDisplay(text, **({"detailedText": details} if details else {}))

    def _update_automatic(self) -> None:
        """Name the device of *Automatic* once a run has loaded the packages that list the GPUs."""
        if self._automatic:
            self._method_changed()

    def _set_state(
        self, state: PanelState, text: str = "", warnings: Sequence[str] = (), explanation: str = ""
    ) -> None:
        self.state = state
        show_state(self.ui, state, text, warnings, explanation)
        self._actions.show(self.run.node if state is PanelState.DONE else None)
        self.refresh()


def show_in_views(node: Any) -> None:
    """Put `node` into the slice views; where its target was shown, the place and zoom stay."""
    if slicer.app.layoutManager() is None:  # Slicer without main window
        return
    composites = slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")
    shown = {composite.GetBackgroundVolumeID() for composite in composites}
    target = node.GetNodeReferenceID(library("mrml").TARGET)
    slicer.util.setSliceViewerLayers(background=node, fit=target not in shown)
