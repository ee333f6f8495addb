"""A study of three subjects in one command: a small BIDS dataset, `multicontrastsr batch`, and the page of the study.

Real scans where MULTICONTRASTSR_DATA has them: the middle slices of the T2 of three patients of open_ms_data, as the
scanner wrote them, with the T1. Elsewhere three parts of the phantom.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

from MultiContrastSRLib import Volume, load_volume, save_volume
from MultiContrastSRLib.cli import main as multicontrastsr
from MultiContrastSRLib.samples.phantom import default_grid, head_phantom
from MultiContrastSRLib.samples.scans import DATA_FOLDER

PATIENTS = ("patient01", "patient04", "patient12")
SUFFIXES = {"T1W": "T1w", "T2W": "T2w"}
SLICES = 12  # of each T2: a demonstration takes seconds
RECIPE = ("--targets", "T2w", "--references", "T1w", "--scale", "2", "1", "1", "--method", "guided")


def middle(volume: Volume, first: int | None = None) -> Volume:
    """`SLICES` slices, from `first` on; the middle ones by default."""
    start = (volume.shape[0] - SLICES) // 2 if first is None else first
    stop = start + SLICES
    grid = volume.grid.crop((start, 0, 0), (stop, *volume.shape[1:]))
    return Volume(volume.array[start:stop].copy(), grid.affine, volume.name)


def real_scans() -> dict[str, dict[str, Path]]:
    """Files of the patients, by BIDS suffix; empty where one is missing."""
    folder = Path(os.environ.get(DATA_FOLDER, "")) / "open_ms_data" / "longitudinal" / "raw"
    found = {
        patient: {suffix: folder / patient / f"study1_{name}.nii.gz" for name, suffix in SUFFIXES.items()}
        for patient in PATIENTS
    }
    complete = all(place.is_file() for places in found.values() for place in places.values())
    return found if complete else {}


def subjects() -> dict[str, dict[str, Volume]]:
    """Label → BIDS suffix → scan."""
    if places := real_scans():
        return {
            patient: {"T1w": load_volume(files["T1w"]), "T2w": middle(load_volume(files["T2w"]))}
            for patient, files in places.items()
        }
    contrasts = {
        "T1w": head_phantom("T1", default_grid((1.5, 1.5, 1.5)), noise=3),
        "T2w": head_phantom("T2", default_grid((3.0, 1.5, 1.5)), noise=3),
    }
    return {
        f"phantom{number}": {"T1w": contrasts["T1w"], "T2w": middle(contrasts["T2w"], first)}
        for number, first in enumerate((4, 10, 16), 1)
    }


def write_dataset(folder: Path) -> Path:
    """The subjects as a BIDS dataset."""
    for label, scans in subjects().items():
        anat = folder / f"sub-{label}" / "anat"
        anat.mkdir(parents=True, exist_ok=True)
        for suffix, volume in scans.items():
            save_volume(volume, anat / f"sub-{label}_{suffix}.nii.gz")
    description = {"Name": "Demonstration of a batch", "BIDSVersion": "1.10.0", "DatasetType": "raw"}
    (folder / "dataset_description.json").write_text(json.dumps(description), encoding="utf-8")
    return folder


def run_study(output: Path, say: Callable[[str], None]) -> tuple[Path, list[Path]]:
    """Super-resolve the study; (its page, the folders that were written)."""
    source, results = write_dataset(output / "study"), output / "batch"
    command = ["batch", str(source), str(results), "participant", *RECIPE, "--n-procs", "2", "--skip-bids-validation"]
    say(f"  multicontrastsr {' '.join(command)}")
    if multicontrastsr(command) != 0:
        raise SystemExit(f"The batch failed; {results / 'logs'} says why.")
    return results / "batch.html", [source, results]
