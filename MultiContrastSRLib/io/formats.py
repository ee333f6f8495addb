"""The formats by extension."""

from __future__ import annotations

from pathlib import Path

from ..core.errors import InputError
from ..core.progress import Monitor
from ..image.volume import Volume
from .itk import write_itk
from .nifti import write_nifti

READABLE = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd")
WRITABLE = (".nii", ".nii.gz", ".nrrd", ".mha")
FIGURES = (".png", ".pdf", ".svg")


def suffix_of(path: Path) -> str:
    """The extension in lower case, ".nii.gz" as one; "" where it is none of ours.

    >>> suffix_of(Path("a.b/T2.study1.NII.GZ")), suffix_of(Path("notes.txt"))
    ('.nii.gz', '')
    """
    name = path.name.lower()
    return next((s for s in sorted(READABLE, key=len, reverse=True) if name.endswith(s)), "")


def check_figure(path: Path) -> None:
    """Check that a figure may have this name. Called before long work starts, and again before it is drawn.

    Raises:
        InputError: the extension is none of `FIGURES`.
    """
    if path.suffix not in FIGURES:
        raise InputError(f"Figure is {path.name!r}; expected a name ending in {', '.join(FIGURES)}. Rename it.")


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
