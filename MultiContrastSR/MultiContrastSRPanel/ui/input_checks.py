"""The sentences below the inputs that the user should weigh, and what helps: to swap them, to replace NaN voxels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from ..logic.library import library
from .panel_state import show_warnings


class InputChecks:
    """Shows what speaks against the chosen scans, before anything is computed.

    Args:
        ui: the named widgets.
        on_swap: called when the user wants target and reference exchanged.

    Attributes:
        nan: whether one of the scans has voxels that are NaN or infinite.
    """

    def __init__(self, ui: Any, on_swap: Callable[[], None]) -> None:
        self.ui = ui
        self.nan = False
        self._voxels: dict[str, tuple[Any, str | None, int]] = {}  # role: what was looked at, its kind, NaN voxels
        ui.swapButton.connect("clicked(bool)", lambda checked=False: on_swap())

    def refresh(self, target: Any, reference: Any) -> None:
        """Bring the sentences up to date with these nodes (either may be None)."""
        sentences, swapped, bad = [], None, 0
        try:
            for role, node in (("target", target), ("reference", reference)):
                if node is not None:
                    kind, count = self._look_at(role, node)
                    sentences.append(kind)
                    bad += count
                    if count:
                        sentences.append(
                            _("{name} has {count} voxels that are NaN or infinite.").format(
                                name=node.GetName(), count=count
                            )
                        )
            if target is not None and reference is not None and target is not reference:
                swapped, patient = self._compare(target, reference)
                sentences += [swapped, patient]
        except library().MultiContrastSRError:  # Apply says so
            sentences, swapped, bad = [], None, 0
        self.nan = bad > 0
        show_warnings(self.ui.inputWarningLabel, [sentence for sentence in sentences if sentence])
        self.ui.swapButton.visible = swapped is not None
        self.ui.replaceNanCheckBox.visible = self.nan

    def _look_at(self, role: str, node: Any) -> tuple[str | None, int]:
        """(a sentence where the voxels are those of no scan, how many are not finite); not computed twice."""
        mrml = library("mrml")
        mrml.grid_from_node(node)  # raises for what is no scan
        seen = node.GetID(), node.GetName(), node.GetImageData().GetMTime()  # no two images have the same time
        if role not in self._voxels or self._voxels[role][0] != seen:
            array = slicer.util.arrayFromVolume(node)
            kind = library("image.kind").kind_warning(array, mrml.metadata_from_node(node), node.GetName())
            self._voxels[role] = seen, kind, _not_finite(array)
        return self._voxels[role][1:]

    @staticmethod
    def _compare(target: Any, reference: Any) -> tuple[str | None, str | None]:
        """(a sentence where the scans look swapped, one where they are of different patients)."""
        mrml, checks = library("mrml"), library("pipeline.plausibility")
        names = target.GetName(), reference.GetName()
        grids = mrml.grid_from_node(target), mrml.grid_from_node(reference)
        metadata = mrml.metadata_from_node(target), mrml.metadata_from_node(reference)
        return checks.swap_warning(*grids, *names), checks.patient_warning(*metadata, *names)


def _not_finite(array: np.ndarray) -> int:
    """How many voxels are NaN or infinite."""
    if array.dtype.kind != "f" or np.isfinite(array.sum(dtype=np.float64)):
        return 0
    return int(array.size - np.count_nonzero(np.isfinite(array)))
