"""Files ⇄ volumes: NIfTI, NRRD, MetaImage and folders of DICOM slices in; NIfTI, NRRD and MetaImage out.

NIfTI by nibabel (by SimpleITK inside Slicer, which has no nibabel), all others by SimpleITK.
"""

from __future__ import annotations

from pathlib import Path

from ..core.errors import FileReadError, FileWriteError, InputError, MultiContrastSRError
from ..core.memory import check_memory
from ..core.progress import CancelCallback, Monitor, ProgressCallback
from ..image.volume import Volume
from .files import check_place, is_dicom, replaced_together
from .formats import READABLE, SERIES_SEPARATOR, WRITABLE, suffix_of, write_image

__all__ = [
    "READABLE",
    "SERIES_SEPARATOR",
    "WRITABLE",
    "check_output",
    "load_volume",
    "report_path",
    "save_volume",
]


def load_volume(path: str | Path, *, labels: bool = False) -> Volume:
    """One scan from a file (.nii, .nii.gz, .nrrd, .nhdr, .mha, .mhd) or from a folder with one DICOM series.

    Args:
        path: file or folder; "folder::seriesUID" chooses one of several DICOM series.
        labels: also accept files that say they hold labels (masks), which are no scans.

    Returns:
        The volume, named after the file or series. `metadata` holds `source` (the path), `warnings` (where the file
        leaves something open), and from DICOM `slice_thickness`, `spacing_between_slices` (mm), `acquisition_matrix`.

    Raises:
        FileReadError: no such file, truncated, or no image that we can read.
        InputError: an image, but no scan: a series of frames, colour, complex, labels, several DICOM series.
        GeometryError: spacing or affine that cannot be worked with.
        NotEnoughMemoryError: larger than the free memory.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> written = save_volume(Volume(np.ones((3, 4, 5)), np.diag([1, 1, 3, 1]), "T2"), folder / "scan.nii.gz")
    >>> load_volume(written)
    Volume('scan', shape=(3, 4, 5), spacing (k, j, i)=3 × 1 × 1 mm)
    """
    text, _, series = str(path).partition(SERIES_SEPARATOR)
    place = Path(text).expanduser()
    try:
        if place.is_dir():
            from .dicom import read_series

            array, affine, metadata, name = read_series(place, series or None)
        else:
            array, affine, metadata, name = _read_file(place, labels)
        check_memory("The volume", array.shape, 1.0, "Crop the scan, or free memory.")
        return Volume(array, affine, name, {"source": str(place), **metadata})
    except InputError as error:  # from Volume and Grid, which do not know the file
        if str(place) in str(error):
            raise
        raise type(error)(f"File {place}: {error}") from error


def _read_file(place: Path, labels: bool) -> tuple:
    if not place.exists():
        raise FileReadError(f"File {place} does not exist; expected an image. Check the path for typing errors.")
    suffix = suffix_of(place)
    name = place.name[: -len(suffix)] if suffix else place.name
    if suffix in (".nii", ".nii.gz"):
        from .nifti import read_nifti as read
    elif suffix in READABLE:
        from .itk import read_itk as read
    elif suffix == ".dcm" or is_dicom(place):
        raise FileReadError(
            f"File {place} is one slice of a DICOM series; expected the folder that holds the series. "
            f"Give {place.parent}."
        )
    else:
        raise FileReadError(
            f"File {place} has an unknown extension; expected {', '.join(READABLE)}, or a folder with a DICOM series. "
            "Convert it first."
        )
    try:
        return (*read(place, labels), name)
    except MultiContrastSRError:
        raise
    except (OSError, EOFError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise FileReadError(
            f"File {place} cannot be read: {reason}. Check its permissions, or copy or download it again."
        ) from error


def check_output(path: str | Path, inputs: tuple[object, ...] = (), *, overwrite: bool = True) -> Path:
    """`path`, once an image may be written there; see `files.check_place`.

    Raises:
        FileWriteError: that, or an extension that we do not write.
    """
    place = Path(path).expanduser()
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
    """Write a volume as .nii, .nii.gz, .nrrd or .mha. All or nothing: never a half file, never over its own source.

    Voxels are kept exactly (float32), the affine to 1e-5 mm (NIfTI stores 32-bit numbers: 24 bits of each entry).

    Returns:
        The path that was written.

    Raises:
        FileWriteError: see `check_output`; or the disk is full or not writable. Nothing is left behind.
        GeometryError: a sheared affine, which .nrrd and .mha files cannot hold; NIfTI can.
        CancelledError: `cancel()` said so; nothing is left behind.

    >>> import tempfile
    >>> save_volume(Volume(np.ones((3, 4, 5)), np.eye(4)), tempfile.mkdtemp() + "/scan.mha").name
    'scan.mha'
    """
    place = check_output(path, (volume.metadata.get("source"),), overwrite=overwrite)
    with replaced_together(place) as (partial,):
        write_image(volume, partial, suffix_of(place), Monitor(progress, cancel, stage="save"))
    return place


def report_path(path: str | Path) -> Path:
    """Where the provenance of the image at `path` goes: beside it, the extension replaced by .json."""
    place = Path(path).expanduser()
    return place.with_name(place.name[: -len(suffix_of(place))] + ".json")
