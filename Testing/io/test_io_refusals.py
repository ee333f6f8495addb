"""Files that hold no scan, or are damaged: refused by name, with what to do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from file_fixtures import SUFFIXES, nifti

import MultiContrastSRLib as mc
from MultiContrastSRLib import io
from MultiContrastSRLib.core.errors import FileReadError, GeometryError, InputError, NotEnoughMemoryError


def colour(path: Path) -> Path:
    kind = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])
    return nifti(path, np.zeros((4, 5, 6), kind))


REFUSED = {
    "4-D": (
        lambda path: nifti(path, np.zeros((4, 5, 6, 3), "f4")),
        "is 4-D (3 frames of 4 × 5 × 6 voxels); expected one 3-D scan. Extract one frame first.",
    ),
    "vector": (
        lambda path: nifti(path, np.zeros((4, 5, 6, 1, 3), "f4")),
        "is 5-D (3 frames of 4 × 5 × 6 voxels); expected one 3-D scan. Extract one frame first.",
    ),
    "colour": (
        colour,
        "holds 3 values per voxel (colours or vectors); expected one grey-valued 3-D scan. Extract one channel first.",
    ),
    "complex": (
        lambda path: nifti(path, np.zeros((4, 5, 6), "c8")),
        "holds complex numbers; expected real ones. Take the magnitude first.",
    ),
    "labels": (
        lambda path: nifti(path, np.zeros((4, 5, 6), "u1"), intent_code=1002),
        "holds labels (a segmentation); expected a scan. Choose the scan that it was drawn on.",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_nifti_that_is_no_scan_is_refused(tmp_path, kind, suffix):
    make, message = REFUSED[kind]
    path = make(tmp_path / f"a{suffix}")
    with pytest.raises(InputError) as caught:
        mc.load_volume(path)
    assert str(caught.value) == f"File {path} {message}"


def test_fourth_axis_of_one_frame_is_fine(tmp_path):
    assert mc.load_volume(nifti(tmp_path / "a.nii", np.zeros((4, 5, 6, 1), "f4"))).shape == (6, 5, 4)


def test_labels_are_read_when_asked_for(tmp_path):
    path = nifti(tmp_path / "a.nii", np.ones((4, 5, 6), "u1"), intent_code=1002)
    assert io.load_volume(path, labels=True).array.max() == 1


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_itk_files_that_are_no_scan_are_refused(tmp_path, suffix):
    def refusal(array: np.ndarray, vector: bool = False, **keys: str) -> str:
        image = sitk.GetImageFromArray(array, isVector=vector)
        for key, text in keys.items():
            image.SetMetaData(key, text)
        path = str(tmp_path / f"a{suffix}")
        sitk.WriteImage(image, path)
        with pytest.raises(InputError) as caught:
            mc.load_volume(path)
        return str(caught.value).removeprefix(f"File {path} ")

    assert refusal(np.zeros((2, 3, 4, 5), "f4")) == (
        "is 4-D (2 frames of 5 × 4 × 3 voxels); expected one 3-D scan. Extract one frame first."
    )
    assert refusal(np.zeros((3, 4, 5, 3), "u1"), True) == (
        "holds 3 values per voxel (colours or vectors); expected one grey-valued 3-D scan. Extract one channel first."
    )
    assert refusal(np.zeros((3, 4), "f4")) == (
        "is 2-D (one image of 4 × 3 pixels); expected one 3-D scan. Give it a third axis of one slice first."
    )
    if suffix == ".nrrd":
        assert refusal(np.zeros((3, 4, 5), "u1"), Segment0_ID="Segment_1") == (
            "holds labels (a segmentation); expected a scan. Choose the scan that it was drawn on."
        )


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_truncated_files_are_refused_by_name(tmp_path, scan, suffix):
    path = mc.save_volume(scan, tmp_path / f"a{suffix}")
    whole = path.read_bytes()
    for kept in (0, 3, 200, len(whole) // 2, len(whole) - 12):
        path.write_bytes(whole[:kept])
        with pytest.raises(FileReadError) as caught:
            mc.load_volume(path)
        text = str(caught.value)
        assert str(path) in text and text.endswith(("Copy or download it again.", "or convert it.", "Convert it."))


def test_damaged_compression_is_refused(tmp_path, scan):
    path = mc.save_volume(scan, tmp_path / "a.nii.gz")
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 0xFF
    path.write_bytes(raw)
    expected = r"its compressed data end early or are damaged\. Copy or download it again\."
    with pytest.raises(FileReadError, match=expected):
        mc.load_volume(path)


def test_other_files_are_refused(tmp_path):
    for name, message in {
        "absent.nii": f"File {tmp_path}/absent.nii does not exist; expected an image. Check the path for typing "
        "errors.",
        "notes.txt": f"File {tmp_path}/notes.txt has an unknown extension; expected .nii, .nii.gz, .nrrd, .nhdr, .mha, "
        ".mhd, or a folder with a DICOM series. Convert it first.",
        "text.nii": f"File {tmp_path}/text.nii is no image that can be read; expected what its extension says. "
        "Convert it.",
        "text.mha": f"File {tmp_path}/text.mha is no image that can be read; expected what its extension says. "
        "Convert it.",
    }.items():
        if not name.startswith("absent"):
            (tmp_path / name).write_text("no image " * 200)
        with pytest.raises(FileReadError) as caught:
            mc.load_volume(tmp_path / name)
        assert str(caught.value) == message


@pytest.mark.parametrize("suffix", [".mha", ".nrrd"])
def test_zero_spacing_in_itk_files(tmp_path, suffix):
    path = mc.save_volume(mc.Volume(np.zeros((2, 3, 4)), np.eye(4)), tmp_path / f"a{suffix}")
    raw = path.read_bytes().replace(b"ElementSpacing = 1 1", b"ElementSpacing = 0 1").replace(b"(-1,0,0)", b"(0,0,0)")
    path.write_bytes(raw)
    with pytest.raises(GeometryError) as caught:
        mc.load_volume(path)
    assert str(caught.value) == (
        f"File {path} has zero spacing or axes that lie in one plane; expected three independent axes with spacing "
        "above 0 mm. Repair the image header."
    )


def test_a_header_that_promises_too_much_needs_no_memory(tmp_path, monkeypatch):
    path = nifti(tmp_path / "a.nii", np.zeros((4, 5, 6), "f4"))
    raw = bytearray(path.read_bytes())
    raw[42:48] = np.array([30000] * 3, "<i2").tobytes()
    path.write_bytes(raw)
    with pytest.raises(NotEnoughMemoryError, match=f"File {path} of 30000 × 30000 × 30000 samples"):
        mc.load_volume(path)
