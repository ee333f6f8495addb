"""What BIDS side-cars state about the acquisition: files of an image's name with .json, as dcm2niix writes them.

In a BIDS dataset a side-car in a folder above holds for all images whose names have its entities and suffix; one nearer
to the image takes precedence (the inheritance principle).
Format: https://bids-specification.readthedocs.io (Magnetic Resonance Imaging; Common principles).
"""

from __future__ import annotations

import json
import math
from pathlib import Path

from ..image.grid import Grid
from .formats import suffix_of

_KEYS = {"SliceThickness": "slice_thickness", "SpacingBetweenSlices": "spacing_between_slices"}  # both in mm
_LEVELS = 5  # from the folder of the images to the top of the dataset: data type, session, subject, dataset
_DIFFERENT = 0.05  # share of the slice spacing that rounding does not explain
_THICKEST = 3.0  # times the slice spacing: slices that overlap by two thirds


def stated_in_sidecars(image: Path) -> dict[str, float]:
    """Entries of `Volume.metadata` from the side-cars of `image`; none where they are absent or not readable.

    >>> stated_in_sidecars(Path("absent.nii.gz"))
    {}
    """
    stem = image.name[: -len(suffix_of(image))] if suffix_of(image) else image.name
    found: dict[str, float] = {}
    for folder in _dataset_folders(image.parent):
        general_first = sorted(folder.glob("*.json"), key=lambda place: place.stem.count("_"))
        for place in general_first:
            if _holds_for(place.stem, stem):
                found |= _stated(place)
    return found | _stated(image.with_name(f"{stem}.json"))


def refuse_contradictions(stated: dict[str, float], grid: Grid, name: str) -> tuple[dict[str, float], list[str]]:
    """(what can be true of `stated` on the image's grid, sentences about what cannot).

    >>> refuse_contradictions({"spacing_between_slices": 6.0}, Grid((9, 64, 64), np.diag([1, 1, 3, 1])), "T2")[0]
    {}
    """
    axis = grid.slice_axis
    spacing = max(grid.spacing) if axis is None else grid.spacing[axis]
    kept, warnings = dict(stated), []
    gap = stated.get("spacing_between_slices", spacing)
    if axis is not None and abs(gap - spacing) > _DIFFERENT * spacing:
        del kept["spacing_between_slices"]
        warnings.append(
            f"The side-car of {name} states SpacingBetweenSlices {gap:g} mm, the image's header {spacing:.4g} mm; the "
            "header's was used. Check which of the two is right."
        )
    thickness = stated.get("slice_thickness", spacing)
    if thickness > _THICKEST * spacing:
        del kept["slice_thickness"]
        warnings.append(
            f"The side-car of {name} states SliceThickness {thickness:g} mm, the image's slices are {spacing:.4g} mm "
            "apart; it was not used. Check which of the two is right, or give the true one (super-resolve "
            "--slice-thickness)."
        )
    return kept, warnings


def _dataset_folders(folder: Path) -> list[Path]:
    """The folders from the top of the BIDS dataset that holds `folder` down to it; none where no dataset does."""
    chain = [folder, *folder.absolute().parents][:_LEVELS]
    for number, place in enumerate(chain):
        if (place / "dataset_description.json").is_file():
            return chain[number::-1]
    return []


def _holds_for(sidecar: str, image: str) -> bool:
    """Whether a side-car of this name holds for an image of this name, both without extension."""
    *entities, suffix = sidecar.split("_")
    *others, own = image.split("_")
    return suffix == own and set(entities) <= set(others)


def _stated(path: Path) -> dict[str, float]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    values = {key: found.get(name) for name, key in _KEYS.items()} if isinstance(found, dict) else {}
    return {
        key: float(value)
        for key, value in values.items()
        if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) and value > 0
    }
