"""Files that SimpleITK reads and writes: NRRD and MetaImage, and NIfTI where nibabel is not installed."""

from __future__ import annotations

import locale
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..core.errors import FileReadError, FileWriteError, GeometryError, InputError
from ..core.memory import check_memory
from ..core.progress import Monitor
from ..image.volume import Volume

if TYPE_CHECKING:
    from SimpleITK import Image, ImageFileReader

TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])  # RAS mm to ITK's LPS mm and back
_SHEAR = 1e-4  # cosine between axes above which a grid counts as sheared
_LOCALE = threading.RLock()  # the locale belongs to the process
_BAD_GEOMETRY = ("Zero-valued spacing", "determinant is 0", "Negative spacing")


def read_itk(path: Path, labels: bool = False) -> tuple[np.ndarray, np.ndarray, dict[str, str]]:
    """(array [k, j, i], affine to RAS mm, the header's entries) of a file.

    Raises:
        FileReadError: no image, or truncated.
        InputError: several frames, colours, complex numbers, or labels.
        GeometryError: zero spacing or axes in one plane.
    """
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetFileName(readable_name(path))
    with itk_settings():
        try:
            reader.ReadImageInformation()
            _check_kind(path, reader, labels)
            found = {key: reader.GetMetaData(key) for key in reader.GetMetaDataKeys()}
            check_memory(f"File {path}", reader.GetSize()[::-1], 2.0, "Crop the scan, or free memory.")
            reader.SetOutputPixelType(sitk.sitkFloat32)
            image = reader.Execute()
        except RuntimeError as error:
            raise _explained(path, error) from error
    array = sitk.GetArrayFromImage(image)
    return array.reshape(array.shape[-3:]), _affine_of(image), found


def _affine_of(image: ImageFileReader | Image) -> np.ndarray:
    """The affine to RAS mm of the first three axes; further ones count frames."""
    direction = np.reshape(image.GetDirection(), (image.GetDimension(),) * 2)[:3, :3]
    return ras_affine(direction, image.GetSpacing()[:3], image.GetOrigin()[:3])


def ras_affine(
    direction: Sequence[float] | np.ndarray, spacing: Sequence[float], origin: Sequence[float] | np.ndarray
) -> np.ndarray:
    """4×4 to RAS mm from ITK's direction (row-major 3×3), spacing and origin in LPS."""
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(direction, (3, 3)) * np.asarray(spacing)
    affine[:3, 3] = origin
    return TO_LPS @ affine


def shear(volume: Volume) -> tuple[float, int, int]:
    """(cosine, axis, axis) of the two axes (0, 1, 2 for i, j, k) farthest from a right angle; 0 if all are right."""
    axes = volume.affine[:3, :3] / np.linalg.norm(volume.affine[:3, :3], axis=0)
    cosines = np.abs(axes.T @ axes - np.eye(3))
    first, second = np.unravel_index(np.argmax(cosines), (3, 3))
    return (float(cosines.max()) if cosines.max() > _SHEAR else 0.0), int(first), int(second)


def write_itk(volume: Volume, path: Path, packed: bool, monitor: Monitor) -> None:
    """Write `volume` in the format of the extension of `path`.

    Raises:
        GeometryError: a sheared grid, which these formats cannot hold in a way that others read.
    """
    import SimpleITK as sitk

    cosine, first, second = shear(volume)
    if cosine:
        raise GeometryError(
            f"Volume {volume.name!r} is sheared (its axes {'ijk'[first]} and {'ijk'[second]} are "
            f"{np.degrees(np.arccos(cosine)):.2f}° apart); expected right angles, for {path.suffix} files are read "
            "wrongly otherwise. Save it as .nii or .nii.gz."
        )
    monitor.update(0.0)
    affine = TO_LPS @ volume.affine
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    image = sitk.GetImageFromArray(volume.array)
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(affine[:3, 3].tolist())
    image.SetDirection((affine[:3, :3] / spacing).ravel().tolist())
    if not is_unicode(path):
        raise FileWriteError(
            f"Output folder {path.parent} has a name that is not valid UTF-8; expected one that is. Rename it."
        )
    try:
        with itk_settings():
            sitk.WriteImage(image, str(path), packed, 1)
    except RuntimeError as error:
        raise OSError(itk_reason(error)) from error
    monitor.update(1.0)


@contextmanager
def itk_settings() -> Iterator[None]:
    """Call ITK inside: its warnings are off, and numbers in text have decimal points whatever the locale.

    ITK parses and prints headers by the process's locale, which Qt sets to the user's, and resets it in places.
    """
    import SimpleITK as sitk

    shown = sitk.ProcessObject.GetGlobalWarningDisplay()
    with _LOCALE:
        before = {category: locale.setlocale(category) for category in (locale.LC_CTYPE, locale.LC_NUMERIC)}
        sitk.ProcessObject.SetGlobalWarningDisplay(False)
        locale.setlocale(locale.LC_NUMERIC, "C")
        try:
            yield
        finally:
            for category, name in before.items():
                locale.setlocale(category, name)
            sitk.ProcessObject.SetGlobalWarningDisplay(shown)


def is_unicode(path: Path | str) -> bool:
    """Whether the name can be passed to ITK, which takes UTF-8 and ends the process for other bytes."""
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def readable_name(path: Path | str) -> str:
    """`path` for ITK's readers.

    Raises:
        FileReadError: bytes that are not UTF-8.
    """
    if not is_unicode(path):
        raise FileReadError(
            f"File {path} has a name that is not valid UTF-8 (from another character set, Latin-1 perhaps); expected "
            "one that is. Rename the file or its folder."
        )
    return str(path)


def itk_affine(path: Path) -> np.ndarray:
    """The affine to RAS mm as SimpleITK reads it; errors as `read_itk`."""
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetFileName(readable_name(path))
    with itk_settings():
        try:
            reader.ReadImageInformation()
        except RuntimeError as error:
            raise _explained(path, error) from error
    return _affine_of(reader)


def _check_kind(path: Path, reader: ImageFileReader, labels: bool) -> None:
    import SimpleITK as sitk

    is_complex = "complex" in sitk.GetPixelIDValueAsString(reader.GetPixelID())
    refuse_kind(path, reader.GetSize(), reader.GetNumberOfComponents(), is_complex)
    if not labels and any(key.startswith("Segment0_") for key in reader.GetMetaDataKeys()):
        raise InputError(
            f"File {path} holds labels (a segmentation); expected a scan. Choose the scan that it was drawn on."
        )


def refuse_kind(path: Path, size: Sequence[int], components: int, is_complex: bool) -> None:
    """Refuse what is an image but no scan; `size` is (i, j, k, …).

    Raises:
        InputError: complex numbers, other than three axes, or several values per voxel.
    """
    sizes = " × ".join(str(n) for n in size[:3])
    if is_complex:
        raise InputError(f"File {path} holds complex numbers; expected real ones. Take the magnitude first.")
    if len(size) < 3 or any(n > 1 for n in size[3:]):
        frames = int(np.prod(size[3:])) if len(size) > 3 else 1
        what = f"{frames} frames of {sizes} voxels" if len(size) > 3 else f"one image of {sizes} pixels"
        remedy = "Extract one frame first." if len(size) > 3 else "Give it a third axis of one slice first."
        raise InputError(f"File {path} is {len(size)}-D ({what}); expected one 3-D scan. {remedy}")
    if components != 1:
        raise InputError(
            f"File {path} holds {components} values per voxel (colours or vectors); expected one grey-valued 3-D scan. "
            "Extract one channel first."
        )


def _explained(path: Path, error: RuntimeError) -> Exception:
    text = str(error)
    if "orthonormal" in text:
        return GeometryError(
            f"File {path} has sheared axes, which can only be read where nibabel is installed; expected right angles. "
            "Install nibabel, or resample the scan in Slicer (module Resample Image)."
        )
    if any(words in text for words in _BAD_GEOMETRY):
        return GeometryError(
            f"File {path} has zero spacing or axes that lie in one plane; expected three independent axes with spacing "
            "above 0 mm. Repair the image header."
        )
    if "ImageIO" in text and "Unable to determine" in text:
        return FileReadError(f"File {path} is no image that can be read; expected what its extension says. Convert it.")
    # of a file that ends early MetaIO says only that there is no such file
    reason = "it holds fewer voxels than its header says" if "MetaImageIO" in text else itk_reason(error)
    return FileReadError(f"File {path} is truncated or damaged: {reason}. Copy or download it again.")


def itk_reason(error: Exception) -> str:
    """The innermost line of ITK's message, without the class and address of the object that raised it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return re.sub(r"^ITK ERROR: \w+\(0x[0-9a-f]+\): ", "", lines[-1]).rstrip(".") if lines else "unknown reason"
