"""Files that are written: all or nothing, never over an input, results with their report."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from file_fixtures import SUFFIXES

import MultiContrastSRLib as mc
from MultiContrastSRLib.core.errors import CancelledError, FileWriteError
from MultiContrastSRLib.io import check_output


def test_unknown_extension_and_missing_folder(tmp_path, scan):
    with pytest.raises(FileWriteError) as caught:
        mc.save_volume(scan, tmp_path / "a.img")
    assert str(caught.value) == (
        f"Output {tmp_path}/a.img has an unknown extension; expected .nii, .nii.gz, .nrrd, .mha. Rename it, for "
        "example to a.nii.gz."
    )
    with pytest.raises(FileWriteError) as caught:
        mc.save_volume(scan, tmp_path / "no" / "a.nii")
    assert str(caught.value) == (
        f"Output folder {tmp_path}/no does not exist; expected an existing folder. Create it first."
    )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_scan_is_never_written_over_itself(tmp_path, scan, suffix):
    path = mc.save_volume(scan, tmp_path / f"a{suffix}")
    before = path.read_bytes()
    (tmp_path / f"link{suffix}").symlink_to(path)
    volume = mc.load_volume(path)
    for name in (f"a{suffix}", f"link{suffix}"):
        with pytest.raises(FileWriteError, match="is also an input; expected another name"):
            mc.save_volume(volume, tmp_path / name)
    assert path.read_bytes() == before


def test_existing_files_are_kept_when_asked(tmp_path, scan):
    path = mc.save_volume(scan, tmp_path / "a.nii")
    assert mc.save_volume(scan, path) == path
    with pytest.raises(FileWriteError) as caught:
        mc.save_volume(scan, path, overwrite=False)
    assert str(caught.value) == (f"Output {path} exists already; choose another name, or allow it (--overwrite).")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_cancelled_saving_leaves_the_earlier_file(tmp_path, suffix):
    big = mc.Volume(np.random.default_rng(0).random((40, 200, 200)), np.eye(4))
    path = tmp_path / f"a{suffix}"
    path.write_text("earlier")
    asked = iter([False, True])
    with pytest.raises(CancelledError, match="Cancelled during save"):
        mc.save_volume(big, path, cancel=lambda: next(asked))
    assert [p.name for p in tmp_path.iterdir()] == [path.name] and path.read_text() == "earlier"


def test_progress_of_saving(tmp_path, scan):
    seen = []
    mc.save_volume(scan, tmp_path / "a.nii.gz", progress=lambda fraction, stage: seen.append((fraction, stage)))
    assert seen[0] == (0.0, "save") and seen[-1] == (1.0, "save")


FULL_DISK = """
import resource, sys, numpy as np
import MultiContrastSRLib as mc
volume = mc.Volume(np.random.default_rng(0).random((20, 100, 100)), np.eye(4))
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    mc.save_volume(volume, sys.argv[1])
except mc.MultiContrastSRError as error:
    print(type(error).__name__, error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits of file size are a matter of POSIX")
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_full_disk_leaves_nothing(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(path)], capture_output=True, text=True, cwd=Path(mc.__file__).parents[1]
    )
    said = done.stdout.strip()
    assert said.startswith(f"FileWriteError Could not write {path}: "), done.stderr
    assert said.endswith(". Nothing was left behind. Choose a folder that is writable and has space."), done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("before_the_work", [True, False])
def test_an_unwritable_folder_is_named(unwritable, scan, before_the_work):
    with pytest.raises(FileWriteError) as caught:
        if before_the_work:
            check_output(unwritable / "a.nii.gz")
        else:
            mc.save_volume(scan, unwritable / "a.nii.gz")
    assert str(caught.value) == (
        f"Could not write {unwritable}/a.nii.gz: Permission denied. Nothing was left behind. Choose a folder that is "
        "writable and has space."
    )


# ---------------------------------------------------------------------- results


@pytest.fixture
def result():
    volume = mc.Volume(np.random.default_rng(0).random((3, 16, 16)), np.diag([1, 1, 3, 1]), "T2")
    return mc.super_resolve(volume, method="linear", scale=2)


def test_a_result_comes_with_its_report(tmp_path, result):
    image, report = result.save(tmp_path / "T2.linear.nii.gz")
    assert image.name == "T2.linear.nii.gz" and report.name == "T2.linear.json"
    assert result.save(image) == (image, report)  # earlier results may be replaced
    assert '"method": "linear"' in report.read_text()
    assert np.array_equal(mc.load_volume(image).array, result.volume.array)


def test_sidecars_of_scans_are_never_overwritten(tmp_path, result):
    sidecar = tmp_path / "T2.json"
    sidecar.write_text('{"EchoTime": 0.1}')
    with pytest.raises(FileWriteError, match="would overwrite a file that is no report of ours"):
        result.save(tmp_path / "T2.nrrd")
    assert [p.name for p in tmp_path.iterdir()] == ["T2.json"] and "EchoTime" in sidecar.read_text()


def test_results_never_replace_their_inputs(tmp_path):
    paths = [tmp_path / "T2.nii", tmp_path / "T1.nii"]
    for path in paths:
        mc.save_volume(mc.Volume(np.random.default_rng(0).random((3, 40, 40)), np.diag([1, 1, 3, 1])), path)
    result = mc.super_resolve(*paths, scale=2, register="off")
    for path in paths:
        with pytest.raises(FileWriteError, match="is also an input"):
            result.save(path)


def test_a_cancelled_result_leaves_neither_file(tmp_path, result):
    with pytest.raises(CancelledError):
        result.save(tmp_path / "a.nii", cancel=lambda: True)
    (tmp_path / "b.json").mkdir()
    with pytest.raises(FileWriteError, match=r"Report .*b.json would overwrite"):
        result.save(tmp_path / "b.nii")
    assert [p.name for p in tmp_path.iterdir()] == ["b.json"]


def test_compressed_files_are_gzip(tmp_path, scan):
    assert gzip.decompress(mc.save_volume(scan, tmp_path / "a.nii.gz").read_bytes())[344:347] == b"n+1"
