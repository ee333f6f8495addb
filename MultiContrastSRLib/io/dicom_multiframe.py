"""Enhanced multi-frame DICOM files: frames sorted and placed by their functional groups (PS3.3 C.7.6.16)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..core.errors import FileReadError, InputError
from .dicom_geometry import StatedPlane, place
from .dicom_tags import acquisition_metadata, decoded, numbers, patient_metadata, thickness_of, unreadable
from .itk import itk_settings, readable_name

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

# functional group macro → its sequence; PS3.3 C.7.6.16.2
_POSITION, _ORIENTATION = 0x00209113, 0x00209116
_MEASURES, _VALUES = 0x00289110, 0x00289145
_SHARED, _PER_FRAME = 0x52009229, 0x52009230


def read_frames(path: Path) -> tuple[np.ndarray, np.ndarray, dict[str, object], str]:
    """(array [k, j, i], affine to RAS mm, metadata, series description) of the frames in one file.

    Raises:
        FileReadError: a damaged file, or pydicom is not installed.
        InputError: no enhanced object, or several frames at one place (echoes, time points).
        GeometryError: frames missing, shifted, or of different orientation or spacing.
    """
    try:
        import pydicom
    except ImportError as error:
        raise FileReadError(
            f"File {path} is a multi-frame DICOM file, which needs pydicom. Install pydicom, or convert the file to "
            "NIfTI, for example with dcm2niix."
        ) from error
    try:
        header = pydicom.dcmread(path, stop_before_pixels=True)
    except (pydicom.errors.InvalidDicomError, EOFError, ValueError) as error:
        raise unreadable(path) from error
    frames = [_Frame(header, group) for group in _items(header, _PER_FRAME)]
    if not frames:
        raise InputError(
            f"File {path} is a multi-frame DICOM file that does not state where its frames lie; expected an enhanced "
            "MR, CT or PET object, or one file a slice. Convert it to NIfTI first, for example with dcm2niix."
        )
    array = _decoded_frames(path)
    if len(array) != len(frames):
        raise unreadable(path)
    planes = [
        StatedPlane.of(
            f"frame {number}",
            array.shape[1:],
            frame.text(_POSITION, 0x00200032),
            frame.text(_ORIENTATION, 0x00200037),
            frame.text(_MEASURES, 0x00280030),
        )
        for number, frame in enumerate(frames, start=1)
    ]
    metadata = acquisition_metadata(lambda tag: frames[0].text(_MEASURES, int(tag.replace(",", ""), 16)))
    metadata |= patient_metadata(lambda tag: _text(header, int(tag.replace(",", ""), 16)))
    placed = place(f"File {path}", planes, thickness_of(metadata))
    if placed.warnings:
        metadata["warnings"] = tuple(placed.warnings)
    array = _rescaled(array, [frame.rescale for frame in frames])
    name = decoded(_text(header, 0x0008103E), _text(header, 0x00080005)).strip()
    return array[placed.order], placed.affine, metadata, name


class _Frame:
    """What the functional groups say of one frame: its own, else those that all frames share."""

    def __init__(self, header: Dataset, own: Dataset) -> None:
        self._groups = [own, *_items(header, _SHARED)]

    def text(self, group: int, tag: int) -> str:
        for groups in self._groups:
            for item in _items(groups, group):
                if found := _text(item, tag):
                    return found
        return ""

    @property
    def rescale(self) -> tuple[float, float]:
        """(slope, intercept) from stored values to intensities."""
        slope, intercept = (numbers(self.text(_VALUES, tag)) for tag in (0x00281053, 0x00281052))
        return (slope[0] if slope and slope[0] else 1.0), (intercept[0] if intercept else 0.0)


def _items(dataset: Dataset, tag: int) -> list[Dataset]:
    return list(dataset[tag].value or ()) if tag in dataset else []


def _text(dataset: Dataset, tag: int) -> str:
    """The text of an attribute as it stands in the file, malformed or not."""
    value = dataset.get_item(tag).value if tag in dataset else ""
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    return "\\".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value or "")


def _decoded_frames(path: Path) -> np.ndarray:
    import SimpleITK as sitk

    try:
        with itk_settings():
            array = sitk.GetArrayFromImage(sitk.ReadImage(readable_name(path), sitk.sitkFloat32, "GDCMImageIO"))
    except RuntimeError as error:
        raise unreadable(path) from error
    if array.ndim != 3:
        raise InputError(f"File {path} holds colour frames; expected grey-valued ones. Choose another series.")
    return array


def _rescaled(array: np.ndarray, rescale: list[tuple[float, float]]) -> np.ndarray:
    """Each frame by its own slope and intercept; GDCM applies those of the first to all."""
    slope, intercept = rescale[0]
    for number, (own_slope, own_intercept) in enumerate(rescale):
        if (own_slope, own_intercept) != (slope, intercept):
            array[number] = (array[number] - intercept) / slope * own_slope + own_intercept
    return array
