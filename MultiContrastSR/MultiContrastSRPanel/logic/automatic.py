"""The method that *Automatic* stands for, its packages, and the scans that the panel chooses when it opens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import slicer
from slicer.i18n import tr as _

from . import dependencies
from .library import library

AUTOMATIC = "automatic"  # as the name of a method; saved in scenes
_PREFERRED, _OTHERWISE = "swift", "guided"
_TOLERANCE = 0.02  # by which spacings differ that count as equal


def recommended_method() -> str:
    """Swift where PyTorch works, as far as that is known without importing it, else guided."""
    method = library("methods").get(_PREFERRED)
    works = method.unavailable() is None and all(map(dependencies.may_work, method.requires))
    return _PREFERRED if works else _OTHERWISE


def resolve_method(settings: dict[str, Any]) -> dict[str, Any]:
    """`settings` as keywords of the library: *Automatic* is replaced by `recommended_method`."""
    if settings.get("method") != AUTOMATIC:
        return settings
    return {**settings, "method": recommended_method()}


def method_of(settings: dict[str, Any]) -> Any:
    """The library's method that `settings` name."""
    return library("methods").get(resolve_method(settings).get("method", _OTHERWISE))


def ensure_packages(settings: dict[str, Any]) -> None:
    """Install what the method needs, asking the user before. Main thread only.

    *Automatic* takes no method whose packages are missing.

    Raises:
        MethodUnavailableError: see `dependencies.ensure`.
    """
    if settings.get("method") != AUTOMATIC:
        dependencies.ensure(method_of(settings).requires)


def load_packages(settings: dict[str, Any], progress: Callable[[float, str], None] | None = None) -> dict[str, Any]:
    """Import what the method needs. On any thread.

    Returns:
        `settings` as keywords of the library; *Automatic* takes another method where the packages do not work.

    Raises:
        MethodUnavailableError: the packages of a method that was chosen by name do not work.
    """
    resolved = resolve_method(settings)
    try:
        dependencies.load(method_of(resolved).requires, progress)
    except library("core.errors").MethodUnavailableError:
        if settings.get("method") != AUTOMATIC:
            raise
        resolved = resolve_method(settings)
    return resolved


def name_choice(label: str, automatic: bool) -> str:
    """The label of a method, and whether it was chosen by *Automatic*."""
    return _("{method} (chosen automatically)").format(method=label) if automatic else label


def guess_inputs() -> tuple[Any, Any]:
    """(target, reference) among the scene's scans: the coarsest, and the finest of those that are finer than it.

    Isotropic scans count as finer than thick slices, whatever their spacing in plane. Label maps, results of this
    module, hidden volumes and volumes that cannot be a target are left out. None where there is no such scan.
    """
    scans = _scans()
    if not scans:
        return None, None
    target, coarse = max(scans, key=lambda scan: scan[1])  # the first of equals
    reference, fine = min(scans, key=lambda scan: scan[1])
    finer = any(new < (1 - _TOLERANCE) * old for new, old in zip(fine, coarse, strict=True))
    return target, reference if finer else None


def guess_later_inputs(parameters: Any, added: Any) -> None:
    """Guess again when a scan was added, unless a reference or another target than the first scan was chosen.

    The selector of the target takes the first scan by itself. Results and views of this module are no scans.

    Args:
        parameters: the parameter node (wrapped).
        added: the node.
    """
    scans = _scans()
    if not any(node is added for node, _ in scans):
        return
    if parameters.reference is None and parameters.target in (None, scans[0][0]):
        target, reference = guess_inputs()
        if reference is not None:
            parameters.target, parameters.reference = target, reference


def _scans() -> list[tuple[Any, list[float]]]:
    """The scene's scans and their spacing in mm, coarsest axis first."""
    mrml = library("mrml")
    scans = []
    for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode"):
        # a label map is one too, by inheritance; what is hidden is no scan of the user's
        if node.GetClassName() != "vtkMRMLScalarVolumeNode" or node.GetHideFromEditors() or mrml.is_result(node):
            continue
        try:
            spacing = sorted(mrml.grid_from_node(node).spacing, reverse=True)
        except library().MultiContrastSRError:
            continue
        scans.append((node, spacing))
    return scans
