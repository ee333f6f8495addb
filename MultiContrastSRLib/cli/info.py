"""Show what a scan is: size, spacing, orientation, intensities, and how much of it was really measured.

multicontrastsr info t2.nii.gz dicom_folder/
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from .console import print_json, warn

if TYPE_CHECKING:
    import numpy as np

_LABELS = {
    "name": "name",
    "shape": "samples (slices × rows × columns)",
    "spacing_mm": "spacing, mm",
    "orientation": "axes i, j, k run to",
    "acquisition": "acquired as",
    "effective_resolution_mm": "effective resolution, mm",
    "measured_spectrum": "measured part of spectrum",
}
_WIDTH = 36


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command to `parser`."""
    parser.add_argument("volumes", nargs="+", metavar="volume", help="files, or folders of one DICOM series")


def describe(path: str) -> dict[str, object]:
    """All that is known about the volume at `path`, JSON-able; lists per axis are (slices, rows, columns)."""
    import numpy as np

    from ..acquisition.model import AcquisitionModel
    from ..image.volume import warnings_of
    from ..io import load_volume

    volume = load_volume(path, labels=True)
    across = volume.grid.slice_axis
    finite = volume.array[np.isfinite(volume.array)]
    known = {
        "file": path,
        "name": volume.name,
        "shape": list(volume.shape),
        "spacing_mm": [round(s, 6) for s in volume.spacing],
        "orientation": orientation(volume.affine),
        "acquisition": "3-D" if across is None else f"2-D, slices along {'kji'[across]}",
        "intensity_range": [float(finite.min()), float(finite.max())] if finite.size else [],
        "affine_ras": volume.affine.tolist(),
        "metadata": {key: value for key, value in volume.metadata.items() if key not in ("source", "warnings")},
    }
    warnings = list(warnings_of(volume.metadata))
    if finite.size < volume.array.size:
        warnings.append(
            f"{volume.array.size - finite.size} of {volume.array.size} voxels are NaN or infinite "
            "(--replace-nan of super-resolve and degrade replaces them)."
        )
    else:
        model = AcquisitionModel.estimate(volume)
        known["effective_resolution_mm"] = [round(r, 3) for r in model.resolution]
        known["measured_spectrum"] = [round(axis.support.edge, 3) for axis in model.axes]
        warnings += model.assumptions
    return {**known, "warnings": warnings}


def orientation(affine: np.ndarray) -> str:
    """Where the voxel axes i, j, k point: a letter each of R/L, A/P, S/I, in that order ("LPS", say).

    >>> orientation(np.diag([-1.0, -1.0, 3.0, 1.0]))
    'LPS'
    """
    import numpy as np

    letters = (("L", "R"), ("P", "A"), ("I", "S"))
    rows = np.argmax(np.abs(affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)), axis=0)
    return "".join(letters[row][int(affine[row, column] > 0)] for column, row in enumerate(rows))


def run(parsed: argparse.Namespace) -> None:
    """Run the command with the parsed arguments."""
    described = [describe(path) for path in parsed.volumes]
    if parsed.json:
        print_json({"volumes": described})
        return
    for entry in described:
        print(_as_text(entry))
        warn(f"{entry['file']}: {sentence}" for sentence in entry["warnings"])


def _as_text(entry: dict[str, object]) -> str:
    lines = [str(entry["file"])]

    def line(label: str, text: str) -> None:
        lines.append(f"  {label:{_WIDTH}}{text}")

    for key, label in _LABELS.items():
        value = entry.get(key)
        if value is not None:
            line(label, " × ".join(f"{v:g}" for v in value) if isinstance(value, list) else str(value))
    line("intensities", " to ".join(f"{v:g}" for v in entry["intensity_range"]) or "none is finite")
    for key, value in entry["metadata"].items():
        line(key.replace("_", " "), str(value))
    for number, row in enumerate(entry["affine_ras"][:3]):
        line("" if number else "affine (i, j, k, 1) to RAS mm", " ".join(f"{v:10.4f}" for v in row))
    return "\n".join(lines)
