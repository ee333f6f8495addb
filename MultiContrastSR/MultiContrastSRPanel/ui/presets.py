"""The buttons *Sharper in plane*, *Isotropic* and *Custom*, which set the size of the result."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from slicer.i18n import tr as _

from ..logic.library import library

_SCALE = 2.0
_NEARLY_ISOTROPIC = 1.05
_LEAST_STEP = 5e-4  # half of the spacing slider's last digit


class Presets:
    """Keeps the buttons equal to the parameters; *Custom* shows the controls of scale and spacing.

    Once these controls are shown they stay until another button is pressed, whatever the values are.

    Args:
        ui: the named widgets.
        on_changed: called after *Custom* was pressed, which changes no parameter.
    """

    def __init__(self, ui: Any, on_changed: Callable[[], None]) -> None:
        self.ui, self._on_changed = ui, on_changed
        self._parameters: Any = None
        self._custom = False
        self._finest: float | None = None  # spacing of the isotropic preset for the target of the latest refresh
        ui.sharperButton.connect("clicked(bool)", self._sharper_clicked)
        ui.isotropicButton.connect("clicked(bool)", self._isotropic_clicked)
        ui.customButton.connect("clicked(bool)", self._custom_clicked)

    def set_parameters(self, parameters: Any) -> None:
        """Follow this parameter node (wrapped), or none."""
        self._parameters, self._custom, self._finest = parameters, False, None

    def refresh(self) -> None:
        """Show which preset the parameters are; the isotropic one follows the target."""
        parameters = self._parameters
        if parameters is None:
            return
        before, self._finest = self._finest, isotropic_spacing(parameters.target)
        by_spacing = parameters.outputSize.name == "spacing"
        if by_spacing and not self._custom and self._finest is not None:
            if before is not None and _equal(parameters.spacing, before) and not _equal(before, self._finest):
                parameters.spacing = self._finest
            self._custom = not _equal(parameters.spacing, self._finest)
        elif not by_spacing and parameters.scale != _SCALE:
            self._custom = True
        self.ui.customButton.checked = self._custom
        self.ui.isotropicButton.checked = by_spacing and not self._custom
        self.ui.sharperButton.checked = not by_spacing and not self._custom
        for widget in (self.ui.outputSizeLabel, self.ui.outputSizeSelector, self.ui.sizeLabel, self.ui.sizeStack):
            widget.visible = self._custom
        self.ui.isotropicButton.toolTip = (
            _("Cubic voxels as fine as the scan in plane; slices are added.")
            if self._finest is None
            else _("Cubic voxels of {spacing:.3g} mm; slices are added.").format(spacing=self._finest)
        )

    def _sharper_clicked(self, checked: bool = False) -> None:
        self._set("scale", scale=_SCALE)

    def _isotropic_clicked(self, checked: bool = False) -> None:
        self._set("spacing", **({} if self._finest is None else {"spacing": self._finest}))

    def _custom_clicked(self, checked: bool = False) -> None:
        self._custom = True
        self._on_changed()

    def _set(self, size: str, **values: float) -> None:
        for name, value in values.items():
            setattr(self._parameters, name, value)
        self._parameters.outputSize = type(self._parameters.outputSize)[size]
        self._custom = False  # last: values in between may be those of no preset
        self._on_changed()


def isotropic_spacing(target_node: Any) -> float | None:
    """mm: the finest spacing of the scan in plane, or half of it where the scan is isotropic already.

    None without a target, or with one that cannot be used.
    """
    if target_node is None:
        return None
    try:
        spacing = library("mrml").grid_from_node(target_node).spacing
    except library().MultiContrastSRError:
        return None
    finest = min(spacing)
    finest = finest / 2 if max(spacing) <= _NEARLY_ISOTROPIC * finest else finest
    return min(max(round(finest, 3), 0.1), 5.0)  # the range of the parameter


def _equal(first: float, second: float) -> bool:
    return abs(first - second) < _LEAST_STEP
