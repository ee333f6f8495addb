"""A folder of DICOM slices, or a multi-frame file, as one volume. Nothing about the person is kept.

GDCM (through SimpleITK) decodes the voxels; the geometry comes from the attributes themselves (`dicom_geometry`), since
GDCM replaces missing and malformed ones by defaults without saying so.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..core.errors import FileReadError, InputError
from ..image.volume import warnings_of
from .dicom_geometry import ORIENTATION, POSITION, SPACING, StatedPlane, place
from .dicom_pixels import lacks_pixels
from .dicom_tags import acquisition_metadata, decoded, numbers, patient_metadata, thickness_of, unreadable
from .files import SERIES_SEPARATOR, is_dicom
from .itk import is_unicode, itk_settings, readable_name

_DESCRIPTION, _CHARACTER_SET, _IMAGE_TYPE, _MOSAIC = "0008,103e", "0008,0005", "0008,0008", "0019,100a"
_BITS = "0028,0100"  # that each pixel is stored in


def read_series(folder: Path, series: str | None = None) -> tuple[np.ndarray, np.ndarray, dict[str, object], str]:
    """(array [k, j, i], affine to RAS mm, metadata, name) of the one series in `folder`, or of `series` (its UID).

    Raises:
        FileReadError: no series there, or files that cannot be read.
        InputError: several series; colours; mosaics; several images at one place.
        GeometryError: slices missing, shifted, without position, or of different size, spacing or orientation.
    """
    files, strays = _choose(folder, series)
    headers = [_Header(Path(path)) for path in files]
    first = headers[0]
    _check_kind(folder, headers)
    if first.frames > 1:
        if len(files) > 1:
            raise InputError(
                f"Folder {folder} holds {len(files)} multi-frame files of one series; expected one. Give one of the "
                f"files itself, {files[0]} for example."
            )
        from .dicom_multiframe import read_frames

        array, affine, metadata, name = read_frames(first.path)
        name = name or folder.name
    else:
        metadata = {**acquisition_metadata(first.text), **patient_metadata(first.text)}
        placed = place(f"Folder {folder}", [header.plane for header in headers], thickness_of(metadata), strays)
        array, affine = _pixels([headers[index] for index in placed.order]), placed.affine
        metadata["warnings"] = tuple(placed.warnings)
        name = first.description or folder.name
    if strays:
        listed = f"DICOM files without a readable image were left out: {', '.join(strays)}."
        metadata["warnings"] = (*warnings_of(metadata), listed)
    if series:
        metadata = {"series": series, **metadata}
    if not metadata.get("warnings"):
        metadata.pop("warnings", None)
    return array, affine, metadata, name


def series_files(folder: Path, series: str | None = None) -> list[Path]:
    """The files of the one series in `folder`, or of `series` (its UID), sorted by name; errors as `read_series`."""
    return sorted(map(Path, _choose(folder, series)[0]))


def is_multiframe(path: Path) -> bool:
    """Whether the DICOM file at `path` holds several frames."""
    try:
        return _Header(path).frames > 1
    except FileReadError:
        return False


class _Header:
    """The attributes of one file."""

    def __init__(self, path: Path) -> None:
        import SimpleITK as sitk

        reader = sitk.ImageFileReader()
        reader.SetImageIO("GDCMImageIO")
        reader.SetFileName(readable_name(path))
        try:
            with itk_settings():
                reader.ReadImageInformation()
        except RuntimeError as error:
            raise unreadable(path) from error
        self.path, size = path, reader.GetSize()
        self.components = reader.GetNumberOfComponents()
        self.frames = size[2] if len(size) > 2 else 1
        self._shape = (size[1], size[0])
        self._texts = {key.replace("|", ","): reader.GetMetaData(key) for key in reader.GetMetaDataKeys()}

    def text(self, tag: str) -> str:
        """The value of an attribute ("0018,0050" for example) as text; "" where it is absent."""
        return self._texts.get(tag, "")

    @property
    def pixel_bytes(self) -> int:
        """Bytes of its pixels without compression; 0 where the file does not say how many each has."""
        bits = next(iter(numbers(self.text(_BITS))), 0.0)
        return int(self._shape[0] * self._shape[1] * bits) // 8

    @property
    def plane(self) -> StatedPlane:
        texts = (self.text(tag) for tag in (POSITION, ORIENTATION, SPACING))
        return StatedPlane.of(self.path.name, self._shape, *texts)

    @property
    def description(self) -> str:
        return decoded(self.text(_DESCRIPTION), self.text(_CHARACTER_SET)).strip()


def _choose(folder: Path, series: str | None) -> tuple[Sequence[str], list[str]]:
    """The files of the wanted series, and the names of DICOM files that belong to none: truncated, or no images."""
    import SimpleITK as sitk

    reader = sitk.ImageSeriesReader
    place = readable_name(folder)
    for path in folder.iterdir():
        if not is_unicode(path) and is_dicom(path):
            readable_name(path)  # the reader would end the process
    with itk_settings():
        found = reader.GetGDCMSeriesIDs(place)
        files = {uid: reader.GetGDCMSeriesFileNames(place, uid) for uid in found}
    if not files:
        raise FileReadError(
            f"Folder {folder} holds no DICOM series; expected the slices of one. Give the folder that holds the files "
            "themselves, or an image file."
        )
    if series is None and len(files) > 1:
        listed = "; ".join(f"{uid} ({_described(names)})" for uid, names in files.items())
        raise InputError(
            f"Folder {folder} holds {len(files)} DICOM series; expected one. Choose one by its UID, as in "
            f"'{folder}{SERIES_SEPARATOR}{found[0]}': {listed}."
        )
    if series is not None and series not in files:
        raise InputError(f"Folder {folder} holds no DICOM series {series!r}; expected one of {', '.join(files)}.")
    known = {Path(path).name for names in files.values() for path in names}
    strays = [path.name for path in sorted(folder.iterdir()) if path.name not in known and is_dicom(path)]
    return files[series] if series else files[found[0]], [name for name in strays if name != "DICOMDIR"]


def _described(files: Sequence[str]) -> str:
    description = _Header(Path(files[0])).description
    return f"{description or 'no description'}, {len(files)} files"


def _check_kind(folder: Path, headers: list[_Header]) -> None:
    """Refuse images that are no slices."""
    for header in headers:
        if header.components != 1:
            raise InputError(
                f"Folder {folder} holds colour images; expected one grey-valued scan. Choose another series."
            )
        if "MOSAIC" in header.text(_IMAGE_TYPE).upper() or max(numbers(header.text(_MOSAIC)), default=0) > 1:
            raise InputError(
                f"Folder {folder} holds mosaics ({header.path.name} shows all slices tiled into one picture); expected "
                "one slice a file. Convert the series to NIfTI first, for example with dcm2niix."
            )


def _pixels(headers: list[_Header]) -> np.ndarray:
    import SimpleITK as sitk

    for header in headers:
        if lacks_pixels(header.path, header.pixel_bytes):
            raise unreadable(header.path)
    reader = sitk.ImageSeriesReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileNames([str(header.path) for header in headers])
    reader.SetOutputPixelType(sitk.sitkFloat32)
    try:
        with itk_settings():
            array = sitk.GetArrayFromImage(reader.Execute())
    except RuntimeError as error:
        raise unreadable(headers[0].path) from error
    return array if array.ndim == 3 else array[None]
