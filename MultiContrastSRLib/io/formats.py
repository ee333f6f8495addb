"""The formats by extension."""

from __future__ import annotations

from pathlib import Path

from ..core.progress import Monitor
from ..image.volume import Volume
from .itk import write_itk
from .nifti import write_nifti

READABLE = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd")
WRITABLE = (".nii", ".nii.gz", ".nrrd", ".mha")


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
        write_itk(volume, path, suffix == ".nrrd", monitor)
    else:
        write_nifti(volume, path, suffix == ".nii.gz", monitor)
