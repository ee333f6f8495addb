"""NRRD and MetaImage files, read by SimpleITK."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import FileReadError, GeometryError, InputError
from ..memory import check_memory
from .formats import TO_LPS

if TYPE_CHECKING:
    from SimpleITK import ImageFileReader

_BAD_GEOMETRY = ("Zero-valued spacing", "determinant is 0", "Negative spacing")


def read_itk(path: Path, labels: bool = False) -> tuple[np.ndarray, np.ndarray, dict]:
    """(array [k, j, i], affine to RAS mm, metadata) of a file.

    Raises:
        FileReadError: no image, or truncated.
        InputError: several frames, colours, complex numbers, or labels.
        GeometryError: zero spacing or axes in one plane.
    """
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    with quiet():
        try:
            reader.ReadImageInformation()
            _check_kind(path, reader, labels)
            check_memory(f"File {path}", reader.GetSize()[::-1], 2.0, "Crop the scan, or free memory.")
            reader.SetOutputPixelType(sitk.sitkFloat32)
            image = reader.Execute()
        except RuntimeError as error:
            raise _explained(path, error) from error
    affine = ras_affine(image.GetDirection(), image.GetSpacing(), image.GetOrigin())
    return sitk.GetArrayFromImage(image), affine, {}


def ras_affine(direction: Sequence[float], spacing: Sequence[float], origin: Sequence[float]) -> np.ndarray:
    """4×4 to RAS mm from ITK's direction (row-major 3×3), spacing and origin in LPS."""
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(direction, (3, 3)) * np.asarray(spacing)
    affine[:3, 3] = origin
    return TO_LPS @ affine


@contextmanager
def quiet() -> Iterator[None]:
    """Without ITK's warnings on stderr; what matters is said in our own messages."""
    import SimpleITK as sitk

    before = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(before)


def _check_kind(path: Path, reader: ImageFileReader, labels: bool) -> None:
    import SimpleITK as sitk

    size = reader.GetSize()
    sizes = " × ".join(str(n) for n in size[:3])
    if reader.GetDimension() != 3:
        what = f"{size[3]} frames of {sizes} voxels" if len(size) > 3 else f"one image of {sizes} pixels"
        remedy = "Extract one frame first." if len(size) > 3 else "Give it a third axis of one slice first."
        raise InputError(f"File {path} is {reader.GetDimension()}-D ({what}); expected one 3-D scan. {remedy}")
    if reader.GetNumberOfComponents() != 1:
        raise InputError(
            f"File {path} holds {reader.GetNumberOfComponents()} values per voxel (colours or vectors); expected one "
            "grey-valued 3-D scan. Extract one channel first."
        )
    if "complex" in sitk.GetPixelIDValueAsString(reader.GetPixelID()):
        raise InputError(f"File {path} holds complex numbers; expected real ones. Take the magnitude first.")
    if not labels and any(key.startswith("Segment0_") for key in reader.GetMetaDataKeys()):
        raise InputError(
            f"File {path} holds labels (a segmentation); expected a scan. Choose the scan that it was drawn on."
        )


def _explained(path: Path, error: RuntimeError) -> Exception:
    text = str(error)
    if any(words in text for words in _BAD_GEOMETRY):
        return GeometryError(
            f"File {path} has zero spacing or axes that lie in one plane; expected three independent axes with spacing "
            "above 0 mm. Repair the image header."
        )
    if "ImageIO" in text and "Unable to determine" in text:
        return FileReadError(f"File {path} is no image that can be read; expected what its extension says. Convert it.")
    return FileReadError(f"File {path} is truncated or damaged: {_reason(text)}. Copy or download it again.")


def _reason(text: str) -> str:
    """The innermost line of ITK's long message."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1].rstrip(".") if lines else "unknown reason"
