"""What is stated about a scan beside its voxels: side-cars, slice thickness by hand, replaced NaN; frames of one."""

from __future__ import annotations

import json

import numpy as np
import pytest
import SimpleITK as sitk
from file_fixtures import OBLIQUE, TO_LPS

import MultiContrastSRLib as mc
from MultiContrastSRLib.acquisition.model import AcquisitionModel
from MultiContrastSRLib.core.errors import InputError
from MultiContrastSRLib.io.amend import with_finite_values, with_slice_thickness

THICK = np.diag([1.0, 1.0, 5.0, 1.0])


@pytest.fixture
def thick():
    return mc.Volume(np.random.default_rng(0).random((6, 40, 40)), THICK, "T2")


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd"])
def test_a_sidecar_states_the_thickness(tmp_path, thick, suffix):
    path = mc.save_volume(thick, tmp_path / f"T2{suffix}")
    assert "slice_thickness" not in mc.load_volume(path).metadata
    (tmp_path / "T2.json").write_text(json.dumps({"SliceThickness": 4, "SpacingBetweenSlices": 5.0, "EchoTime": 0.1}))
    volume = mc.load_volume(path)
    assert volume.metadata["slice_thickness"] == 4 and volume.metadata["spacing_between_slices"] == 5
    model = AcquisitionModel.estimate(volume)
    assert model.axes[0].thickness == 4 and not model.assumptions


@pytest.mark.parametrize("text", ["", "[1]", "{", '{"SliceThickness": "4"}', '{"SliceThickness": -4}', "\udce4"])
def test_other_sidecars_are_ignored(tmp_path, thick, text):
    path = mc.save_volume(thick, tmp_path / "T2.nii")
    (tmp_path / "T2.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    assert "slice_thickness" not in mc.load_volume(path).metadata


def test_a_stated_thickness_is_modelled(thick):
    volume = with_slice_thickness(thick, 3.5)
    assert AcquisitionModel.estimate(volume).axes[0].thickness == 3.5 and "warnings" not in volume.metadata
    for value in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(InputError, match="expected a number above 0"):
            with_slice_thickness(thick, value)
    cube = with_slice_thickness(mc.Volume(thick.array, np.eye(4), "T1"), 3.0)
    assert "was not used: the voxels of T1 are isotropic" in cube.metadata["warnings"][0]


def test_nan_is_replaced_and_said(thick):
    array = thick.array.copy()
    array[0, 0, :2] = np.nan, np.inf
    fixed = with_finite_values(mc.Volume(array, THICK, "T2"), 0.5)
    assert fixed.array[0, 0, :2].tolist() == [0.5, 0.5] and np.array_equal(fixed.array[1:], array[1:])
    assert fixed.metadata["warnings"] == ("2 of 9600 voxels of T2 were NaN or infinite and were replaced by 0.5.",)
    assert with_finite_values(thick) is thick
    with pytest.raises(InputError, match="expected a finite number"):
        with_finite_values(thick, np.nan)


@pytest.mark.parametrize("suffix", [".nrrd", ".mha", ".mhd", ".nhdr"])
def test_one_frame_of_a_sequence_is_a_scan(tmp_path, suffix):
    frame = np.random.default_rng(0).random((4, 5, 6)).astype(np.float32)
    lps = TO_LPS @ OBLIQUE
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image = sitk.GetImageFromArray(frame[None], isVector=False)
    direction = np.eye(4)
    direction[:3, :3] = lps[:3, :3] / spacing
    image.SetSpacing([*spacing.tolist(), 1.0])
    image.SetOrigin([*lps[:3, 3].tolist(), 0.0])
    image.SetDirection(direction.ravel().tolist())
    sitk.WriteImage(image, str(tmp_path / f"a{suffix}"))
    volume = mc.load_volume(tmp_path / f"a{suffix}")
    assert np.array_equal(volume.array, frame) and np.abs(volume.affine - OBLIQUE).max() < 1e-5


def test_sidecars_above_hold_for_the_images_of_their_name(tmp_path, thick):
    anat = tmp_path / "sub-1" / "anat"
    anat.mkdir(parents=True)
    path = mc.save_volume(thick, anat / "sub-1_acq-fast_T2w.nii.gz")
    stated = {
        tmp_path / "T2w.json": {"SliceThickness": 4.5, "SpacingBetweenSlices": 5},
        tmp_path / "T1w.json": {"SliceThickness": 1},
        tmp_path / "acq-slow_T2w.json": {"SliceThickness": 2},
        tmp_path / "sub-1" / "sub-1_T2w.json": {"SliceThickness": 4},
    }
    for place, values in stated.items():
        place.write_text(json.dumps(values))
    assert "slice_thickness" not in mc.load_volume(path).metadata  # no dataset: only the side-car of the same name
    (tmp_path / "dataset_description.json").write_text("{}")
    metadata = mc.load_volume(path).metadata
    assert metadata["slice_thickness"] == 4 and metadata["spacing_between_slices"] == 5
    (anat / "sub-1_acq-fast_T2w.json").write_text(json.dumps({"SliceThickness": 3.5}))
    assert mc.load_volume(path).metadata["slice_thickness"] == 3.5


def test_a_sidecar_that_contradicts_the_header_is_not_used_and_said(tmp_path, thick):
    path = mc.save_volume(thick, tmp_path / "T2.nii.gz")
    (tmp_path / "T2.json").write_text(json.dumps({"SliceThickness": 20, "SpacingBetweenSlices": 6}))
    volume = mc.load_volume(path)
    assert not {"slice_thickness", "spacing_between_slices"} & set(volume.metadata)
    gap, thickness = volume.metadata["warnings"]
    assert "SpacingBetweenSlices 6 mm, the image's header 5 mm; the header's was used" in gap
    assert "SliceThickness 20 mm, the image's slices are 5 mm apart; it was not used" in thickness
