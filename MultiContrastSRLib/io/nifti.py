"""NIfTI files, by nibabel; by SimpleITK where there is no nibabel (Slicer comes without it).

nibabel reads what is there. SimpleITK, and so Slicer, reads NaN as 0, fills up truncated files with zeros, prefers
a.nii over a.nii.gz beside it, and knows neither sheared axes nor NIfTI-2. Where the two affines differ in their last
bits only, SimpleITK's is taken, so that shell and Slicer give the same voxels, bit by bit.
"""

from __future__ import annotations

import gzip
import importlib.util
import zlib
from contextlib import nullcontext
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ..core.errors import FileReadError, GeometryError, InputError
from ..core.memory import check_memory
from ..core.progress import Monitor
from ..image.volume import Volume
from .itk import itk_affine, read_itk, refuse_kind, shear, write_itk

_LABEL_INTENT = 1002
_PIECE = 1 << 22  # bytes between two looks at progress and cancel: about 0.1 s of compression
_LEVEL = 1  # floats hardly shrink further, they only take longer
_DISAGREEMENT = 0.1  # voxels between qform and sform that people should hear of
_SAME = 1e-3  # voxels between nibabel's and SimpleITK's affine that are rounding
_HAS_NIBABEL = importlib.util.find_spec("nibabel") is not None


def read_nifti(path: Path, labels: bool = False) -> tuple[np.ndarray, np.ndarray, dict]:
    """(array [k, j, i], affine to RAS mm, metadata) of a file.

    Raises:
        FileReadError: no NIfTI file, or truncated.
        InputError: several frames, colours, complex numbers, or labels.
        GeometryError: sheared axes, where nibabel is not installed.
    """
    _check_stream(path)
    if not _HAS_NIBABEL:
        array, affine, found = read_itk(path, labels)
        _check_labels(path, int(found.get("intent_code", 0)), labels)
        return array, affine, {}
    import nibabel

    try:
        image = nibabel.load(path)
    except (nibabel.filebasedimages.ImageFileError, nibabel.spatialimages.HeaderDataError) as error:
        raise FileReadError(
            f"File {path} is no image that can be read; expected what its extension says. Convert it."
        ) from error
    shape, kind = image.header.get_data_shape(), image.header.get_data_dtype()
    refuse_kind(path, tuple(shape), len(kind.fields) if kind.fields else 1, kind.kind == "c")
    _check_labels(path, int(image.header["intent_code"]), labels)
    check_memory(f"File {path}", shape[2::-1], kind.itemsize / 4 + 2, "Crop the scan, or free memory.")
    try:
        voxels = np.asarray(image.dataobj, dtype=np.float32).reshape(shape[:3], order="F")
    except (OSError, EOFError, ValueError) as error:
        raise _truncated(path, str(error).splitlines()[0].rstrip(".")) from error
    affine, warnings = _place(path, image)
    return np.ascontiguousarray(voxels.T), affine, {"warnings": warnings} if warnings else {}


def _check_labels(path: Path, intent: int, labels: bool) -> None:
    if intent == _LABEL_INTENT and not labels:
        raise InputError(
            f"File {path} holds labels (a segmentation); expected a scan. Choose the scan that it was drawn on."
        )


def _check_stream(path: Path) -> None:
    """Refuse a file whose compressed stream ends early or fails its checksum."""
    with open(path, "rb") as probe:
        if probe.read(2) != b"\x1f\x8b":
            return
    try:
        with gzip.open(path, "rb") as stream:
            while stream.read(_PIECE):
                pass
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise _truncated(path, "its compressed data end early or are damaged") from error


def _truncated(path: Path, how: str) -> FileReadError:
    return FileReadError(f"File {path} is truncated: {how}. Copy or download it again.")


def _place(path: Path, image) -> tuple[np.ndarray, tuple[str, ...]]:
    """(affine to RAS mm, sentences about what the file leaves open)."""
    header, shape = image.header, image.shape[2::-1]
    unit = {"meter": 1e3, "micron": 1e-3}.get(header.get_xyzt_units()[0], 1.0)
    affine = np.array(image.affine, dtype=np.float64)
    affine[:3] *= unit
    sform, qform = int(header["sform_code"]) > 0, int(header["qform_code"]) > 0
    if not sform and not qform:
        # as ITK and so Slicer place such files
        affine = np.diag([-1.0, -1.0, 1.0, 1.0]) * [*(unit * float(z) for z in header.get_zooms()[:3]), 1.0]
        return affine, (
            "The file says nothing about orientation and position (sform and qform codes are 0); "
            "left-posterior-superior axes from the origin were assumed.",
        )
    try:
        seen = itk_affine(path)
    except (FileReadError, GeometryError):
        seen = None
    warnings = ()
    if sform and qform and (apart := _apart(header.get_sform(), header.get_qform(), shape)) > _DISAGREEMENT:
        warnings = (
            f"The file's two affines (sform and qform) lie up to {apart:.1f} voxels apart; the sform was used.",
        )
    elif seen is not None and _apart(affine, seen, shape) < _SAME:
        affine = seen
    return affine, warnings


def _apart(first: np.ndarray, second: np.ndarray, shape: tuple[int, ...]) -> float:
    """Largest distance of a corner voxel between two affines, in voxels of the smallest spacing."""
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in shape[::-1]])).reshape(3, -1)
    gap = (first - second)[:3, :3] @ corners + (first - second)[:3, 3:]
    return float(np.linalg.norm(gap, axis=0).max() / np.linalg.norm(first[:3, :3], axis=0).min())


def write_nifti(volume: Volume, path: Path, packed: bool, monitor: Monitor) -> None:
    """Write `volume`, compressed when `packed`; sform always, qform where a rotation can say the same."""
    if not _HAS_NIBABEL:
        write_itk(volume, path, packed, monitor)
        return
    header = _header(volume)
    voxels = memoryview(np.ascontiguousarray(volume.array, "<f4")).cast("B")
    with open(path, "wb") as file, _compressor(file) if packed else nullcontext(file) as stream:
        stream.write(header.binaryblock + bytes(4))  # four zeros: no extensions follow
        for start in range(0, len(voxels), _PIECE):
            monitor.update(start / len(voxels))
            stream.write(voxels[start : start + _PIECE])
    monitor.update(1.0)


def _compressor(file: BinaryIO) -> gzip.GzipFile:
    return gzip.GzipFile("", "wb", _LEVEL, file, mtime=0)  # no name, no time: equal images make equal files


def _header(volume: Volume):
    import nibabel

    from .._version import __version__

    header = nibabel.Nifti1Header(endianness="<")
    header.set_data_dtype(np.float32)
    header.set_data_shape(volume.shape[::-1])
    header.set_zooms(volume.spacing[::-1])
    header.set_xyzt_units("mm")
    header.set_sform(volume.affine, 1)
    if shear(volume)[0] == 0:
        header.set_qform(volume.affine, 1)
    header.set_data_offset(352)
    header.set_slope_inter(1, 0)
    header["magic"] = b"n+1"
    note = f"MultiContrastSR {__version__}; research use only, not for diagnosis; {volume.name}"
    header["descrip"] = note.encode("ascii", "replace")[:79]
    return header
