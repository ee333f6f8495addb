"""Small studies for the tests of the batch: BIDS datasets and plain folders of phantoms, and commands on them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from phantoms import pair

import MultiContrastSRLib as mc

ROOT = Path(__file__).resolve().parent.parent
SHAPE = (4, 40, 36)
RECIPE = ("--targets", "T2w", "--references", "T1w", "--scale", "2", "--register", "off", "--skip-bids-validation")


def write_subject(folder: Path, label: str, seed: int = 0, shape: tuple[int, int, int] = SHAPE) -> Path:
    """A subject of a BIDS dataset: T2w, half as fine in plane as T1w; returns the folder of its images."""
    anat = folder / f"sub-{label}" / "anat"
    anat.mkdir(parents=True)
    truth, reference = pair(shape, seed)
    mc.save_volume(mc.degrade(truth, "kspace", 2), anat / f"sub-{label}_T2w.nii.gz")
    mc.save_volume(reference, anat / f"sub-{label}_T1w.nii.gz")
    for suffix in ("T1w", "T2w"):
        sidecar = {"SliceThickness": 3, "Modality": "MR", "MagneticFieldStrength": 3, "Manufacturer": "None"}
        (anat / f"sub-{label}_{suffix}.json").write_text(json.dumps(sidecar))
    return anat


def write_dataset(folder: Path, labels: list[str], shape: tuple[int, int, int] = SHAPE) -> Path:
    """A BIDS dataset of these subjects, each a different phantom."""
    folder.mkdir(parents=True, exist_ok=True)
    description = {"Name": "Phantoms", "BIDSVersion": "1.10.0", "DatasetType": "raw", "License": "CC0"}
    (folder / "dataset_description.json").write_text(json.dumps(description))
    (folder / "README.md").write_text(
        "Phantoms for tests: two contrasts of invented heads, one subject a folder.\n" * 3
    )
    for seed, label in enumerate(labels):
        write_subject(folder, label, seed, shape)
    return folder


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """A BIDS dataset of three subjects."""
    return write_dataset(tmp_path / "bids", ["01", "02", "03"])


def start(*arguments: object, **keywords: object) -> subprocess.Popen:
    """The command in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "MultiContrastSRLib.cli", *map(str, arguments)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, **keywords
    )


def run_batch(*arguments: object) -> tuple[int, str, str]:
    """(exit code, standard output, standard error) of `multicontrastsr batch`, in a process of its own."""
    process = start("batch", *arguments)
    out, err = process.communicate(timeout=250)
    return process.returncode, out, err


def rows_of(output: Path) -> dict[str, dict[str, str]]:
    """Rows of batch.tsv by participant."""
    head, *lines = (output / "batch.tsv").read_text(encoding="utf-8").splitlines()
    rows = [dict(zip(head.split("\t"), line.split("\t"), strict=True)) for line in lines]
    return {row["participant_id"].removeprefix("sub-"): row for row in rows}


def results_of(output: Path) -> dict[str, bytes]:
    """Contents of all volumes, side-cars, transforms and pictures below the folders of subjects."""
    return {
        path.relative_to(output).as_posix(): path.read_bytes()
        for folder in output.glob("[!.l]*/")
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
