"""Read and write volumes: NIfTI, NRRD, MetaImage and DICOM series are read; NIfTI, NRRD and MetaImage are written.

NIfTI by nibabel (by SimpleITK inside Slicer, which has no nibabel), all others by SimpleITK. Results are also written
as derived DICOM series, see `dicom_export`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from ..core.errors import FileReadError, FileWriteError, InputError, MultiContrastSRError
from ..core.memory import check_memory
from ..core.progress import CancelCallback, Monitor, ProgressCallback
from ..image.grid import Grid
from ..image.volume import Volume, warnings_of
from .files import SERIES_SEPARATOR, check_place, is_dicom, replaced_together, split_series, user_path
from .formats import READABLE, WRITABLE, suffix_of, write_image
from .sidecar import refuse_contradictions, stated_in_sidecars

__all__ = [
    "READABLE",
    "SERIES_SEPARATOR",
    "WRITABLE",
    "check_output",
    "load_volume",
    "report_path",
    "save_volume",
]


_SPACINGS = (0.01, 100.0)  # mm: smaller and larger ones are in another unit
_COARSEST = 1e-3  # of the intensities' range: steps of 32-bit numbers that matter


def load_volume(path: str | Path, *, labels: bool = False) -> Volume:
    """Read one scan: a file (.nii, .nii.gz, .nrrd, .nhdr, .mha, .mhd), an enhanced DICOM file or a DICOM folder.

    Args:
        path: file or folder; "folder::seriesUID" chooses one of several DICOM series. "~" is the home folder.
        labels: also accept files that say they hold labels (masks), which are no scans.

    Returns:
        The volume, named after the file or series. `metadata` holds `source` (the path), `warnings` (what the file
        leaves open and was assumed), and where DICOM or BIDS side-cars (see `sidecar`) state them,
        `slice_thickness`, `spacing_between_slices` (mm) and `acquisition_matrix`.

    Raises:
        FileReadError: no such file, truncated, or not an image that can be read.
        InputError: an image, but no scan: a series of frames, colour, complex, labels, several DICOM series.
        GeometryError: spacing or affine that cannot be worked with.
        NotEnoughMemoryError: larger than the free memory.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> written = save_volume(Volume(np.ones((3, 4, 5)), np.diag([1, 1, 3, 1]), "T2"), folder / "scan.nii.gz")
    >>> load_volume(written)
    Volume('scan', shape=(3, 4, 5), spacing (k, j, i)=3 × 1 × 1 mm)
    """
    place, series = split_series(path)
    try:
        if place.is_dir():
            from .dicom import read_series

            array, affine, metadata, name = read_series(place, series)
        else:
            array, affine, metadata, name = _read_file(place, labels, series)
        check_memory("The volume", array.shape, 1.0, "Crop the scan, or free memory.")
        if doubts := _doubts(array, affine):
            metadata = {**metadata, "warnings": (*warnings_of(metadata), *doubts)}
        return Volume(array, affine, name, {"source": str(place), **metadata})
    except InputError as error:  # from Volume and Grid, which do not know the file
        if str(place) in str(error):
            raise
        raise type(error)(f"File {place}: {error}") from error
    except MultiContrastSRError:
        raise
    except OSError as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise FileReadError(
            f"File {place} cannot be read: {reason}. Check its name and permissions, or copy or download it again."
        ) from error


def _read_file(place: Path, labels: bool, series: str | None) -> tuple[np.ndarray, np.ndarray, dict[str, object], str]:
    if not place.exists():
        raise FileReadError(f"File {place} does not exist; expected an image. Check the path for typing errors.")
    if series is not None:
        raise InputError(
            f"Input {place}{SERIES_SEPARATOR}{series} names the DICOM series {series!r} of a file; expected a folder "
            f"before {SERIES_SEPARATOR!r}. Give {place} alone."
        )
    suffix = suffix_of(place)
    name = place.name[: -len(suffix)] if suffix else place.name
    read: Callable[[Path, bool], tuple[np.ndarray, np.ndarray, Mapping[str, object]]]
    if suffix in (".nii", ".nii.gz"):
        from .nifti import read_nifti

        read = read_nifti
    elif suffix in READABLE:
        from .itk import read_itk

        read = read_itk
    elif suffix == ".dcm" or is_dicom(place):
        return _read_dicom_file(place)
    else:
        raise FileReadError(
            f"File {place} has an unknown extension; expected {', '.join(READABLE)}, or a folder with a DICOM series. "
            "Convert it first."
        )
    try:
        array, affine, metadata = read(place, labels)
    except EOFError as error:
        raise FileReadError(f"File {place} is truncated: {error}. Copy or download it again.") from error
    stated, doubts = refuse_contradictions(stated_in_sidecars(place), Grid(array.shape, affine), name)
    if doubts:
        metadata = {**metadata, "warnings": (*warnings_of(metadata), *doubts)}
    return array, affine, {**stated, **metadata}, name


def _read_dicom_file(place: Path) -> tuple[np.ndarray, np.ndarray, dict[str, object], str]:
    from .dicom import is_multiframe

    if not is_multiframe(place):
        raise FileReadError(
            f"File {place} is one slice of a DICOM series; expected the folder that holds the series. "
            f"Give {place.parent}."
        )
    from .dicom_multiframe import read_frames

    array, affine, metadata, name = read_frames(place)
    return array, affine, metadata, name or place.stem


def _doubts(array: np.ndarray, affine: np.ndarray) -> list[str]:
    """Sentences about values that a scan hardly has."""
    doubts = []
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    if spacing.min() < _SPACINGS[0] or spacing.max() > _SPACINGS[1]:
        doubts.append(
            f"Voxels measure {' × '.join(f'{s:.4g}' for s in spacing[::-1])} mm (slices × rows × columns); expected "
            f"{_SPACINGS[0]:g} to {_SPACINGS[1]:g} mm. Check the file's unit of length."
        )
    low, high = float(np.min(array)), float(np.max(array))
    step = max(abs(low), abs(high)) * float(np.finfo(np.float32).eps)
    if high > low and step > _COARSEST * (high - low):
        doubts.append(
            f"Intensities range from {low:.9g} to {high:.9g}, where 32-bit numbers are {step:.2g} apart. Subtract a "
            "constant from the scan first."
        )
    return doubts


def check_output(path: str | Path, inputs: tuple[object, ...] = (), *, overwrite: bool = True) -> Path:
    """Check that an image may be written at `path`; see `files.check_place`.

    Returns:
        The path, with "~" replaced.

    Raises:
        FileWriteError: it may not, or the extension is none of `WRITABLE`.
    """
    place = user_path(path)
    if suffix_of(place) not in WRITABLE:
        raise FileWriteError(
            f"Output {place} has an unknown extension; expected {', '.join(WRITABLE)}. Rename it, for example to "
            f"{place.name.partition('.')[0] or 'result'}.nii.gz."
        )
    check_place(place, inputs, overwrite=overwrite)
    return place


def save_volume(
    volume: Volume,
    path: str | Path,
    *,
    overwrite: bool = True,
    progress: ProgressCallback | None = None,
    cancel: CancelCallback | None = None,
) -> Path:
    """Write a volume as .nii, .nii.gz, .nrrd or .mha: completely or not at all, and never over its own source.

    Voxels are kept exactly (float32), the affine to 1e-5 mm (NIfTI stores 32-bit numbers: 24 bits of each entry).
    Of a symbolic link the file that it points to is written.

    Returns:
        The path that was written.

    Raises:
        FileWriteError: see `check_output`; or the disk is full or not writable. Nothing is left behind.
        GeometryError: a sheared affine, which .nrrd and .mha files cannot hold; NIfTI can.
        CancelledError: `cancel()` returned true; nothing is left behind.

    >>> import tempfile
    >>> save_volume(Volume(np.ones((3, 4, 5)), np.eye(4)), tempfile.mkdtemp() + "/scan.mha").name
    'scan.mha'
    """
    place = check_output(path, (volume.metadata.get("source"),), overwrite=overwrite)
    with replaced_together(place) as (partial,):
        write_image(volume, partial, suffix_of(place), Monitor(progress, cancel, stage="save"))
    return place


def report_path(path: str | Path) -> Path:
    """The path of the report of the image at `path`: the same with the extension replaced by .json."""
    place = user_path(path)
    return place.with_name(place.name[: -len(suffix_of(place))] + ".json")
