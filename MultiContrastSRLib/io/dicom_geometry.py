"""DICOM slices or frames as one regular stack: sorted, checked, and placed by an affine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from ..core.errors import GeometryError, InputError
from .dicom_tags import numbers
from .itk import ras_affine

_T = TypeVar("_T")
POSITION, ORIENTATION, SPACING = "0020,0032", "0020,0037", "0028,0030"
_EVEN = 0.01  # mm: slice positions are written with few decimals
_UNEVEN = 0.1  # of the gap: beyond, a slice is missing or misplaced
_OUT_OF_LINE = 0.5  # pixels in plane: beyond, no affine places the slices
_UPRIGHT = 0.1  # degrees between the stack and the slices' normal that may be rounding


@dataclass(frozen=True)
class StatedPlane:
    """Where one slice or frame lies, as far as its file states it; what it does not state is None.

    Attributes:
        label: file name, or number of the frame.
        shape: rows and columns.
        position: LPS mm of the first pixel's centre.
        axes: 3×2, unit vectors of growing column and row index in LPS.
        spacing: mm between columns and between rows.
    """

    label: str
    shape: tuple[int, int]
    position: np.ndarray | None
    axes: np.ndarray | None
    spacing: tuple[float, float] | None

    @classmethod
    def of(cls, label: str, shape: tuple[int, int], position: str, orientation: str, spacing: str) -> StatedPlane:
        """From the texts of ImagePositionPatient, ImageOrientationPatient and PixelSpacing."""
        place, cosines, gaps = np.array(numbers(position)), np.array(numbers(orientation)), numbers(spacing)
        axes = cosines.reshape(2, 3).T if cosines.size == 6 else np.zeros((3, 2))
        lengths = np.linalg.norm(axes, axis=0)
        upright = bool(lengths.all()) and abs(axes[:, 0] @ axes[:, 1]) < 0.01 * lengths.prod()
        return cls(
            label,
            shape,
            place if place.size == 3 else None,
            axes / lengths if upright else None,
            (gaps[1], gaps[0]) if len(gaps) == 2 and min(gaps) > 0 else None,
        )


@dataclass(frozen=True)
class Plane:
    """Where one slice or frame lies; attributes as those of `StatedPlane`."""

    label: str
    shape: tuple[int, int]
    position: np.ndarray
    axes: np.ndarray
    spacing: tuple[float, float]


@dataclass(frozen=True)
class Placement:
    """Planes as one regular stack.

    Attributes:
        order: indices of the planes along their normal.
        affine: 4×4, index (i, j, k, 1) to RAS mm.
        warnings: sentences about what the files leave open.
    """

    order: list[int]
    affine: np.ndarray
    warnings: list[str]


def place(where: str, stated: Sequence[StatedPlane], thickness: float, strays: Sequence[str] = ()) -> Placement:
    """Planes as one regular stack.

    Args:
        where: what messages call the input: "Folder …" or "File …".
        thickness: mm that a single plane stands for.
        strays: names of files that could not be read, for the message about missing slices.

    Raises:
        InputError: several planes at one place.
        GeometryError: planes missing, shifted, without position, or of different size, spacing or orientation.
    """
    warnings: list[str] = []
    planes = _completed(where, stated, warnings)
    first = planes[0]
    for other in planes[1:]:
        if other.shape != first.shape or not np.allclose(other.spacing, first.spacing, rtol=1e-3):
            raise GeometryError(
                f"{where}: slices differ in size or pixel spacing ({first.label} has {_size(first)}, {other.label} "
                f"{_size(other)}); expected one volume. Export the scan without its scout images."
            )
        if not np.allclose(other.axes, first.axes, atol=1e-3):
            raise GeometryError(
                f"{where}: slices {first.label} and {other.label} have different orientations; expected one volume. "
                "Export the scan without its scout images."
            )
    normal = np.cross(first.axes[:, 0], first.axes[:, 1])
    order = sorted(range(len(planes)), key=lambda index: float(planes[index].position @ normal))
    positions = np.array([planes[index].position for index in order])
    step = normal * thickness
    if len(planes) > 1:
        step = (positions[-1] - positions[0]) / (len(planes) - 1)
        warnings += _check_gaps(where, positions @ normal, strays)
        warnings += _check_line(where, positions, normal, min(first.spacing))
    affine = ras_affine(np.column_stack([first.axes, step]), (*first.spacing, 1.0), positions[0])
    return Placement(order, affine, warnings)


def _size(plane: Plane) -> str:
    spacing = " × ".join(f"{s:g}" for s in plane.spacing)
    return f"{plane.shape[1]} × {plane.shape[0]} pixels of {spacing} mm"


def _completed(where: str, planes: Sequence[StatedPlane], warnings: list[str]) -> list[Plane]:
    """The planes with assumptions in the place of what is not stated, each with a sentence in `warnings`."""
    placeless = [plane.label for plane in planes if plane.position is None]
    if placeless and len(planes) > 1:
        raise GeometryError(
            f"{where}: {len(placeless)} of {len(planes)} slices state no position ({POSITION}), {placeless[0]} for "
            "example; expected one for each, for their order and distance are unknown otherwise. Export the series "
            "again from the archive, or convert it to NIfTI."
        )

    def assume(values: Sequence[_T | None], what: str, default: _T, assumed: str) -> _T:
        stated = [value for value in values if value is not None]
        missing = len(planes) - len(stated)
        if missing:
            said = f"that of the others ({missing} of {len(planes)} slices lack it)" if stated else assumed
            warnings.append(f"The DICOM files state no valid {what}; {said} was assumed.")
        return stated[0] if stated else default

    spacing = assume([plane.spacing for plane in planes], f"pixel spacing ({SPACING})", (1.0, 1.0), "1 mm")
    axes = assume([plane.axes for plane in planes], f"orientation ({ORIENTATION})", np.eye(3)[:, :2], "an axial one")
    position = assume([plane.position for plane in planes], f"position ({POSITION})", np.zeros(3), "the origin")
    return [
        Plane(
            plane.label,
            plane.shape,
            position if plane.position is None else plane.position,
            axes if plane.axes is None else plane.axes,
            plane.spacing or spacing,
        )
        for plane in planes
    ]


def _check_gaps(where: str, places: np.ndarray, strays: Sequence[str]) -> list[str]:
    """A warning where the gaps between slices vary a little; missing and doubled slices are refused."""
    gaps = np.diff(places)
    if gaps.min() < _EVEN:
        doubled = int(np.sum(gaps < _EVEN))
        raise InputError(
            f"{where}: {doubled} of {len(places)} images lie at the place of another one (echoes, time "
            "points or repeated files); expected one image per place. Export one of them only."
        )
    typical = float(np.median(gaps))
    if np.abs(gaps - typical).max() > _UNEVEN * typical:
        after = int(np.argmax(np.abs(gaps - typical)))
        cause = f" ({', '.join(strays)} cannot be read)" if strays else ""
        raise GeometryError(
            f"{where}: the gap after slice {after + 1} of {len(places)} is {gaps[after]:.3f} mm, the others "
            f"{typical:.3f} mm; expected even gaps. Slices are missing{cause}: copy or export the series again."
        )
    even = np.linspace(places[0], places[-1], len(places))
    if np.abs(places - even).max() > _EVEN:
        return [
            f"Slice gaps vary from {gaps.min():.3f} to {gaps.max():.3f} mm; "
            f"the slices were placed {even[1] - even[0]:.3f} mm apart."
        ]
    return []


def _check_line(where: str, positions: np.ndarray, normal: np.ndarray, pixel: float) -> list[str]:
    """Warnings where slices are shifted in plane; refused where that is no shear, which an affine can express."""
    in_plane = positions - np.outer(positions @ normal, normal)
    steps = np.diff(in_plane, axis=0)
    off = np.linalg.norm(in_plane - np.linspace(in_plane[0], in_plane[-1], len(in_plane)), axis=1).max()
    if off > max(_EVEN, _OUT_OF_LINE * pixel):
        jumps = np.linalg.norm(steps - np.median(steps, axis=0), axis=1)
        after = int(np.argmax(jumps))
        raise GeometryError(
            f"{where}: slices are shifted in plane (by {jumps[after]:.2f} mm after slice {after + 1} of "
            f"{len(positions)}); expected slices in one line. They are of several stations, or the table or patient "
            "moved: export them separately."
        )
    warnings = []
    if off > _EVEN:
        warnings.append(f"Slices are shifted in plane by up to {off:.2f} mm; they were placed in one line.")
    step = positions[-1] - positions[0]
    tilt = np.degrees(np.arctan2(np.linalg.norm(in_plane[-1] - in_plane[0]), step @ normal))
    if tilt > _UPRIGHT:
        warnings.append(
            f"Slices are stacked at {tilt:.1f}° to their normal (a tilted gantry, or slices shifted in plane); the "
            "volume is sheared."
        )
    return warnings
