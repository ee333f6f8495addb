"""The texts about a finished run: a headline, and details."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from slicer.i18n import tr as _

from ..logic.automatic import name_choice
from ..logic.library import library
from .size_preview import in_slicer_order

_SMALLEST_DIFFERENCE = 1e-4  # of the scan's RMS; below, only rounding is left

_SWAPPED = "Were they swapped?"
_SAME_AS_SWAPPED = ("The reference is no sharper than the target", "no finer than the target")


def headline(report: Any, automatic: bool = False) -> str:
    """What was really done, and whether the result agrees with the scan.

    Args:
        report: the library's `Report`.
        automatic: whether the method was chosen by *Automatic*.
    """
    done = _("{method}, {scale}: {shape} voxels of {spacing} mm").format(
        method=name_choice(_made_by(report), automatic),
        scale=_scale(report.scale),
        shape=in_slicer_order(report.shape),
        spacing=in_slicer_order([float(f"{step:.3g}") for step in report.spacing]),
    )
    return f"{done}.\n{_agreement(report.consistency)}"


def shown_warnings(report: Any) -> list[str]:
    """The warnings of a run, where scans that look swapped are said once.

    Such a reference is also warned of as no sharper and no finer than the target, which says the same.
    """
    swapped = any(sentence.endswith(_SWAPPED) for sentence in report.warnings)
    return [each for each in report.warnings if not (swapped and any(words in each for words in _SAME_AS_SWAPPED))]


def details(names: Sequence[str], report: Any) -> str:
    """What explains the result: volumes, reference, resolution, time and the notes of the run, one line each.

    Args:
        names: of the volumes that were made.
        report: the library's `Report`.
    """
    lines = [_("Made {names}.").format(names=_(" and ").join(names))]
    if report.reference and report.alignment.get("registered"):
        moved = report.alignment.get("displacement_mm", 0.0)
        lines.append(_("{name} was registered, by {moved:.1f} mm.").format(name=report.reference, moved=moved))
    resolution = report.resolution
    if "result" in resolution:
        lines.append(
            _("Effective resolution: {before} mm in the scan, at best {after} mm in the result.").format(
                before=in_slicer_order([float(f"{size:.3g}") for size in resolution["target"]]),
                after=in_slicer_order([float(f"{size:.3g}") for size in resolution["result"]]),
            )
        )
    seconds = sum(report.times.values())
    lines.append(_("Took {seconds:.1f} s on {device}.").format(seconds=seconds, device=report.device))
    return "\n".join([*lines, *report.notes])


def _made_by(report: Any) -> str:
    """The method, as the menu calls it, and whether the reference took part; for a fallback, what it stands for."""
    labels = {method.name: method.label for method in library("methods").all_methods()}
    label = labels.get(report.made_by, report.made_by)
    if report.fallback:
        return _("{label} in place of {method}").format(label=label, method=labels.get(report.method, report.method))
    if not report.reference:
        return label
    pattern = _("{label} with {reference}") if report.reference_used else _("{label} without {reference}")
    return pattern.format(label=label, reference=report.reference)


def _scale(scale: tuple[float, float, float]) -> str:
    """Factors along i × j × k, as one number where they are equal or the slices stay."""
    texts = [f"{factor:.4g}" for factor in (round(factor, 2) for factor in scale)]
    if texts[1] == texts[2] and texts[0] in ("1", texts[1]):
        return f"×{texts[1]}" + (_(" in plane") if texts[0] == "1" != texts[1] else "")
    return "×" + " × ".join(reversed(texts))


def _agreement(consistency: Any) -> str:
    if consistency.get("mode", "off") == "off":
        return _("Agreement with the scan was not enforced.")
    difference = consistency.get("residual_after")  # None where slices were computed one by one
    if difference is None or difference < _SMALLEST_DIFFERENCE:
        return _("Agrees with the scan.")
    return _("Agrees with the scan up to {percent:.2g} %.").format(percent=100 * difference)
