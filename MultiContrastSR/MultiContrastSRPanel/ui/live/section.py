"""The panel's section "Live zoom": its switch, its parameters, and the keys that work in the slice views."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import slicer
from slicer.i18n import tr as _

from ...logic.library import library
from ...logic.live.display_options import DisplayOptions
from ...logic.live.view_names import slice_view_names
from ..named_combo_box import MenuItem, NamedComboBox
from .keys import DIFFERENCE_KEY, FLIP_KEY, KEEP_KEY, LINE_KEY, ViewKeys

ALL_VIEWS = "all"


class LiveSection:
    """Drives the widgets of the section.

    Args:
        ui: the named widgets.
        logic: a `MultiContrastSRLogic`.
        settings: gives the method and its settings as `logic.startLiveZoom` takes them.
    """

    def __init__(self, ui: Any, logic: Any, settings: Callable[[], dict[str, Any]]) -> None:
        self.ui, self.logic, self._settings = ui, logic, settings
        self._parameters: Any = None
        self._started_with: tuple | None = None
        self._keys = ViewKeys(
            ui.liveButton,
            {
                LINE_KEY: self._toggle_line,
                FLIP_KEY: lambda: self._call("flip"),
                DIFFERENCE_KEY: lambda: self._call("toggle_difference"),
                KEEP_KEY: self.keep,
            },
        )
        self._views = NamedComboBox(ui.liveViewsSelector, ui.liveViewsName, self.refresh)
        self._views.fill(_view_items())
        ui.liveButton.connect("toggled(bool)", self._toggled)
        ui.liveFlipButton.connect("clicked(bool)", lambda checked: self._call("flip"))
        ui.liveDifferenceButton.connect("clicked(bool)", lambda checked: self._call("toggle_difference"))
        ui.liveKeepButton.connect("clicked(bool)", lambda checked: self.keep())
        self._show_state()

    @property
    def session(self) -> Any:
        """The `LiveZoom` while it is on, else None."""
        return self.logic.liveZoom

    def set_parameters(self, parameters: Any) -> None:
        """Follow this parameter node (wrapped); without one live zoom is off."""
        self._parameters = parameters
        if parameters is None:
            self.logic.stopLiveZoom()
        self.refresh()

    def refresh(self) -> None:
        """Bring live zoom up to date with the parameters: display options at once, others by a restart."""
        parameters, session = self._parameters, self.session
        if parameters is None:
            return
        self.ui.liveLensSlider.enabled = parameters.liveShow.name == "lens"
        self.ui.liveSplitSlider.enabled = parameters.liveShow.name == "split"
        if session is not None and self._started_with is not None:
            if self._restart_parameters() != self._started_with:
                self._start()
            else:
                options, shown = self._display_options(), session.display
                if (shown.show, shown.lens_size, shown.split) != (options.show, options.lens_size, options.split):
                    shown.show, shown.lens_size, shown.split = options.show, options.lens_size, options.split
                    session.redraw()
        self._show_state()

    def keep(self) -> None:
        """Make a volume of what a view shows: the one under the pointer, else the first."""
        with slicer.util.tryWithErrorDisplay(_("The view could not be kept.")):
            name = self._view_at_pointer()
            node = self.logic.renderView(name)
            slicer.util.showStatusMessage(_("Made {name}.").format(name=node.GetName()), 5000)

    def stop(self) -> None:
        """Switch live zoom off."""
        self.logic.stopLiveZoom()

    # ------------------------------------------------------------------ details

    def _toggled(self, on: bool) -> None:
        if on and self.session is None:
            self._start()
        elif not on:
            self.stop()

    def _start(self) -> None:
        parameters = self._parameters
        try:
            self.logic.startLiveZoom(
                None if parameters.liveViews in ("", ALL_VIEWS) else [parameters.liveViews],
                parameters.target,
                parameters.reference,
                quality=parameters.liveQuality.name,
                cacheMegabytes=parameters.liveCache,
                onStatus=self._set_status,
                onEnd=self._ended,
                **_as_keywords(self._display_options()),
                **self._settings(),
            )
        except Exception as error:
            if not isinstance(error, library().MultiContrastSRError):
                logging.exception("Live zoom could not start.")
            self._started_with = None
            self._show_state()
            self._set_status(str(error))
            return
        self._started_with = self._restart_parameters()
        self._set_status(_("Preparing…"))
        self._show_state()

    def _ended(self, reason: BaseException | None) -> None:
        self._started_with = None
        self._show_state()
        self._set_status("" if reason is None else str(reason))

    def _call(self, name: str) -> None:
        if self.session is not None:
            getattr(self.session, name)()
            self._show_state()

    def _toggle_line(self) -> None:
        """Switch between the whole view and a line, right of which live zoom shows its image."""
        shows = type(self._parameters.liveShow)
        self._parameters.liveShow = shows.view if self._parameters.liveShow is shows.split else shows.split

    def _restart_parameters(self) -> tuple:
        """The parameters whose change restarts live zoom."""
        p = self._parameters
        settings = self._settings()
        return p.target, p.reference, p.liveViews, p.liveQuality, p.liveCache, repr(sorted(settings.items()))

    def _display_options(self) -> DisplayOptions:
        p = self._parameters
        return DisplayOptions(show=p.liveShow.name, lens_size=round(p.liveLensSize), split=p.liveSplit / 100)

    def _view_at_pointer(self) -> str:
        names = list(self.session.views) if self.session is not None else slice_view_names()
        crosshair = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLCrosshairNode")
        node = crosshair.GetCursorPositionXYZ([0.0, 0.0, 0.0]) if crosshair is not None else None
        if node is not None and node.GetLayoutName() in names:
            return node.GetLayoutName()
        return names[0]

    def _set_status(self, text: str) -> None:
        self.ui.liveStatus.text = text
        self.ui.liveStatus.visible = bool(text)

    def _show_state(self) -> None:
        session = self.session
        on = session is not None
        self.ui.liveButton.blockSignals(True)
        self.ui.liveButton.checked = on
        self.ui.liveButton.blockSignals(False)
        self.ui.liveButton.enabled = on or (self._parameters is not None and self._parameters.target is not None)
        for button in (self.ui.liveFlipButton, self.ui.liveDifferenceButton, self.ui.liveKeepButton):
            button.enabled = on
        self.ui.liveFlipButton.checked = on and session.display.original
        self.ui.liveDifferenceButton.checked = on and session.display.difference
        self._keys.set_active(on)


def _as_keywords(options: DisplayOptions) -> dict[str, Any]:
    return {"show": options.show, "lensSize": options.lens_size, "split": options.split}


def _view_items() -> list[MenuItem]:
    everywhere = MenuItem(_("All slice views"), ALL_VIEWS, _("Live zoom works in every slice view."))
    tip = _("Live zoom works in the slice view {name} only.")
    return [everywhere, *(MenuItem(name, name, tip.format(name=name)) for name in slice_view_names())]
