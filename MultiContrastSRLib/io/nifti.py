"""NIfTI files, by nibabel; by SimpleITK where nibabel is not installed (Slicer comes without it).

nibabel decodes voxels and header; the affine is computed here, because nibabel refuses files whose header is a rounding
error off. SimpleITK, and so Slicer, reads NaN as 0, fills truncated files with zeros, prefers a.nii over a.nii.gz in
the same folder, and supports neither sheared axes nor NIfTI-2. Where the two affines differ in their last bits only,
SimpleITK's is used, so that command line and Slicer give the same voxels bit by bit.
"""

from __future__ import annotations

import gzip
import importlib.util
import zlib
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from ..core.errors import FileReadError, GeometryError, InputError
from ..core.memory import check_memory
from ..core.progress import Monitor
from ..image.volume import Volume
from .itk import itk_affine, read_itk, refuse_kind, shear, write_itk

if TYPE_CHECKING:
    from nibabel import Nifti1Header

_LABEL_INTENT = 1002
_UNITS = {0: 1.0, 1: 1e3, 2: 1.0, 3: 1e-3}  # mm, by the code of xyzt_units; 0 is unknown
_GZIP = b"\x1f\x8b"
_PIECE = 1 << 22  # bytes between two looks at progress and cancel: about 0.1 s of compression
_LEVEL = 1  # floats hardly shrink further, they only take longer
_DISAGREEMENT = 0.1  # voxels between qform and sform that people should hear of
_SAME = 1e-3  # voxels between nibabel's and SimpleITK's affine that are rounding
_HAS_NIBABEL = importlib.util.find_spec("nibabel") is not None


def read_nifti(path: Path, labels: bool = False) -> tuple[np.ndarray, np.ndarray, dict[str, object]]:
    """(array [k, j, i], affine to RAS mm, metadata) of a file.

    Raises:
        FileReadError: no NIfTI file, or truncated.
        InputError: several frames, colours, complex numbers, or labels.
        GeometryError: sheared axes, where nibabel is not installed.
    """
    trailing = _check_stream(path)
    if not _HAS_NIBABEL:
        array, affine, found = read_itk(path, labels)
        _check_labels(path, int(found.get("intent_code", 0)), labels)
        return array, affine, {}
    from nibabel.arrayproxy import ArrayProxy
    from nibabel.spatialimages import HeaderDataError

    header = _read_header(path)
    try:
        shape, kind = header.get_data_shape(), header.get_data_dtype()
    except (HeaderDataError, KeyError) as error:
        raise _no_image(path) from error
    shape = (*shape[:3], *(max(1, n) for n in shape[3:]))  # some writers state 0 frames
    if min(shape, default=1) < 1:
        raise _no_image(path)
    refuse_kind(path, shape, len(kind.fields) if kind.fields else 1, kind.kind == "c")
    _check_labels(path, int(header["intent_code"]), labels)
    check_memory(f"File {path}", shape[2::-1], kind.itemsize / 4 + 2, "Crop the scan, or free memory.")
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    scaled = np.isfinite(slope) and slope != 0
    offset = float(header["vox_offset"])
    first = int(header.single_vox_offset)  # where voxels can begin at the earliest; some writers state 0
    proxy = ArrayProxy(
        str(path),
        (
            shape,
            kind,
            int(offset) if offset >= first else first,
            slope if scaled else 1.0,
            intercept if scaled and np.isfinite(intercept) else 0.0,
        ),
    )
    try:
        voxels = np.asarray(proxy, dtype=np.float32).reshape(shape[:3], order="F")
    except (OSError, EOFError, ValueError) as error:
        raise _truncated(path, str(error).splitlines()[0].rstrip(".")) from error
    affine, warnings = _place(path, header, shape[2::-1])
    if trailing:
        warnings = (*warnings, f"{trailing} bytes that follow the compressed data were ignored.")
    return np.ascontiguousarray(voxels.T), affine, {"warnings": warnings} if warnings else {}


def _read_header(path: Path) -> Nifti1Header:
    """The header as it stands in the file, however odd its values."""
    import nibabel

    with nibabel.openers.ImageOpener(str(path)) as stream:
        block = stream.read(nibabel.Nifti2Header.template_dtype.itemsize)
    for kind in (nibabel.Nifti1Header, nibabel.Nifti2Header):
        if kind.may_contain_header(block) and len(block) >= kind.template_dtype.itemsize:
            return kind(block[: kind.template_dtype.itemsize], check=False)
    raise _no_image(path)


def _no_image(path: Path) -> FileReadError:
    return FileReadError(f"File {path} is no image that can be read; expected what its extension says. Convert it.")


def _check_labels(path: Path, intent: int, labels: bool) -> None:
    if intent == _LABEL_INTENT and not labels:
        raise InputError(
            f"File {path} holds labels (a segmentation); expected a scan. Choose the scan that it was drawn on."
        )


def _check_stream(path: Path) -> int:
    """Bytes after the end of a compressed stream, 0 in general; a stream that ends early or is damaged is refused."""
    with open(path, "rb") as stream:
        if stream.read(2) != _GZIP:
            return 0
        stream.seek(0)
        rest = b""
        while rest := rest or stream.read(_PIECE):
            if not rest.startswith(_GZIP):  # neither another member nor padding
                return len(rest) + sum(map(len, iter(lambda: stream.read(_PIECE), b""))) if rest.strip(b"\0") else 0
            member = zlib.decompressobj(wbits=31)
            try:
                member.decompress(rest)
                while not member.eof:
                    if not (piece := stream.read(_PIECE)):
                        raise zlib.error("ends early")
                    member.decompress(piece)
            except zlib.error as error:
                raise _truncated(path, "its compressed data end early or are damaged") from error
            rest = member.unused_data
    return 0


def _truncated(path: Path, how: str) -> FileReadError:
    return FileReadError(f"File {path} is truncated: {how}. Copy or download it again.")


def _place(path: Path, header: Nifti1Header, shape: tuple[int, ...]) -> tuple[np.ndarray, tuple[str, ...]]:
    """(affine to RAS mm, sentences about what the file leaves open)."""
    warnings = []
    code = int(header["xyzt_units"]) & 7
    if code not in _UNITS:
        warnings.append(f"The file's unit of length (code {code}) is not known; millimetres were assumed.")
    unit = np.array([*[_UNITS.get(code, 1.0)] * 3, 1.0])[:, None]
    stated = {
        name: affine * unit
        for name, affine in (("sform", header.get_sform()), ("qform", _qform(header)))
        if int(header[f"{name}_code"]) > 0
    }
    usable = {name: affine for name, affine in stated.items() if _places(affine)}
    if not stated:
        # as ITK, and so Slicer, place such files
        affine = np.diag([-1.0, -1.0, 1.0, 1.0]) * [*np.abs(header["pixdim"][1:4].astype(float)), 1.0] * unit
        warnings.append(
            "The file says nothing about orientation and position (sform and qform codes are 0); "
            "left-posterior-superior axes from the origin were assumed."
        )
        return affine, tuple(warnings)
    if not usable:
        return next(iter(stated.values())), tuple(warnings)  # Grid says what is wrong with it
    affine = next(iter(usable.values()))
    if len(usable) < len(stated):
        unusable, used = ("qform", "sform") if "sform" in usable else ("sform", "qform")
        warnings.append(f"The file's {unusable} is not a valid affine; the {used} was used.")
    if len(usable) == 2 and (apart := _apart(usable["sform"], usable["qform"], shape)) > _DISAGREEMENT:
        warnings.append(
            f"The file's two affines (sform and qform) lie up to {apart:.1f} voxels apart; the sform was used."
        )
        return affine, tuple(warnings)
    try:
        seen = itk_affine(path)
    except (FileReadError, GeometryError):
        seen = affine
    return seen if _apart(affine, seen, shape) < _SAME else affine, tuple(warnings)


def _qform(header: Nifti1Header) -> np.ndarray:
    """4×4 of the quaternion; one that is too long is scaled to unit length, as the format's C library does."""
    b, c, d = (float(header[f"quatern_{letter}"]) for letter in "bcd")
    length = b * b + c * c + d * d
    if length > 1:
        b, c, d = (x / np.sqrt(length) for x in (b, c, d))
    a = np.sqrt(max(0.0, 1.0 - b * b - c * c - d * d))
    rotation = np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ]
    )
    pixdim = header["pixdim"].astype(float)
    affine = np.eye(4)
    affine[:3, :3] = rotation * np.abs(pixdim[1:4]) * (1, 1, -1 if pixdim[0] < 0 else 1)
    affine[:3, 3] = [float(header[f"qoffset_{letter}"]) for letter in "xyz"]
    return affine


def _places(affine: np.ndarray) -> bool:
    """Whether an affine places voxels: finite, and its axes are independent."""
    if not np.isfinite(affine).all():
        return False
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    return bool(lengths.all()) and abs(np.linalg.det(affine[:3, :3] / lengths)) >= 1e-6


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
    voxels = np.ascontiguousarray(volume.array, "<f4").data.cast("B")
    with open(path, "wb") as file, _compressor(file) if packed else nullcontext(file) as stream:
        stream.write(header.binaryblock + bytes(4))  # four zeros: no extensions follow
        for start in range(0, len(voxels), _PIECE):
            monitor.update(start / len(voxels))
            stream.write(voxels[start : start + _PIECE])
    monitor.update(1.0)


def _compressor(file: BinaryIO) -> gzip.GzipFile:
    return gzip.GzipFile("", "wb", _LEVEL, file, mtime=0)  # no name, no time: equal images make equal files


def _header(volume: Volume) -> Nifti1Header:
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
