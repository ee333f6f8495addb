"""Names of files that are odd on disk, and outputs that are links: read and written, or refused as files."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from dicom_series import write_series

import MultiContrastSRLib as mc
from MultiContrastSRLib.core.errors import FileReadError, FileWriteError, InputError
from MultiContrastSRLib.io import check_output
from MultiContrastSRLib.io.files import check_different

posix = pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="names are Unicode on this system's disks")
LATIN = os.fsdecode(b"Sch\xe4del")  # a name from a disk of another character set


@posix
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_nifti_with_a_name_that_is_not_utf8(tmp_path, scan, suffix):
    path = mc.save_volume(scan, tmp_path / f"{LATIN}{suffix}")
    again = mc.load_volume(path)
    assert np.array_equal(again.array, scan.array) and again.name == LATIN
    assert np.abs(again.affine - scan.affine).max() < 1e-5


@posix
@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_itk_files_with_a_name_that_is_not_utf8_are_refused(tmp_path, scan, suffix):
    written = mc.save_volume(scan, tmp_path / f"a{suffix}")
    path = written.rename(tmp_path / f"{LATIN}{suffix}")
    with pytest.raises(FileReadError, match=r"has a name that is not valid UTF-8 .* Rename the file or its folder"):
        mc.load_volume(path)
    (tmp_path / LATIN).mkdir()
    with pytest.raises(FileWriteError, match=r"Output folder .* has a name that is not valid UTF-8"):
        mc.save_volume(scan, tmp_path / LATIN / f"a{suffix}")
    assert not list((tmp_path / LATIN).iterdir())


@posix
@pytest.mark.parametrize("which", ["folder", "file"])
def test_dicom_with_a_name_that_is_not_utf8_is_refused(tmp_path, which):
    folder = write_series(tmp_path / "scan", np.ones((3, 8, 9), np.int16), np.eye(4))
    if which == "folder":
        folder = folder.rename(tmp_path / LATIN)
    else:
        next(folder.iterdir()).rename(folder / LATIN)
    with pytest.raises(FileReadError, match="has a name that is not valid UTF-8"):
        mc.load_volume(folder)


@pytest.mark.parametrize("name", ["~t2.nii", "~", "~nobody"])
def test_names_with_a_tilde_that_is_no_home(tmp_path, monkeypatch, scan, name):
    monkeypatch.chdir(tmp_path)
    name = name if name.endswith(".nii") else f"{name}/t2.nii"
    (tmp_path / name).parent.mkdir(exist_ok=True)
    mc.save_volume(scan, tmp_path / name)
    assert np.array_equal(mc.load_volume(name).array, scan.array)
    if name.count("/") == 0:
        assert mc.save_volume(scan, "~out.mha") and (tmp_path / "~out.mha").is_file()


def test_a_tilde_is_the_home_folder(tmp_path, monkeypatch, scan):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert mc.save_volume(scan, "~/a.nii") == tmp_path / "a.nii" and mc.load_volume("~/a.nii").name == "a"


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".mha"])
def test_the_longest_name_is_written(tmp_path, scan, suffix):
    path = tmp_path / ("a" * (255 - len(suffix)) + suffix)
    assert np.array_equal(mc.load_volume(mc.save_volume(scan, path)).array, scan.array)
    assert [place.name for place in tmp_path.iterdir()] == [path.name]
    with pytest.raises(FileWriteError, match=r"File name too long. Nothing was left behind. Choose another name"):
        check_output(path.with_name("a" + path.name))
    with pytest.raises(FileReadError, match="cannot be read: File name too long"):
        mc.load_volume(path.with_name("a" + path.name))


def test_names_with_the_separator_of_series(tmp_path, scan):
    path = mc.save_volume(scan, tmp_path / "a::b.nii")
    assert np.array_equal(mc.load_volume(path).array, scan.array)
    with pytest.raises(InputError, match=r"names the DICOM series '1.2.3' of a file; .* Give .*b.nii alone"):
        mc.load_volume(f"{path}::1.2.3")
    with pytest.raises(FileReadError, match=r"File .*absent does not exist"):
        mc.load_volume(tmp_path / "absent::1.2.3")


@pytest.mark.parametrize("present", [True, False])
def test_a_link_as_output_leads_to_the_file(tmp_path, scan, present):
    (tmp_path / "disk").mkdir()
    file, link = tmp_path / "disk" / "real.nii", tmp_path / "link.nii"
    if present:
        file.write_text("earlier")
    link.symlink_to(file)
    assert mc.save_volume(scan, link) == link
    assert link.is_symlink() and not file.is_symlink()
    assert np.array_equal(mc.load_volume(file).array, scan.array)
    assert [place.name for place in (tmp_path / "disk").iterdir()] == ["real.nii"]
    with pytest.raises(FileWriteError, match="is also an input"):
        mc.save_volume(mc.load_volume(file), link)


def test_outputs_of_one_command_are_different_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "same").symlink_to(tmp_path)
    check_different({"--csv": Path("a.csv"), "--markdown": Path("a.md")})
    for other in (Path("a.csv"), tmp_path / "a.csv", Path("same/a.csv")):
        with pytest.raises(
            FileWriteError, match=r"Output a.csv is both --csv and --markdown; expected different files"
        ):
            check_different({"--csv": Path("a.csv"), "--figure": Path("a.png"), "--markdown": other})


@posix
def test_pipes_are_no_output(tmp_path):
    os.mkfifo(tmp_path / "pipe.nii")
    with pytest.raises(FileWriteError, match="is a device or a pipe"):
        check_output(tmp_path / "pipe.nii")
