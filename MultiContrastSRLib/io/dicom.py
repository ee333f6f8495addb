"""A folder of DICOM slices as one volume, read by GDCM through SimpleITK. Nothing about the person is kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..core.errors import FileReadError, GeometryError, InputError
from .files import is_dicom
from .formats import SERIES_SEPARATOR
from .itk import quiet, ras_affine

_DESCRIPTION, _THICKNESS, _BETWEEN, _MATRIX = "0008|103e", "0018|0050", "0018|0088", "0018|1310"
_EVEN = 0.01  # mm: slice positions are written with few decimals
_UNEVEN = 0.1  # of the gap: beyond, a slice is missing or misplaced


@dataclass(frozen=True)
class _Slice:
    """One file: LPS mm and rows of text."""

    path: str
    size: tuple[int, ...]
    components: int
    origin: np.ndarray
    direction: np.ndarray
    spacing: tuple[float, ...]
    tags: dict[str, str]

    @property
    def normal(self) -> np.ndarray:
        return np.cross(self.direction[:, 0], self.direction[:, 1])


def read_series(folder: Path, series: str | None = None) -> tuple[np.ndarray, np.ndarray, dict, str]:
    """(array [k, j, i], affine to RAS mm, metadata, name) of the one series in `folder`, or of `series` (its UID).

    Raises:
        FileReadError: no series there, or files that cannot be read.
        InputError: several series; colours; several images at one place; multi-frame files.
        GeometryError: slices missing, or of different size, spacing or orientation.
    """
    files, strays = _choose(folder, series)
    slices = _sorted(folder, files)
    first, last, count = slices[0], slices[-1], len(slices)
    step = (last.origin - first.origin) / (count - 1) if count > 1 else first.normal * _single_thickness(first)
    warnings = _check_gaps(folder, slices, strays) if count > 1 else []
    if strays:
        warnings.append(f"DICOM files without a readable image were left out: {', '.join(strays)}.")
    affine = ras_affine(
        np.column_stack([first.direction[:, 0], first.direction[:, 1], step]), (*first.spacing[:2], 1.0), first.origin
    )
    metadata: dict[str, object] = {"series": series} if series else {}
    for key, tag in (("slice_thickness", _THICKNESS), ("spacing_between_slices", _BETWEEN)):
        if (value := _numbers(first.tags.get(tag, ""))) and value[0] > 0:
            metadata[key] = value[0]
    if matrix := _numbers(first.tags.get(_MATRIX, "")):
        metadata["acquisition_matrix"] = tuple(int(n) for n in matrix)
    if warnings:
        metadata["warnings"] = tuple(warnings)
    return _pixels(folder, slices), affine, metadata, first.tags.get(_DESCRIPTION, "").strip() or folder.name


def _choose(folder: Path, series: str | None) -> tuple[Sequence[str], list[str]]:
    """The files of the wanted series, and the names of DICOM files that belong to none: truncated, or no images."""
    import SimpleITK as sitk

    reader = sitk.ImageSeriesReader
    with quiet():
        found = reader.GetGDCMSeriesIDs(str(folder))
        files = {uid: reader.GetGDCMSeriesFileNames(str(folder), uid) for uid in found}
    if not files:
        raise FileReadError(
            f"Folder {folder} holds no DICOM series; expected the slices of one. Give the folder that holds the files "
            "themselves, or an image file."
        )
    if series is None and len(files) > 1:
        listed = "; ".join(f"{uid} ({_described(folder, names)})" for uid, names in files.items())
        raise InputError(
            f"Folder {folder} holds {len(files)} DICOM series; expected one. Choose one by its UID, as in "
            f"'{folder}{SERIES_SEPARATOR}{found[0]}': {listed}."
        )
    if series is not None and series not in files:
        raise InputError(f"Folder {folder} holds no DICOM series {series!r}; expected one of {', '.join(files)}.")
    known = {Path(path).name for names in files.values() for path in names}
    strays = [path.name for path in sorted(folder.iterdir()) if path.name not in known and is_dicom(path)]
    return files[series] if series else files[found[0]], [name for name in strays if name != "DICOMDIR"]


def _described(folder: Path, files: Sequence[str]) -> str:
    description = _header(folder, files[0]).tags.get(_DESCRIPTION, "").strip()
    return f"{description or 'no description'}, {len(files)} files"


def _header(folder: Path, path: str) -> _Slice:
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(path)
    try:
        with quiet():
            reader.ReadImageInformation()
    except RuntimeError as error:
        raise _unreadable(folder, path) from error
    tags = {key: reader.GetMetaData(key) for key in reader.GetMetaDataKeys()}
    size, dimension = reader.GetSize(), reader.GetDimension()
    return _Slice(
        path,
        size,
        reader.GetNumberOfComponents(),
        np.array(reader.GetOrigin(), dtype=float),
        np.reshape(reader.GetDirection(), (dimension, dimension)),
        reader.GetSpacing(),
        tags,
    )


def _unreadable(folder: Path, path: str) -> FileReadError:
    return FileReadError(
        f"Folder {folder}: file {Path(path).name} is truncated or damaged. Copy or export the series again."
    )


def _sorted(folder: Path, files: Sequence[str]) -> list[_Slice]:
    """The slices along their normal, once they are known to belong to one volume."""
    slices = [_header(folder, path) for path in files]
    first = slices[0]
    if first.components != 1:
        raise InputError(f"Folder {folder} holds colour images; expected one grey-valued scan. Choose another series.")
    if len(first.size) > 2 and first.size[2] > 1:
        raise InputError(
            f"Folder {folder} holds multi-frame DICOM files ({first.size[2]} frames in {Path(first.path).name}); "
            "expected one file a slice. Convert the series to NIfTI first, for example with dcm2niix."
        )
    for other in slices[1:]:
        if other.size != first.size or not np.allclose(other.spacing[:2], first.spacing[:2], rtol=1e-3):
            raise GeometryError(
                f"Folder {folder}: slices differ in size or pixel spacing ({Path(first.path).name} has "
                f"{first.size[0]} × {first.size[1]} pixels, {Path(other.path).name} {other.size[0]} × "
                f"{other.size[1]}); expected one volume. Export the scan without its scout images."
            )
        if not np.allclose(other.direction[:, :2], first.direction[:, :2], atol=1e-3):
            raise GeometryError(
                f"Folder {folder}: slices {Path(first.path).name} and {Path(other.path).name} have different "
                "orientations; expected one volume. Export the scan without its scout images."
            )
    return sorted(slices, key=lambda one: float(one.origin @ first.normal))


def _check_gaps(folder: Path, slices: list[_Slice], strays: list[str]) -> list[str]:
    """A warning where the gaps vary a little; refuses missing and doubled slices."""
    places = np.array([one.origin @ slices[0].normal for one in slices])
    gaps = np.diff(places)
    if gaps.min() < _EVEN:
        doubled = int(np.sum(gaps < _EVEN))
        raise InputError(
            f"Folder {folder}: {doubled} of {len(slices)} images lie at the place of another one (echoes, time "
            "points or repeated files); expected one image per place. Export one of them only."
        )
    typical = float(np.median(gaps))
    if np.abs(gaps - typical).max() > _UNEVEN * typical:
        after = int(np.argmax(np.abs(gaps - typical)))
        unreadable = f" ({', '.join(strays)} cannot be read)" if strays else ""
        raise GeometryError(
            f"Folder {folder}: the gap after slice {after + 1} of {len(slices)} is {gaps[after]:.3f} mm, the others "
            f"{typical:.3f} mm; expected even gaps. Slices are missing{unreadable}: copy or export the series "
            "again."
        )
    even = np.linspace(places[0], places[-1], len(places))
    if np.abs(places - even).max() > _EVEN:
        return [
            f"Slice gaps vary from {gaps.min():.3f} to {gaps.max():.3f} mm; "
            f"the slices were placed {even[1] - even[0]:.3f} mm apart."
        ]
    return []


def _single_thickness(one: _Slice) -> float:
    """mm that a lone slice stands for."""
    value = _numbers(one.tags.get(_THICKNESS, ""))
    return value[0] if value and value[0] > 0 else 1.0


def _pixels(folder: Path, slices: list[_Slice]) -> np.ndarray:
    import SimpleITK as sitk

    reader = sitk.ImageSeriesReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileNames([one.path for one in slices])
    reader.SetOutputPixelType(sitk.sitkFloat32)
    try:
        with quiet():
            array = sitk.GetArrayFromImage(reader.Execute())
    except RuntimeError as error:
        raise _unreadable(folder, slices[0].path) from error
    return array if array.ndim == 3 else array[None]


def _numbers(text: str) -> list[float]:
    """The numbers of a multi-valued tag; none where it is malformed."""
    try:
        values = [float(part) for part in text.split("\\") if part.strip()]
    except ValueError:
        return []
    return values if np.isfinite(values).all() else []
