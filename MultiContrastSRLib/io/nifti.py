"""NIfTI-1 and -2 single files (.nii, .nii.gz), after the headers nifti1.h and nifti2.h of the NIfTI group."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import IO

import numpy as np

from ..errors import FileReadError, InputError
from ..memory import check_memory
from ..volume import Volume

_FIELDS = (
    # name, (type, place) in NIfTI-1, (type, place) in NIfTI-2
    ("sizeof_hdr", ("i4", 0), ("i4", 0)),
    ("magic", ("S4", 344), ("S8", 4)),
    ("dim", ("8i2", 40), ("8i8", 16)),
    ("intent_code", ("i2", 68), ("i4", 504)),
    ("datatype", ("i2", 70), ("i2", 12)),
    ("bitpix", ("i2", 72), ("i2", 14)),
    ("pixdim", ("8f4", 76), ("8f8", 104)),
    ("vox_offset", ("f4", 108), ("i8", 168)),
    ("scl_slope", ("f4", 112), ("f8", 176)),
    ("scl_inter", ("f4", 116), ("f8", 184)),
    ("xyzt_units", ("u1", 123), ("i4", 500)),
    ("descrip", ("S80", 148), ("S80", 240)),
    ("qform_code", ("i2", 252), ("i4", 344)),
    ("sform_code", ("i2", 254), ("i4", 348)),
    ("quatern", ("3f4", 256), ("3f8", 352)),
    ("qoffset", ("3f4", 268), ("3f8", 376)),
    ("srow", ("(3,4)f4", 280), ("(3,4)f8", 400)),
)


def _layout(version: int, size: int) -> np.dtype:
    formats, offsets = zip(*[field[version] for field in _FIELDS], strict=True)
    names = [field[0] for field in _FIELDS]
    return np.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": size})


_HEADERS = {348: _layout(1, 348), 540: _layout(2, 540)}
_TYPES = {
    2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8",
}  # fmt: skip
_COMPLEX, _COLOUR = (32, 1792, 2048), (128, 2304)
_LABEL_INTENT = 1002
_METRES = {1: 1e3, 3: 1e-3}  # unit code to mm: metres, micrometres; all others are millimetres
_DISAGREEMENT = 0.1  # voxels between qform and sform that people should hear of


def read_nifti(path: Path, labels: bool = False) -> tuple[np.ndarray, np.ndarray, dict]:
    """(array [k, j, i], affine to RAS mm, metadata) of a file.

    Raises:
        FileReadError: no NIfTI file, or truncated.
        InputError: several frames, colours, complex numbers, or labels.
    """
    with open(path, "rb") as probe:
        packed = probe.read(2) == b"\x1f\x8b"
    try:
        with gzip.open(path, "rb") if packed else open(path, "rb") as stream:
            header, order = _read_header(path, stream)
            shape, kind = _check_kind(path, header, labels)
            data = np.dtype(kind).newbyteorder(order)
            check_memory(f"File {path}", shape, (data.itemsize + 8) / 4, "Crop the scan, or free memory.")
            voxels = _read_voxels(path, stream, int(header["vox_offset"]), shape, data)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise _truncated(path, "its compressed data end early or are damaged") from error
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    if np.isfinite(slope) and np.isfinite(intercept) and slope != 0 and (slope, intercept) != (1, 0):
        voxels = voxels * slope + intercept  # NumPy: 64-bit floats for integers, as the standard means it
    affine, warnings = _place(header, shape)
    return voxels.astype(np.float32, copy=False), affine, {"warnings": warnings} if warnings else {}


def _read_header(path: Path, stream: IO[bytes]) -> tuple[np.void, str]:
    raw = stream.read(540)
    for order in "<>":
        size = int(np.frombuffer(raw[:4], order + "i4")[0]) if len(raw) >= 4 else 0
        if size in _HEADERS and len(raw) >= size:
            header = np.frombuffer(raw[:size], _HEADERS[size].newbyteorder(order))[0]
            if header["magic"][:3] in (b"n+1", b"n+2"):
                stream.seek(0)
                return header, order
    raise FileReadError(
        f"File {path} has no NIfTI header; expected a NIfTI-1 or -2 image in one file. Copy or download it again, or "
        "convert it."
    )


def _check_kind(path: Path, header: np.void, labels: bool) -> tuple[tuple[int, int, int], str]:
    """(shape (k, j, i), type of a voxel), once it is known to be one scan."""
    count, datatype = int(header["dim"][0]), int(header["datatype"])
    if not 1 <= count <= 7 or (header["dim"][1 : count + 1] < 1).any():
        raise FileReadError(
            f"File {path} has a damaged header (dim = {header['dim'].tolist()}); expected 3 sizes above 0. "
            "Copy or download it again."
        )
    sizes = [int(n) for n in header["dim"][1 : count + 1]] + [1] * (7 - count)
    spatial = " × ".join(str(n) for n in sizes[:3])
    if datatype in _COLOUR or sizes[4] > 1:
        what = "colours (RGB)" if datatype in _COLOUR else f"{sizes[4]} values per voxel"
        raise InputError(f"File {path} holds {what}; expected one grey-valued 3-D scan. Extract one channel first.")
    if np.prod(sizes[3:]) > 1:
        raise InputError(
            f"File {path} is 4-D ({np.prod(sizes[3:])} frames of {spatial} voxels); expected one 3-D scan. "
            "Extract one frame first."
        )
    if datatype in _COMPLEX:
        raise InputError(f"File {path} holds complex numbers; expected real ones. Take the magnitude first.")
    if int(header["intent_code"]) == _LABEL_INTENT and not labels:
        raise InputError(
            f"File {path} holds labels (a segmentation); expected a scan. Choose the scan that it was drawn on."
        )
    if datatype not in _TYPES:
        raise FileReadError(
            f"File {path} has voxels of NIfTI type {datatype}; expected whole numbers or floats of up to 64 bits. "
            "Convert it first."
        )
    return (sizes[2], sizes[1], sizes[0]), _TYPES[datatype]


def _read_voxels(path: Path, stream: IO[bytes], offset: int, shape: tuple[int, int, int], data: np.dtype) -> np.ndarray:
    expected = int(np.prod(shape, dtype=np.int64)) * data.itemsize
    stream.seek(offset)
    raw = stream.read(expected)
    if len(raw) < expected:
        raise _truncated(path, f"it holds {len(raw)} bytes of voxels of {expected}")
    while stream.read(1 << 20):  # to the end, where gzip compares its checksum
        pass
    return np.frombuffer(raw, data).reshape(shape)


def _truncated(path: Path, how: str) -> FileReadError:
    return FileReadError(f"File {path} is truncated: {how}. Copy or download it again.")


# ---------------------------------------------------------------------- geometry


def _place(header: np.void, shape: tuple[int, int, int]) -> tuple[np.ndarray, tuple[str, ...]]:
    """(affine to RAS mm, sentences about what the file leaves open)."""
    sform, qform = int(header["sform_code"]) > 0, int(header["qform_code"]) > 0
    warnings = []
    if sform:
        affine = np.vstack([header["srow"].astype(float), (0, 0, 0, 1)])
        if qform and (apart := _apart(affine, _qform(header), shape)) > _DISAGREEMENT:
            warnings.append(
                f"The file's two affines (sform and qform) lie up to {apart:.1f} voxels apart; the sform was used."
            )
    elif qform:
        affine = _qform(header)
    else:
        # as ITK and so Slicer place such files: the axes run to left, posterior, superior from the origin
        affine = np.diag([-1.0, -1.0, 1.0, 1.0]) * [*np.abs(header["pixdim"][1:4].astype(float)), 1.0]
        warnings.append(
            "The file says nothing about orientation and position (sform and qform codes are 0); "
            "left-posterior-superior axes from the origin were assumed."
        )
    affine[:3] *= _METRES.get(int(header["xyzt_units"]) & 7, 1.0)
    return affine, tuple(warnings)


def _qform(header: np.void) -> np.ndarray:
    b, c, d = header["quatern"].astype(float)
    a = np.sqrt(max(0.0, 1.0 - b * b - c * c - d * d))
    rotation = np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ]
    )
    spacing = header["pixdim"][1:4].astype(float)
    if header["pixdim"][0] < 0:
        spacing[2] = -spacing[2]
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = rotation * spacing, header["qoffset"]
    return affine


def _apart(first: np.ndarray, second: np.ndarray, shape: tuple[int, int, int]) -> float:
    """Largest distance of a corner voxel between two affines, in voxels of the smallest spacing."""
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in shape[::-1]])).reshape(3, -1)
    gap = (first - second)[:3, :3] @ corners + (first - second)[:3, 3:]
    smallest = np.linalg.norm(first[:3, :3], axis=0).min()
    return float(np.linalg.norm(gap, axis=0).max() / max(smallest, 1e-9))


# ---------------------------------------------------------------------- writing


def nifti_header(volume: Volume) -> bytes:
    """The 352 bytes before the voxels: NIfTI-1, 32-bit floats, sform, and qform where a rotation can say the same."""
    from .. import __version__

    header = np.zeros((), _HEADERS[348].newbyteorder("<"))
    spacing = np.linalg.norm(volume.affine[:3, :3], axis=0)
    rotation = volume.affine[:3, :3] / spacing
    handed = np.sign(np.linalg.det(rotation))
    header["sizeof_hdr"], header["magic"], header["vox_offset"] = 348, b"n+1", 352
    header["dim"] = (3, *volume.shape[::-1], 1, 1, 1, 1)
    header["datatype"], header["bitpix"], header["scl_slope"] = 16, 32, 1
    header["pixdim"] = (handed, *spacing, 1, 1, 1, 1)
    header["xyzt_units"] = 2
    note = f"MultiContrastSR {__version__}; research use only, not for diagnosis"
    header["descrip"] = f"{note}; {volume.name}".encode("ascii", "replace")[:79]
    header["sform_code"], header["srow"] = 1, volume.affine[:3]
    if np.abs(rotation.T @ rotation - np.eye(3)).max() < 1e-4:
        header["qform_code"], header["qoffset"] = 1, volume.affine[:3, 3]
        header["quatern"] = _quaternion(rotation * (1, 1, handed))
    return header.tobytes() + bytes(4)  # four zeros: no extensions follow


def _quaternion(rotation: np.ndarray) -> np.ndarray:
    """(b, c, d) of the unit quaternion a + bi + cj + dk (a ≥ 0) nearest to `rotation` (Bar-Itzhack 2000)."""
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = rotation
    matrix = np.array(
        [
            [xx + yy + zz, zy - yz, xz - zx, yx - xy],
            [zy - yz, xx - yy - zz, xy + yx, xz + zx],
            [xz - zx, xy + yx, yy - xx - zz, yz + zy],
            [yx - xy, xz + zx, yz + zy, zz - xx - yy],
        ]
    )
    quaternion = np.linalg.eigh(matrix)[1][:, -1]
    return (quaternion if quaternion[0] >= 0 else -quaternion)[1:]
