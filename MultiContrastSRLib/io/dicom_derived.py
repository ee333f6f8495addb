"""The attributes of a derived MR series: what it keeps of its sources, and what says that it was computed."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .._version import __version__
from ..image.volume import Volume

if TYPE_CHECKING:
    from types import ModuleType

    from pydicom.dataset import Dataset

_MR_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.4"
_STATEMENT = "Research use only; not for diagnosis. Super-resolved, not acquired."
_RESEARCH = "research use"  # in the series description, which viewers and archives list
_SERIES_NUMBER_OFFSET = 1000  # above the numbers that a scanner gives
# Attributes that a derived series keeps of its source. Patient and study, without which an archive files it elsewhere:
_PATIENT = (
    "PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex",
    "PatientAge", "PatientSize", "PatientWeight", "OtherPatientIDs", "EthnicGroup", "PatientComments",
)  # fmt: skip
_STUDY = (
    "StudyInstanceUID", "StudyDate", "StudyTime", "StudyID", "StudyDescription", "AccessionNumber",
    "ReferringPhysicianName", "FrameOfReferenceUID", "PositionReferenceIndicator",
)  # fmt: skip
# … and how it was acquired:
_ACQUISITION = (
    "BodyPartExamined", "PatientPosition", "Laterality", "ScanningSequence", "SequenceVariant", "ScanOptions",
    "MRAcquisitionType", "SequenceName", "RepetitionTime", "EchoTime", "InversionTime", "EchoTrainLength", "FlipAngle",
    "MagneticFieldStrength", "ImagingFrequency", "ImagedNucleus", "ContrastBolusAgent", "ProtocolName",
)  # fmt: skip


@dataclass(frozen=True)
class Sources:
    """The DICOM images that a volume was made of.

    Attributes:
        target: files of the series that was super-resolved; its patient, study and acquisition are those of the result.
        reference: files of the series whose detail was used.
    """

    target: Sequence[Path] = ()
    reference: Sequence[Path] = ()


def common_attributes(
    pydicom: ModuleType,
    volume: Volume,
    sources: Sources,
    derivation: str,
    keep_patient: bool,
    same_space: bool,
) -> Dataset:
    """The attributes that all slices share."""
    headers = _headers(pydicom, sources.target)
    first = headers[0] if headers else pydicom.Dataset()
    now = datetime.datetime.now()
    image = pydicom.Dataset()
    image.SpecificCharacterSet = "ISO_IR 192"
    _keep(image, first, (*_PATIENT, *_STUDY, *_ACQUISITION) if keep_patient else _ACQUISITION)
    for name in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyID", "AccessionNumber"):
        _default(image, name, "")
    _default(image, "StudyInstanceUID", new_uid(pydicom))
    _default(image, "StudyDate", now.strftime("%Y%m%d"))
    _default(image, "StudyTime", now.strftime("%H%M%S"))
    for name in ("ReferringPhysicianName", "PositionReferenceIndicator", "ScanOptions", "MRAcquisitionType"):
        _default(image, name, "")
    for name in ("EchoTime", "EchoTrainLength", "RepetitionTime", "PatientPosition"):
        _default(image, name, None if name != "PatientPosition" else "")
    _default(image, "ScanningSequence", "RM")  # research mode
    _default(image, "SequenceVariant", "NONE")
    if not same_space or "FrameOfReferenceUID" not in image:
        image.FrameOfReferenceUID = new_uid(pydicom)
    if not keep_patient:
        image.PatientIdentityRemoved, image.DeidentificationMethod = "YES", "Attributes of patient and study left out"
    image.SOPClassUID, image.Modality, image.SeriesInstanceUID = _MR_IMAGE_STORAGE, "MR", new_uid(pydicom)
    image.SeriesNumber = _SERIES_NUMBER_OFFSET + int(first.get("SeriesNumber") or 0)
    name = _shortened(volume.name or "super-resolved", 64 - len(_RESEARCH) - 2)
    image.SeriesDescription = f"{name}, {_RESEARCH}"
    image.SeriesDate = image.ContentDate = image.InstanceCreationDate = now.strftime("%Y%m%d")
    image.SeriesTime = image.ContentTime = image.InstanceCreationTime = now.strftime("%H%M%S")
    image.Manufacturer, image.ManufacturerModelName = "MultiContrastSR", "MultiContrastSR (research use only)"
    image.SoftwareVersions = __version__
    image.ImageType = ["DERIVED", "SECONDARY", "OTHER", "SUPER_RESOLVED"]
    image.DerivationDescription = _shortened(f"{derivation} {_STATEMENT}".strip(), 1024)
    image.DerivationCodeSequence = [_code(pydicom, "113085", "Spatial resampling")]
    image.ImageComments, image.BurnedInAnnotation = _STATEMENT, "NO"
    references = [*headers, *_headers(pydicom, sources.reference)] if keep_patient else []
    if references:
        image.SourceImageSequence = [_reference(pydicom, each) for each in references if "SOPInstanceUID" in each]
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 16, 15, 0
    _, image.Rows, image.Columns = volume.shape
    return image


def _headers(pydicom: ModuleType, files: Sequence[Path]) -> list[Dataset]:
    """The attributes of source images; files that are gone or damaged are left out."""
    return [header for header in (_header(pydicom, path) for path in files) if header is not None]


def _header(pydicom: ModuleType, path: Path) -> Dataset | None:
    try:
        return pydicom.dcmread(path, stop_before_pixels=True)
    except (OSError, pydicom.errors.InvalidDicomError, EOFError, ValueError):
        return None


def _keep(image: Dataset, source: Dataset, names: Sequence[str]) -> None:
    """Copy attributes; values that break the rules of their kind are left out."""
    for name in names:
        if name in source:
            with contextlib.suppress(ValueError, TypeError, AttributeError, UnicodeError):
                setattr(image, name, source[name].value)


def _default(image: Dataset, name: str, value: object) -> None:
    if name not in image:
        setattr(image, name, value)


def new_uid(pydicom: ModuleType) -> str:
    """A random UID under the root that needs no registration (PS3.5 B.2)."""
    return str(pydicom.uid.generate_uid(prefix=None))


def _code(pydicom: ModuleType, value: str, meaning: str) -> Dataset:
    item = pydicom.Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "DCM", meaning
    return item


def _reference(pydicom: ModuleType, source: Dataset) -> Dataset:
    item = pydicom.Dataset()
    item.ReferencedSOPClassUID = source.get("SOPClassUID", _MR_IMAGE_STORAGE)
    item.ReferencedSOPInstanceUID = source.SOPInstanceUID
    purpose = _code(pydicom, "121322", "Source image for image processing operation")
    item.PurposeOfReferenceCodeSequence = [purpose]
    return item


def _shortened(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
