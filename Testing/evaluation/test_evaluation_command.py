"""`multicontrastsr evaluate` on folders, rows with settings, and the probes."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from MultiContrastSRLib import Volume, save_volume
from MultiContrastSRLib.cli import main
from MultiContrastSRLib.cli.rows import parse_row
from MultiContrastSRLib.core.errors import OptionError, UnknownNameError
from MultiContrastSRLib.evaluation import MethodUnderTest


@pytest.fixture
def evaluated(cohort, tmp_path, monkeypatch, capsys):
    """Runs `evaluate` in an empty folder on the cohort; returns (exit code, standard output, standard error)."""
    monkeypatch.chdir(tmp_path)

    def run(command: str, data: bool = True) -> tuple[int, str, str]:
        folder = ["--data", str(cohort)] if data else []
        code = main(["evaluate", *folder, *command.split()])
        return code, *capsys.readouterr()

    return run


def test_rows_as_typed():
    assert parse_row("guided") == MethodUnderTest("guided")
    assert parse_row("guided:strength=0.5,reference=none,consistency=off,label=half as much") == MethodUnderTest(
        "guided", "half as much", {"strength": 0.5}, False, "none"
    )
    assert parse_row("guided:strength=0.5").row == "guided:strength=0.5"
    with pytest.raises(OptionError, match="expected NAME=VALUE"):
        parse_row("guided:strength")
    with pytest.raises(OptionError, match="is 'maybe'; expected on or off"):
        parse_row("guided:consistency=maybe")
    with pytest.raises(UnknownNameError, match="Unknown method 'magic'"):
        parse_row("magic:x=1")


@pytest.mark.slow
def test_pairs_of_all_subjects(evaluated, tmp_path):
    command = "--preset P3 --pairs T2:T1,T1:T2 --scales 2 2x1.3 --methods guided guided:strength=0.5,label=half"
    outputs = "--markdown a.md --csv a.csv --json-file a.json --figure e.png"
    code, out, err = evaluated(f"{command} {outputs}")
    assert code == 0 and "×2×1.3" in out and "2 subjects (one, two)" in out
    assert err.count("one T2 ← T1: ×2 sinc ") == 1 and err.count("\n") == 4, "one line an evaluation as it is made"
    assert {
        line["method"] for line in csv.DictReader((tmp_path / "a.csv").read_text(encoding="utf-8").splitlines())
    } >= {"guided", "half"}
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))["pairs"] == [["T2", "T1"], ["T1", "T2"]]
    assert "| half |" in (tmp_path / "a.md").read_text(encoding="utf-8")
    assert len(list(tmp_path.glob("e-*.png"))) == 4 and len(list(tmp_path.iterdir())) == 7
    code, _, err = evaluated(f"{command} --figure e.png")
    assert code == 4 and "e-one-T2-T1.png exists already" in err, "asked before any work"


@pytest.mark.parametrize("axis", ["sagittal", "2"])
def test_planes_too_narrow_for_a_brain(evaluated, masked_pair, tmp_path, axis):
    for volume in masked_pair[:2]:
        save_volume(volume, tmp_path / f"{volume.name}.nii")
    command = f"T2.nii T1.nii --axis {axis} --scales 2 --methods bspline --slices 8"
    code, out, err = evaluated(f"{command} --csv a.csv --markdown a.md --json-file a.json --figure a.png", data=False)
    assert code == 0 and not err and "PSNR gain over sinc" in out and "PSNR brain" not in out
    assert len(list(tmp_path.iterdir())) == 6 and (tmp_path / "a.png").stat().st_size > 10_000
    assert "psnr_gain" in (tmp_path / "a.csv").read_text() and "psnr_brain" not in (tmp_path / "a.csv").read_text()
    found = json.loads((tmp_path / "a.json").read_text())
    assert found["results"][0]["gain"].keys() == {"psnr"}
    assert found["evaluations"][0]["results"][0]["gain_over_sinc"].keys() == {"psnr"}


def test_a_cohort_with_a_short_and_an_empty_scan(evaluated, masked_pair, tmp_path):
    for subject, stop, factor in (("long", 96, 1), ("short", 12, 1), ("empty", 96, 0)):
        (tmp_path / "scans" / subject).mkdir(parents=True)
        for volume in masked_pair[:2]:
            array = factor * np.moveaxis(volume.array, 0, 1)[40 : 40 + stop]
            save_volume(Volume(array, volume.affine), tmp_path / "scans" / subject / f"{volume.name}.nii")
    command = "--data scans --scans {subject}/{contrast}.nii --pairs T2:T1 --degradation slab --scales 2 --slices 4"
    code, out, err = evaluated(f"{command} --methods bspline --figure a.png", data=False)
    assert code == 0 and "n = 6 slices of 2 subjects" in out
    assert "empty T2 ← T1: no PSNR\n" in err
    assert len(list(tmp_path.glob("a-*.png"))) == 3


def test_one_subject_one_pair_against_a_row(evaluated, tmp_path):
    code, out, err = evaluated(
        "--subjects one --pairs T2:T1 --methods guided bspline --scales 2 --against bspline --quiet --figure e.png"
    )
    assert code == 0 and not err and "PSNR gain over bspline" in out and "PSNR lesion" in out
    assert (tmp_path / "e.png").exists() and "Everything that was measured" in out


def test_the_csv_has_the_gains_that_were_asked_for(evaluated, tmp_path):
    command = "--subjects one --pairs T2:T1 --methods guided bspline --scales 2 --quiet --table csv --csv a.csv"
    for against, over in (("", "guided"), ("--against bspline", "bspline")):
        code, out, _ = evaluated(f"{command} {against} --overwrite")
        lines = list(csv.DictReader(out.splitlines()))
        assert code == 0 and {line["psnr_gain_over"] for line in lines} == {over}
        assert [line["method"] for line in lines if float(line["psnr_gain"]) == 0] == [over]
        assert (tmp_path / "a.csv").read_text(encoding="utf-8") == out


def test_an_empty_lesion_mask_is_said(evaluated, masked_pair, tmp_path):
    for volume in masked_pair[:2]:
        save_volume(volume, tmp_path / f"{volume.name}.nii")
    save_volume(Volume(masked_pair[2].array * 0, masked_pair[2].affine), tmp_path / "none.nii")
    code, _, err = evaluated("T2.nii T1.nii --lesions none.nii --methods linear --scales 2 --slices 4", data=False)
    assert code == 0 and "warning: T2 ← T1: The lesion mask marks no voxel of the scored planes" in err


def test_own_layout(evaluated):
    code, out, _ = evaluated("--scans MNI/{subject}/{contrast}_brain.nii.gz --subjects one,two --pairs T2 --scales 2")
    assert code == 0 and "T2" in out and "lanczos" in out


@pytest.mark.parametrize(
    ("command", "code", "message"),
    [
        ("--pairs T2:PD", 4, "No subject below"),
        ("--subjects three --pairs T2:T1", 4, "/three/"),
        ("--preset p1", 2, "Protocol 'p1' names no pairs; expected some as TARGET:REFERENCE"),
        ("--pairs T2:T2", 2, "Pair is 'T2:T2'; expected TARGET:REFERENCE"),
        ("--pairs T2:T1 --mask m.nii", 2, "--mask does not go with --data"),
        ("--pairs T2:T1 --against magic", 2, "--against is 'magic'; expected one of the rows nearest"),
        ("--pairs T2:T1 --probe lesions --figure e.png", 2, "Probe 'lesions' draws no figure"),
        ("--pairs T2:T1 --methods guided:reference=upside", 2, "is 'upside'; expected one of full, low, none"),
    ],
)
def test_folders_that_do_not_fit(evaluated, tmp_path, command, code, message):
    found = evaluated(command)
    assert found[0] == code and message in found[2] and not list(tmp_path.iterdir())


def test_neither_files_nor_a_folder(evaluated):
    code, _, err = evaluated("", data=False)
    assert code == 2 and "Target is None and --data is None; expected one of them" in err
    code, _, err = evaluated("t2.nii --subjects one", data=False)
    assert code == 2 and "--subjects does not go with files" in err
    with pytest.raises(SystemExit):
        evaluated("--scales 2x3x4")


def test_probes(evaluated):
    code, out, _ = evaluated("--subjects one --pairs T2:T1 --scales 2 --methods guided --probe lesions --json")
    found = json.loads(out)
    assert code == 0 and found["subjects"] == ["one"] and {r["method"] for r in found["results"]} == {"sinc", "guided"}
    code, out, _ = evaluated("--subjects one --pairs T2:T1 --scales 2 --probe robustness")
    assert code == 0 and "Wrong references" in out and "guided" in out and "shifted" in out


def test_p4_of_two_files(evaluated, masked_pair, tmp_path):
    for volume in masked_pair[:2]:
        save_volume(volume, tmp_path / f"{volume.name}.nii")
    code, out, _ = evaluated("T2.nii T1.nii --preset p4 --degradation slab --methods bspline --slices 3", data=False)
    assert code == 0 and "T1 ← T2" in out and "MI error, both predicted" in out
    code, _, err = evaluated("T2.nii T1.nii --preset p4 --register auto", data=False)
    assert code == 2 and "expected registration 'off'" in err


@pytest.mark.parametrize(
    ("preset", "scales", "better"),
    [
        ("p1", "1.5 2x1.3 2.7", "guided"),
        ("P2", "1.5 2x1.3 2.7", "guided"),
        ("p3", "1.5 2x1.3 2.7", "guided"),
        ("p4", "1.5 2.7", "bspline"),
    ],
)
def test_presets_at_scales_that_are_not_whole(evaluated, masked_pair, tmp_path, preset, scales, better):
    for volume in masked_pair[:2]:
        save_volume(volume, tmp_path / f"{volume.name}.nii")
    command = f"T2.nii T1.nii --preset {preset} --scales {scales} --methods {better} --slices 4 --json"
    code, out, err = evaluated(command, data=False)
    assert code == 0, err
    found = [r for r in json.loads(out)["results"] if r["pair"] == ["T2", "T1"]]
    psnr = {row: [r["metrics"]["psnr"]["mean"] for r in found if r["method"] == row] for row in ("sinc", better)}
    assert len(psnr["sinc"]) == len(scales.split())
    # the coarser, the worse, and what knows more is better at each
    assert all(values == sorted(values, reverse=True) for values in psnr.values())
    assert all(a > b for a, b in zip(psnr[better], psnr["sinc"], strict=True))
