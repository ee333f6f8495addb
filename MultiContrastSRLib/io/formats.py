"""The formats by extension, and how an image of each is written: a header, then the voxels in pieces."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np

from ..errors import GeometryError
from ..progress import Monitor
from ..volume import Volume
from .nifti import nifti_header

READABLE = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd")
WRITABLE = (".nii", ".nii.gz", ".nrrd", ".mha")
SERIES_SEPARATOR = "::"  # folder::seriesUID
TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])  # RAS mm to ITK's LPS mm and back

_PIECE = 1 << 22  # bytes between two looks at progress and cancel: about 0.1 s of compression
_LEVEL = 1  # floats hardly shrink further, they only take longer
_SHEAR = 1e-4  # cosine between axes above which a grid counts as sheared


def suffix_of(path: Path) -> str:
    """The extension in lower case, ".nii.gz" as one; "" where it is none of ours.

    >>> suffix_of(Path("a.b/T2.study1.NII.GZ")), suffix_of(Path("notes.txt"))
    ('.nii.gz', '')
    """
    name = path.name.lower()
    return next((s for s in sorted(READABLE, key=len, reverse=True) if name.endswith(s)), "")


def write_image(volume: Volume, path: Path, suffix: str, monitor: Monitor) -> None:
    """Write `volume` to `path` in the format of `suffix` (one of `WRITABLE`).

    Raises:
        GeometryError: a sheared grid, in a format that cannot hold one.
        OSError, CancelledError: the file is then incomplete.
    """
    if suffix in (".nrrd", ".mha"):
        _refuse_shear(volume, suffix)
    header = {".nrrd": _nrrd_header, ".mha": _metaimage_header}.get(suffix, nifti_header)(volume)
    packer = zlib.compressobj(_LEVEL, wbits=31) if suffix in (".nii.gz", ".nrrd") else None
    voxels = memoryview(volume.array.astype("<f4", copy=False)).cast("B")
    with open(path, "wb") as stream:
        stream.write(packer.compress(header) if suffix == ".nii.gz" else header)
        for start in range(0, len(voxels), _PIECE):
            monitor.update(start / len(voxels))
            piece = voxels[start : start + _PIECE]
            stream.write(packer.compress(piece) if packer else piece)
        if packer:
            stream.write(packer.flush())
    monitor.update(1.0)


def _refuse_shear(volume: Volume, suffix: str) -> None:
    axes = volume.affine[:3, :3] / np.linalg.norm(volume.affine[:3, :3], axis=0)
    cosines = np.abs(axes.T @ axes - np.eye(3))
    if cosines.max() > _SHEAR:
        first, second = np.unravel_index(np.argmax(cosines), (3, 3))
        angle = np.degrees(np.arccos(cosines.max()))
        raise GeometryError(
            f"Volume {volume.name!r} is sheared (its axes {'ijk'[first]} and {'ijk'[second]} are {angle:.2f}° apart); "
            f"expected right angles, for {suffix} files are read wrongly otherwise. Save it as .nii or .nii.gz."
        )


def _numbers(values: np.ndarray) -> list[str]:
    return [repr(float(value) + 0.0) for value in values]  # + 0.0: no "-0.0"


def _nrrd_header(volume: Volume) -> bytes:
    affine = TO_LPS @ volume.affine

    def vector(values: np.ndarray) -> str:
        return f"({','.join(_numbers(values))})"

    lines = [
        "NRRD0004",
        "# MultiContrastSR. Research use only; not for diagnosis.",
        "type: float",
        "dimension: 3",
        "space: left-posterior-superior",
        "sizes: " + " ".join(str(n) for n in volume.shape[::-1]),
        "space directions: " + " ".join(vector(affine[:3, c]) for c in range(3)),
        "kinds: domain domain domain",
        "endian: little",
        "encoding: gzip",
        "space origin: " + vector(affine[:3, 3]),
    ]
    return ("\n".join(lines) + "\n\n").encode("ascii")


def _metaimage_header(volume: Volume) -> bytes:
    affine = TO_LPS @ volume.affine
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    lines = [
        "ObjectType = Image",
        "NDims = 3",
        "Comment = MultiContrastSR. Research use only; not for diagnosis.",
        "BinaryData = True",
        "BinaryDataByteOrderMSB = False",
        "CompressedData = False",
        # one axis after the other, each as a direction in LPS
        "TransformMatrix = " + " ".join(_numbers((affine[:3, :3] / spacing).T.ravel())),
        "Offset = " + " ".join(_numbers(affine[:3, 3])),
        "ElementSpacing = " + " ".join(_numbers(spacing)),
        "DimSize = " + " ".join(str(n) for n in volume.shape[::-1]),
        "ElementType = MET_FLOAT",
        "ElementDataFile = LOCAL",
    ]
    return ("\n".join(lines) + "\n").encode("ascii")
