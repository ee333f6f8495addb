"""Writes small DICOM series for tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def write_series(folder: Path, array: np.ndarray, affine: np.ndarray, uid: str = "1.2.826.0.1", **tags: str) -> Path:
    """One file a slice of `array` [k, j, i] (integers), placed by `affine` (RAS mm); names do not follow the order.

    Args:
        tags: keys as in "g0018_0050", text as values; over the defaults.
    """
    import locale

    import SimpleITK as sitk

    before = locale.setlocale(locale.LC_ALL)
    folder.mkdir(parents=True, exist_ok=True)
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    direction = lps[:3, :3] / spacing
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    for k, pixels in enumerate(array):
        place = lps[:3] @ (0, 0, k, 1)
        image = sitk.GetImageFromArray(pixels[None], isVector=pixels.ndim == 3)
        image.SetSpacing(spacing.tolist())
        values = {
            "g0008_0060": "MR",
            "g0020_000e": uid,
            "g0020_000d": "1.2.826.0.9",
            "g0008_0018": f"{uid}.{k}",
            "g0020_0032": "\\".join(f"{x:.6f}" for x in place),
            "g0020_0037": "\\".join(f"{x:.9f}" for x in direction[:, :2].T.ravel()),
            "g0028_0030": f"{spacing[1]:.9f}\\{spacing[0]:.9f}",
            **tags,
        }
        for key, text in values.items():
            image.SetMetaData(key[1:].replace("_", "|"), text)
        writer.SetFileName(str(folder / f"{uid}-{(k * 7) % 101:03d}.dcm"))
        writer.Execute(image)
    locale.setlocale(locale.LC_ALL, before)  # the writer leaves "C", in which Python reads text files as ASCII
    return folder


def edit_slice(path: Path, **tags: bytes | None) -> None:
    """Replace attributes of a DICOM file by these bytes, valid or not; None removes one. Keys as in "g0018_0050"."""
    import pydicom
    from pydicom.dataelem import RawDataElement
    from pydicom.tag import Tag

    for key, value in tags.items():  # one at a time, for a new character set makes pydicom convert all texts
        file = pydicom.dcmread(path)
        tag = Tag(int(key[1:].replace("_", ""), 16))
        kind = file[tag].VR if tag in file else "LO"
        file.pop(tag, None)
        if value is not None:
            value += b" " * (len(value) % 2)
            file._dict[tag] = RawDataElement(tag, kind, len(value), value, 0, file.original_encoding[0], True)
        file.save_as(path)


def write_multiframe(
    path: Path,
    array: np.ndarray,
    positions: np.ndarray,
    orientation: tuple[float, ...] = (1, 0, 0, 0, 1, 0),
    spacing: tuple[float, float] = (0.5, 0.7),
    slopes: tuple[float, ...] = (),
) -> Path:
    """An enhanced MR file of frames [frame, row, column] at `positions` (LPS mm); `spacing` is (rows, columns)."""
    import pydicom
    from pydicom.dataset import Dataset, FileMetaDataset

    def item(**values: object) -> Dataset:
        dataset = Dataset()
        for name, value in values.items():
            setattr(dataset, name, value)
        return dataset

    kind, uid = "1.2.840.10008.5.1.4.1.1.4.1", "1.2.826.0.1.77"
    header = FileMetaDataset()
    header.MediaStorageSOPClassUID, header.MediaStorageSOPInstanceUID = kind, uid
    header.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    file = item(SOPClassUID=kind, SOPInstanceUID=uid, Modality="MR", SeriesInstanceUID="1.2.826.0.1")
    file.file_meta, file.SeriesDescription = header, "enhanced T2"
    file.NumberOfFrames, file.Rows, file.Columns = array.shape
    file.SamplesPerPixel, file.PhotometricInterpretation, file.PixelRepresentation = 1, "MONOCHROME2", 0
    file.BitsAllocated, file.BitsStored, file.HighBit = 16, 16, 15
    file.SharedFunctionalGroupsSequence = [
        item(
            PlaneOrientationSequence=[item(ImageOrientationPatient=list(orientation))],
            PixelMeasuresSequence=[item(PixelSpacing=list(spacing), SliceThickness=2.5)],
        )
    ]
    frames = [item(PlanePositionSequence=[item(ImagePositionPatient=list(map(float, place)))]) for place in positions]
    for frame, slope in zip(frames, slopes, strict=False):
        frame.PixelValueTransformationSequence = [item(RescaleSlope=slope, RescaleIntercept=1)]
    file.PerFrameFunctionalGroupsSequence = frames
    file.PixelData = array.astype("<u2").tobytes()
    file.save_as(path, enforce_file_format=True)
    return path
