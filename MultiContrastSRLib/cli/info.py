"""Show what a scan is: size, spacing, orientation, intensities, and how much of it was really measured."""

from __future__ import annotations

import argparse

from .console import print_json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What this verb takes."""
    parser.add_argument("volumes", nargs="+", metavar="volume", help="files, or folders of one DICOM series")


def describe(path: str) -> dict[str, object]:
    """All that is known about the volume at `path`, JSON-able; tuples are (slices, rows, columns)."""
    import numpy as np

    from ..acquisition import AcquisitionModel
    from ..io import load_volume

    volume = load_volume(path)
    model = AcquisitionModel.estimate(volume)
    across = volume.grid.slice_axis
    finite = volume.array[np.isfinite(volume.array)]
    return {
        "file": path,
        "name": volume.name,
        "shape": list(volume.shape),
        "spacing_mm": [round(s, 6) for s in volume.spacing],
        "orientation": orientation(volume.affine),
        "acquisition": "3-D" if across is None else f"2-D, slices along {'kji'[across]}",
        "effective_resolution_mm": [round(r, 3) for r in model.resolution],
        "measured_spectrum": [round(axis.support.edge, 3) for axis in model.axes],
        "intensity_range": [float(finite.min()), float(finite.max())] if finite.size else [],
        "not_finite": int(volume.array.size - finite.size),
        "affine_ras": volume.affine.tolist(),
        "warnings": [*volume.metadata.get("warnings", ()), *model.assumptions],
    }


def orientation(affine) -> str:
    """Where the voxel axes i, j, k point: a letter each of R/L, A/P, S/I, in that order ("LPS", say)."""
    import numpy as np

    letters = (("L", "R"), ("P", "A"), ("I", "S"))
    rows = np.argmax(np.abs(affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)), axis=0)
    return "".join(letters[row][int(affine[row, column] > 0)] for column, row in enumerate(rows))


def run(parsed: argparse.Namespace) -> None:
    """Do it."""
    described = [describe(path) for path in parsed.volumes]
    if parsed.json:
        print_json({"volumes": described})
        return
    for number, entry in enumerate(described):
        print("" if number == 0 else "\n", end="")
        print(entry["file"])
        for key, value in entry.items():
            if key in ("file", "affine_ras", "warnings"):
                continue
            text = (
                " × ".join(f"{v:g}" for v in value) if isinstance(value, list) and key != "intensity_range" else value
            )
            if key == "intensity_range":
                text = " to ".join(f"{v:g}" for v in value)
            print(f"  {key.replace('_', ' '):26}{text}")
        for line in entry["affine_ras"][:3]:
            print("  " + " " * 26 + " ".join(f"{v:10.4f}" for v in line))
        for warning in entry["warnings"]:
            print(f"  {'note':26}{warning}")
