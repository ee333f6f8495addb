"""A volume as a derived DICOM series: one MR image a slice, marked for research use (PS3.3 A.4, MR Image Storage)."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..core.errors import FileReadError, FileWriteError, GeometryError, MethodUnavailableError
from ..core.progress import CancelCallback, Monitor, ProgressCallback
from ..image.volume import Volume
from .dicom_derived import Sources, common_attributes, new_uid
from .files import check_writable, is_dicom, reason_of, user_path

if TYPE_CHECKING:
    from types import ModuleType

    from pydicom.dataset import Dataset

_MOST_SHEAR = 1e-4  # cosine between axes that a reader takes to be at right angles
_LEVELS = 65535


def save_series(
    volume: Volume,
    folder: str | Path,
    *,
    sources: Sources | None = None,
    derivation: str = "",
    keep_patient: bool = True,
    same_space: bool = True,
    window: tuple[float, float] | None = None,
    progress: ProgressCallback | None = None,
    cancel: CancelCallback | None = None,
) -> tuple[Path, ...]:
    """Write a volume as a new DICOM series of a derived MR image: all of its files, or none.

    Intensities are stored in 16 bits with a rescale slope, to 1/131070 of their range.

    Args:
        volume: its name is part of the series description.
        folder: a new or an empty folder; "~" is the home folder.
        sources: the images that it was made of; without them it is a new study of a patient without name.
        derivation: how it was made, for the attribute Derivation Description.
        keep_patient: whether patient and study are those of the target, so that an archive files both together. If not,
            the series is a new study without a name, and refers to no images.
        same_space: whether the volume lies where its target was acquired; if not, it gets a frame of reference of its
            own.
        window: centre and width of the grey window; default all but the extreme half per cents.
        progress, cancel: see `MultiContrastSRLib.core.progress`.

    Returns:
        The files, in the order of the slices.

    Raises:
        FileWriteError: the folder holds files or cannot be written.
        GeometryError: sheared axes, which DICOM images cannot have.
        MethodUnavailableError: pydicom is not installed.
        CancelledError: `cancel()` returned True; nothing is left behind.
    """
    pydicom = _pydicom()
    place = check_folder(folder)
    sources = sources or Sources()
    common = common_attributes(pydicom, volume, sources, derivation, keep_patient, same_space)
    slope, intercept = _rescale(volume.array)
    low, high = np.quantile(volume.array, (0.005, 0.995)) if window is None else (0.0, 0.0)
    center, width = window or (float(low + high) / 2, max(float(high - low), slope))
    monitor = Monitor(progress, cancel, stage="save")
    partial = place.with_name(f".{secrets.token_hex(4)}")
    try:
        partial.mkdir()
        for number, pixels in enumerate(volume.array):
            monitor.update(number / len(volume.array))
            image = _slice(pydicom, common, volume, number)
            image.RescaleSlope, image.RescaleIntercept, image.RescaleType = _decimal(slope), _decimal(intercept), "US"
            image.WindowCenter, image.WindowWidth = _decimal(center), _decimal(width)
            stored = np.clip(np.round((pixels.astype(np.float64) - intercept) / slope), 0, _LEVELS)
            image.PixelData = stored.astype("<u2").tobytes()
            _write(pydicom, image, partial / f"{number + 1:04d}.dcm")
        monitor.update(1.0)
        if place.is_dir():
            place.rmdir()  # it is empty
        os.replace(partial, place)
    except OSError as error:
        raise FileWriteError(
            f"Could not write the DICOM series {place}: {reason_of(error)}. Nothing was left behind. Choose a "
            "folder that is writable and has space."
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return tuple(place / f"{number + 1:04d}.dcm" for number in range(len(volume.array)))


def check_folder(folder: str | Path) -> Path:
    """The folder for a new series, with "~" replaced. Called before long work starts, and again before writing.

    Raises:
        FileWriteError: it holds files, is a file, or its own folder does not exist or is not writable.
    """
    place = user_path(folder)
    try:
        taken = place.exists() and (not place.is_dir() or any(place.iterdir()))
    except OSError as error:
        raise FileWriteError(f"Folder {place} cannot be used: {error.strerror}. Choose another name.") from error
    if taken:
        raise FileWriteError(
            f"Folder {place} holds files already; expected a new or an empty folder for the DICOM series. Choose "
            "another name."
        )
    if not place.parent.is_dir():
        raise FileWriteError(f"Folder {place.parent} does not exist; expected an existing folder. Create it first.")
    check_writable(place, place.parent)
    return place


def files_of(metadata: Mapping[str, object]) -> list[Path]:
    """The DICOM files that a volume was read from, by its `metadata`; none where it came from other files."""
    from .dicom import series_files

    source, series = metadata.get("source"), metadata.get("series")
    if not isinstance(source, str) or not source:
        return []
    place = Path(source)
    try:
        if place.is_dir():
            return series_files(place, series if isinstance(series, str) else None)
        return [place] if is_dicom(place) else []
    except (FileReadError, OSError):  # moved or deleted since
        return []


def _slice(pydicom: ModuleType, common: Dataset, volume: Volume, number: int) -> Dataset:
    """The attributes of one slice, without its pixels."""
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ volume.affine  # RAS to the patient coordinates of DICOM (LPS)
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    directions = affine[:3, :3] / lengths
    if np.abs(directions.T @ directions - np.eye(3)).max() > _MOST_SHEAR:
        raise GeometryError(
            f"{volume.name or 'The volume'} has sheared axes, which DICOM images cannot have; expected right angles. "
            "Resample it in Slicer (module Resample Image) first, or save it as .nii.gz."
        )
    image = pydicom.Dataset()
    image.update(common)
    image.SOPInstanceUID, image.InstanceNumber = new_uid(pydicom), number + 1
    image.ImagePositionPatient = [_decimal(x) for x in affine[:3] @ (0, 0, number, 1)]
    image.ImageOrientationPatient = [_decimal(x) for x in directions[:, :2].T.ravel()]
    image.PixelSpacing = [_decimal(lengths[1]), _decimal(lengths[0])]  # between rows, between columns
    image.SliceThickness = image.SpacingBetweenSlices = _decimal(lengths[2])
    return image


def _rescale(array: np.ndarray) -> tuple[float, float]:
    """(slope, intercept) that map 0…65535 to the range of the intensities, as they are written (`_decimal`)."""
    low, high = float(array.min()), float(array.max())
    slope = float(_decimal((high - low) / _LEVELS)) or 1.0
    return slope, float(_decimal(low))


def _decimal(number: float) -> str:
    """A number as a Decimal String: at most 16 characters."""
    value = float(number)
    for digits in range(16, 0, -1):
        text = f"{value:.{digits}g}"
        if len(text) <= 16:
            return text
    return "0"


def _write(pydicom: ModuleType, image: Dataset, path: Path) -> None:
    meta = pydicom.dataset.FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = image.SOPClassUID, image.SOPInstanceUID
    meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    image.file_meta = meta
    if int(pydicom.__version_info__[0]) >= 3:
        pydicom.dcmwrite(path, image, enforce_file_format=True)
        return
    image.is_little_endian, image.is_implicit_VR = True, False
    pydicom.dcmwrite(path, image, write_like_original=False)


def _pydicom() -> ModuleType:
    try:
        import pydicom
    except ImportError as error:
        raise MethodUnavailableError(
            "Saving as DICOM needs pydicom, which is not installed; install it first: python -m pip install pydicom."
        ) from error
    return pydicom
