"""The tables of docs/accuracy.md are made from what the runs found."""

from __future__ import annotations

import json
from pathlib import Path

import bench_accuracy
import pytest

from MultiContrastSRLib.cli import build_parser


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(bench_accuracy, "FOLDER", tmp_path)
    monkeypatch.setenv("MULTICONTRASTSR_DATA", "scans")
    return tmp_path


def write(folder: Path, run: str, method: str, content: dict) -> None:
    (folder / f"{run}-{method}.json").write_text(json.dumps(content))


def evaluated(pair: object, method: str, psnr: float, gain: float) -> dict:
    metrics = {name: {"mean": psnr, "slices": 12} for name in ("psnr", "psnr_brain")}
    gains = {"psnr": {"mean": gain}, "psnr_brain": {"mean": gain - 1}}
    return {"pair": pair, "scale": 2.0, "method": method, "metrics": metrics, "gain": gains}


@pytest.mark.parametrize("run", bench_accuracy.RUNS)
def test_every_run_is_a_command_that_the_shell_takes(folder: Path, run: str) -> None:
    _, _, *arguments = bench_accuracy.command(run, "minet")
    parsed = build_parser().parse_args(arguments)
    assert parsed.json_file == str(folder / f"{run}-minet.json")
    assert "minet" in parsed.methods


def test_gains_are_means_over_the_pairs_beside_the_lowest_pair(folder: Path) -> None:
    pairs = (["T2", "T1"], ["T1", "FLAIR"], "mean over pairs")
    results = [evaluated(pair, "sinc", 30.0, -1.0) for pair in pairs]
    results += [
        evaluated(pair, "swift", 30.0 + over, over / 2) for pair, over in zip(pairs, (2.0, 4.0, 9.0), strict=True)
    ]
    write(folder, "patient26", "swift", {"results": results})
    assert bench_accuracy.scores("patient26", "best").splitlines()[0] == "| n = 12 slices | ×2 | lowest pair |"
    assert bench_accuracy.scores("patient26", "best").splitlines()[2:] == ["| Swift | +1.50 / +0.50 | +1.00 T2 ← T1 |"]
    assert bench_accuracy.scores("patient26", "sinc").splitlines()[2:] == ["| Swift | +3.00 / +3.00 | +2.00 T2 ← T1 |"]


def test_methods_stand_beside_each_other(folder: Path) -> None:
    for method, gain in (("swift", 1.0), ("joint-tv", -0.5)):
        row = {"pair": "T1 ← FLAIR", "scale": 4.0, "method": method, "gain": gain, "interval": [0.0, 2.0]}
        write(folder, "sites", method, {"results": [{**row, "worst_over_sinc": 0.25}]})
    head, _, row = bench_accuracy.sites().splitlines()
    assert head == "| target ← reference | scale | Swift | *joint-tv* |"
    assert row == "| T1 ← FLAIR | ×4 | +1.00 (+0.00 … +2.00); +0.25 | -0.50 (+0.00 … +2.00); +0.25 |"


def test_lesions_name_the_pair_that_leaks_most(folder: Path) -> None:
    def row(pair: object, leaked: float) -> dict:
        return {
            "pair": pair,
            "method": "dinet",
            "shares": {"kept": 1.0, "leaked": leaked, "leaked_2mm": 0.08, "leaked_4mm": 0.01},
        }

    write(
        folder,
        "lesions",
        "dinet",
        {"results": [row("all pairs", 0.03), row(["T2", "T1"], 0.05), row(["T1", "T2"], 0.01)]},
    )
    assert bench_accuracy.lesions().splitlines()[2] == "| DINet (light) | 100.0 | 3.0 | 5.0 T2 ← T1 | 8.0 | 1.0 |"


def test_wrong_references_are_compared_at_both_scales(folder: Path) -> None:
    rows = [
        {"method": "swift", "reference": kind, "scale": scale, "gain_over_no_reference": {"mean": gain}}
        for kind, gain in (("full", 1.0), *((kind, -0.01) for kind in bench_accuracy.WRONG))
        for scale in (2.0, 4.0)
    ]
    write(folder, "references", "swift", {"robustness": rows})
    cells = ["+1.00 / +1.00", *["-0.01 / -0.01"] * len(bench_accuracy.WRONG)]
    assert bench_accuracy.references().splitlines()[2] == f"| Swift | {' | '.join(cells)} |"
