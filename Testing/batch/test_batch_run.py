"""A batch from the command line: results, what is kept on a second run, failures, and what is written about them."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from batch_fixtures import RECIPE, results_of, rows_of, run_batch, write_dataset, write_subject
from phantoms import pair

import MultiContrastSRLib as mc
from MultiContrastSRLib.batch.derivative import KEY
from MultiContrastSRLib.cli import main
from MultiContrastSRLib.samples.phantom import default_grid, head_phantom

pytest.importorskip("ancpbids")
pytestmark = pytest.mark.slow
LARGER = (6, 96, 88)  # in which scans without relation are told from others


def batch(*arguments: object) -> int:
    """Exit code of the command in this process; its workers are processes of their own."""
    return main(["batch", *map(str, arguments)])


def test_results_are_those_of_super_resolve_with_provenance_beside_them(dataset, tmp_path, capsys):
    output = tmp_path / "out"
    assert batch(dataset, output, "participant", *RECIPE, "--n-procs", 2) == 0
    assert "3 subjects: 3 done" in capsys.readouterr().out
    place = output / "sub-02/anat/sub-02_res-2x_desc-sr_T2w.nii.gz"
    anat = dataset / "sub-02/anat"
    expected = mc.super_resolve(anat / "sub-02_T2w.nii.gz", anat / "sub-02_T1w.nii.gz", scale=2, register="off")
    assert np.array_equal(mc.load_volume(place).array, expected.volume.array)
    sidecar = json.loads(place.with_name("sub-02_res-2x_desc-sr_T2w.json").read_text(encoding="utf-8"))
    assert sidecar["Sources"] == [f"bids:raw:sub-02/anat/sub-02_{suffix}.nii.gz" for suffix in ("T2w", "T1w")]
    assert sidecar["SkullStripped"] is False and sidecar["Resolution"].startswith("3 × 1 × 1 mm")
    assert sidecar[KEY]["Report"]["method"] == "guided" and sidecar[KEY]["Software"]["numpy"] == np.__version__
    assert [each["stated"] for each in sidecar[KEY]["Inputs"]] == [{"slice_thickness": 3.0}] * 2
    description = json.loads((output / "dataset_description.json").read_text(encoding="utf-8"))
    assert description["DatasetType"] == "derivative" and description["GeneratedBy"][0]["Name"] == "MultiContrastSR"
    assert (output / description["DatasetLinks"]["raw"] / "sub-01").is_dir()
    assert {row["state"] for row in rows_of(output).values()} == {"done"}


def test_a_second_run_makes_what_is_missing_or_different(dataset, tmp_path, capsys):
    output = tmp_path / "out"
    assert batch(dataset, output, *RECIPE) == 0
    before = {place: place.stat().st_mtime_ns for place in output.rglob("*_T2w.nii.gz")}
    first = results_of(output)
    place = output / "sub-01/anat/sub-01_res-2x_desc-sr_T2w.nii.gz"
    place.write_bytes(place.read_bytes()[:-20])  # damaged
    mc.save_volume(pair((4, 40, 36), 77)[1], dataset / "sub-02/anat/sub-02_T1w.nii.gz")  # another input
    os.utime(dataset / "sub-03/anat/sub-03_T2w.nii.gz")  # the same content
    assert batch(dataset, output, *RECIPE) == 0
    assert {k: row["state"] for k, row in rows_of(output).items()} == {"01": "done", "02": "done", "03": "unchanged"}
    after = {place: place.stat().st_mtime_ns for place in before}
    assert [after[p] == before[p] for p in sorted(before)] == [False, False, True]
    assert place.read_bytes() == first["sub-01/anat/sub-01_res-2x_desc-sr_T2w.nii.gz"]
    assert batch(dataset, output, *RECIPE, "--option", "strength=0.5") == 0  # other settings
    assert {row["state"] for row in rows_of(output).values()} == {"done"}


def test_one_grid_for_all_contrasts(dataset, tmp_path):
    """A reference that lies elsewhere: results are on its grid, and show at each place what it shows there."""
    anat = dataset / "sub-01" / "anat"
    truth = head_phantom("T1", default_grid((4, 2, 2)))
    shift = np.eye(4)
    shift[:3, 3] = 4, -3, 5
    mc.save_volume(mc.Volume(truth.array, shift @ truth.affine), anat / "sub-01_T1w.nii.gz")
    mc.save_volume(head_phantom("T2", default_grid((6, 4, 4))), anat / "sub-01_T2w.nii.gz")
    for place in anat.glob("*.json"):
        place.unlink()
    command = "--targets T2w --references T1w --grid reference --register on --skip-bids-validation".split()
    assert batch(dataset, tmp_path / "out", *command, "--participant-label", "01") == 0
    place = tmp_path / "out/sub-01/anat/sub-01_space-T1w_res-reference_desc-sr_T2w.nii.gz"
    result = mc.load_volume(place)
    assert result.grid.same_as(mc.load_volume(anat / "sub-01_T1w.nii.gz").grid)
    sidecar = json.loads(place.with_name(place.name[:-7] + ".json").read_text(encoding="utf-8"))
    assert sidecar["SpatialReference"] == "bids:raw:sub-01/anat/sub-01_T1w.nii.gz"
    # each voxel shows what the reference shows there: the same as with a reference in place
    expected = mc.prepare(anat / "sub-01_T2w.nii.gz", truth, register="off").render(truth.grid)
    assert np.corrcoef(result.array.ravel(), expected.array.ravel())[0, 1] > 0.99
    transform = sitk.ReadTransform(str(next(place.parent.glob("*_xfm.txt"))))
    # resampling asks, for a point of the target, where the reference has it
    point = np.array([5.0, 6.0, 7.0])
    expected = point + np.array([-shift[0, 3], -shift[1, 3], shift[2, 3]])
    assert np.abs(np.array(transform.TransformPoint(point)) - expected).max() < 1.0


@pytest.mark.parametrize("scale", [1, 2])
def test_the_reference_itself_is_on_the_grid_of_the_reference(dataset, tmp_path, scale):
    anat = dataset / "sub-01/anat"
    command = "--targets T1w --references T1w --grid reference --skip-bids-validation --participant-label 01".split()
    command += [] if scale == 1 else ["--scale", str(scale)]
    assert batch(dataset, tmp_path / "out", *command) == 0
    (place,) = (tmp_path / "out").rglob("*.nii.gz")
    assert f"_res-{'reference' if scale == 1 else '2x'}_" in place.name
    grid = mc.load_volume(anat / "sub-01_T1w.nii.gz").grid
    assert mc.load_volume(place).grid.same_as(grid if scale == 1 else grid.scaled(2.0))


def test_native_spacing_and_runs(dataset, tmp_path):
    anat = dataset / "sub-03" / "anat"
    for run in ("1", "2"):
        shutil.copy(anat / "sub-03_T2w.nii.gz", anat / f"sub-03_run-{run}_T2w.nii.gz")
    (anat / "sub-03_T2w.nii.gz").unlink()
    command = (
        "--targets",
        "T2w",
        "--method",
        "linear",
        "--spacing",
        "native-min",
        "--runs",
        "all",
        "--skip-bids-validation",
    )
    assert batch(dataset, tmp_path / "out", *command, "--participant-label", "03") == 0
    made = sorted((tmp_path / "out").rglob("*.nii.gz"))
    assert [p.name for p in made] == [f"sub-03_run-{r}_res-nativemin_desc-sr_T2w.nii.gz" for r in "12"]
    assert np.allclose(mc.load_volume(made[0]).spacing, 2.0)  # the scan's: 3 mm slices of 2 mm pixels


# ------------------------------------------------------------------ subjects that fail


def test_defects_are_in_the_table_with_their_remedies_and_the_others_are_done(tmp_path, capsys):
    dataset = write_dataset(tmp_path / "bids", ["01", "02", "03"], LARGER)

    def spoil(label, name, change):
        anat = write_subject(dataset, label, int(label), LARGER)
        change(anat / f"sub-{label}_{name}.nii.gz")

    def cut(place):
        place.write_bytes(place.read_bytes()[: place.stat().st_size // 2])

    def four_dimensional(place):
        nibabel.save(nibabel.Nifti1Image(np.zeros((8, 8, 4, 3), np.float32), np.eye(4)), place)

    def turned(place):
        """The axes of the voxels, but not of the header."""
        volume = mc.load_volume(place)
        array = np.ascontiguousarray(np.flip(volume.array, (1, 2)))
        mc.save_volume(mc.Volume(array, volume.affine), place)

    def of_another(place):
        mc.save_volume(pair(LARGER, 99)[1], place)

    def duplicated(place):
        for run in "12":
            shutil.copy(place, place.with_name(place.name.replace("_T2w", f"_run-{run}_T2w")))
        place.unlink()

    def contradicting(place):
        place.with_name(place.name[:-7] + ".json").write_text('{"SpacingBetweenSlices": 6}')

    spoil("11", "T1w", Path.unlink)
    spoil("12", "T2w", cut)
    spoil("13", "T2w", four_dimensional)
    spoil("14", "T1w", turned)
    spoil("15", "T1w", of_another)
    spoil("16", "T2w", duplicated)
    spoil("17", "T2w", contradicting)
    spoil("18", "T2w", lambda place: None)
    output = tmp_path / "out"
    (output / "sub-18").mkdir(parents=True)
    (output / "sub-18" / "anat").write_text("in the way of the folder")
    assert batch(dataset, output, *RECIPE) == 1
    rows = rows_of(output)
    assert all(rows[label]["state"] == "done" and rows[label]["warnings"] == "n/a" for label in ("01", "02", "03"))
    failed = {
        "11": ("No reference for T2w was found", "Add the scan"),
        "12": ("truncated", "Copy or download it again."),
        "13": ("4-D", "Extract one frame first."),
        "16": ("2 runs of T2w", "Set runs to first, last or all"),
        "18": ("cannot be made", "Remove what is in its place"),
    }
    for label, (message, remedy) in failed.items():
        assert rows[label]["state"] == "failed" and message in rows[label]["message"], rows[label]
        assert remedy in rows[label]["remedy"], rows[label]
    for label in ("14", "15"):  # not used, or conspicuous among the others
        said = rows[label]["message"] + rows[label]["warnings"]
        assert "no relation to the target" in said or "far below the study's median" in said, rows[label]
        assert "one patient" in said or "Choose a scan" in said + rows[label]["remedy"], rows[label]
    assert "SpacingBetweenSlices 6 mm" in rows["17"]["warnings"] and "Check which" in rows["17"]["warnings"]
    printed = capsys.readouterr()
    assert "sub-13  T2w: File" in printed.out and "subjects failed; the others are done" in printed.err
    assert not list(output.rglob(".????????.*"))


def test_no_space_left_fails_one_subject(dataset, tmp_path):
    resource = pytest.importorskip("resource")
    big = write_subject(dataset, "04", 4, (6, 160, 150))
    assert big.is_dir()
    output = tmp_path / "out"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, limits[1]))  # inherited by the workers
    try:
        code = batch(dataset, output, *RECIPE)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    rows = rows_of(output)
    assert code == 1 and [rows[label]["state"] for label in ("01", "02", "03", "04")] == ["done"] * 3 + ["failed"]
    assert "Could not write" in rows["04"]["message"] and "writable and has space" in rows["04"]["remedy"]
    assert not [place for place in (output / "sub-04").rglob("*") if place.is_file()]


def test_uneven_slices_fail_one_subject(tmp_path, capsys):
    from dicom_series import write_series

    pytest.importorskip("pydicom")
    scan = pair((6, 32, 32))[0]
    for name in ("even", "uneven"):
        (tmp_path / "scans" / name).mkdir(parents=True)
        write_series(tmp_path / "scans" / name / "T2", np.rint(scan.array).astype(np.int16), scan.affine)
    uneven = sorted((tmp_path / "scans/uneven/T2").iterdir())
    uneven[2].unlink()
    command = ("--scans", "{subject}/{contrast}", "--targets", "T2", "--method", "linear")
    assert batch(tmp_path / "scans", tmp_path / "out", *command) == 1
    rows = rows_of(tmp_path / "out")
    assert rows["even"]["state"] == "done" and rows["uneven"]["state"] == "failed" and rows["uneven"]["remedy"]
    assert "1 of 2 subjects failed; the others are done. Mend" in capsys.readouterr().err
    shutil.rmtree(tmp_path / "scans/even")
    assert batch(tmp_path / "scans", tmp_path / "none", *command) == 1
    assert "1 of 1 subjects failed. Mend" in capsys.readouterr().err


# ------------------------------------------------------------------ the command


def test_a_plain_layout_has_no_description_of_a_dataset(dataset, tmp_path):
    command = ("--scans", "{subject}/anat/*_{contrast}.nii.gz", "--targets", "T2w", "--method", "linear")
    assert batch(dataset, tmp_path / "out", *command) == 0
    assert (tmp_path / "out/sub-01/T2w_res-2x_sr.nii.gz").is_file() and len(rows_of(tmp_path / "out")) == 3
    assert not (tmp_path / "out/dataset_description.json").exists()


def test_a_stream_of_json(dataset, tmp_path, capsys):
    assert batch(dataset, tmp_path / "out", *RECIPE, "--json", "--participant-label", "01", "02") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    results = [line for line in lines if line["event"] == "result"]
    assert [line["state"] for line in results] == ["done", "done"] and results[-1]["done"] == results[-1]["of"] == 2
    assert lines[-1]["event"] == "end" and lines[-1]["states"] == {"done": 2}
    assert lines[0] == {"event": "plan", "subjects": ["sub-01", "sub-02"], "done": 0, "of": 2}
    assert {"plan", "start", "progress", "result", "end"} == {line["event"] for line in lines}


def test_shares_of_an_array_make_one_table(dataset, tmp_path):
    for part in ("1/2", "2/2"):
        assert batch(dataset, tmp_path / "out", *RECIPE, "--array", part) == 0
    assert [row["state"] for row in rows_of(tmp_path / "out").values()] == ["done"] * 3


def test_the_table_is_of_one_recipe(dataset, tmp_path):
    assert batch(dataset, tmp_path / "out", *RECIPE, "--n-procs", 2) == 0
    assert batch(dataset, tmp_path / "out", *RECIPE, "--scale", "1.5", "--participant-label", "01") == 0
    assert [row["state"] for row in rows_of(tmp_path / "out").values()] == ["done", "not started", "not started"]
    assert batch(dataset, tmp_path / "out", *RECIPE) == 0
    assert [row["state"] for row in rows_of(tmp_path / "out").values()] == ["unchanged"] * 3


def test_the_group_level_rewrites_table_and_pages(dataset, tmp_path):
    output = tmp_path / "out"
    assert batch(dataset, output, *RECIPE, "--participant-label", "01") == 0
    (output / "batch.tsv").unlink()
    (output / "batch.html").unlink()
    assert batch(dataset, output, "group", *RECIPE) == 0
    assert [row["state"] for row in rows_of(output).values()] == ["done", "not started", "not started"]
    assert "sub-01.html" in (output / "batch.html").read_text(encoding="utf-8")


def test_results_that_are_gone_are_missing_and_named(dataset, tmp_path, capsys):
    output = tmp_path / "out"
    assert batch(dataset, output, *RECIPE) == 0
    name = "sub-02/anat/sub-02_res-2x_desc-sr_T2w.nii.gz"
    (output / name).unlink()
    capsys.readouterr()
    assert batch(dataset, output, "group", *RECIPE) == 0
    out, row = capsys.readouterr().out, rows_of(output)["02"]
    assert "3 subjects: 2 done, 1 missing" in out and f"sub-02  T2w: Result {name} was made and is gone. Run" in out
    assert (row["state"], row["images"], row["outputs"]) == ("missing", "0/1", "n/a") and name in row["message"]
    assert f"{name} was made and is gone" in (output / "sub-02.html").read_text(encoding="utf-8")
    assert batch(dataset, output, *RECIPE) == 0
    assert [row["state"] for row in rows_of(output).values()] == ["unchanged", "done", "unchanged"]


def test_pages_show_pictures_and_say_what_failed(dataset, tmp_path):
    output = tmp_path / "out"
    (dataset / "sub-02/anat/sub-02_T1w.nii.gz").unlink()
    assert batch(dataset, output, *RECIPE) == 1
    good, bad = ((output / f"sub-0{n}.html").read_text(encoding="utf-8") for n in (1, 2))
    assert "No reference for T2w" in bad
    pictures = [line.partition('src="')[2].partition('"')[0] for line in good.splitlines() if "<img" in line]
    assert len(pictures) == 2
    for name in pictures:
        image = sitk.GetArrayFromImage(sitk.ReadImage(str(output / name)))
        assert image.std() > 10 and min(image.shape[:2]) > 100
    edges = sitk.GetArrayFromImage(sitk.ReadImage(str(output / pictures[1])))
    assert (edges == (255, 140, 0)).all(axis=-1).any()
    table = (output / "batch.html").read_text(encoding="utf-8")
    assert ">None<" not in table and ">True<" not in table and " UTC on " in good
    assert "; residual " in good and "residual_after" not in good
    assert "data-sort" in table and "1 failed, 2 done" in table.replace("2 done, 1 failed", "1 failed, 2 done")


def test_outputs_that_would_harm_are_refused(dataset, tmp_path, capsys):
    assert batch(dataset, dataset, *RECIPE) == 4
    assert "is the input folder" in capsys.readouterr().err
    assert batch(dataset, dataset, "group", *RECIPE) == 4
    assert not (dataset / "logs").exists() and not (dataset / ".multicontrastsr").exists()
    other = tmp_path / "fmriprep"
    other.mkdir()
    (other / "dataset_description.json").write_text('{"GeneratedBy": [{"Name": "fMRIPrep"}]}')
    assert batch(dataset, other, *RECIPE) == 4
    assert "did not make" in capsys.readouterr().err
    assert batch(dataset, tmp_path / "out", *RECIPE, "--array", "3/2") == 2
    assert "expected I/N" in capsys.readouterr().err


def test_flags_of_bids_apps_are_understood(dataset, tmp_path):
    code, out, err = run_batch(
        dataset, tmp_path / "out", "participant", "--participant_label", "01", "--n_cpus", 2, "--mem-mb", 8000,
        "-w", tmp_path / "work", *RECIPE,
    )  # fmt: skip
    assert code == 0, err
    assert "[1/1] sub-01: done" in err and "1 subjects: 1 done" in out and (tmp_path / "work").is_dir()
