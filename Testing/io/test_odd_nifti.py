"""NIfTI headers that are a rounding error off, incomplete or contradictory: read by what is good in them."""

from __future__ import annotations

import gzip

import nibabel
import numpy as np
import pytest
from file_fixtures import OBLIQUE
from phantoms import affine

import MultiContrastSRLib as mc
from MultiContrastSRLib.core.errors import FileReadError

PLACE = affine((1.0, 1.5, 4.0), origin=(7, -8, 9))
VOXELS = np.random.default_rng(0).integers(0, 900, (7, 6, 5)).astype(np.int16)


@pytest.fixture
def written(tmp_path):
    """Write a good file (qform and sform the same) after `edit(header)`, whatever the header then says."""

    def write(edit=lambda header: None, place=PLACE, kind=nibabel.Nifti1Image, suffix=".nii"):
        image = kind(VOXELS, place)
        image.header.set_xyzt_units("mm")
        image.set_qform(place, 1)
        image.set_sform(place, 1)
        path = tmp_path / "a.nii"
        nibabel.save(image, path)
        raw = bytearray(path.read_bytes())
        size = image.header.template_dtype.itemsize
        header = np.frombuffer(raw[:size], image.header.template_dtype).copy()[0]
        edit(header)
        raw[:size] = header.tobytes()
        path.unlink()
        path = tmp_path / f"a{suffix}"
        path.write_bytes(gzip.compress(raw) if suffix == ".nii.gz" else raw)
        return path

    return write


def long_quaternion(header, length=1.0000033):
    header["quatern_b"], header["quatern_c"], header["quatern_d"] = [np.sqrt(length / 3)] * 3


@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
def test_a_quaternion_that_is_too_long_by_rounding(written, kind):
    volume = mc.load_volume(written(long_quaternion, kind=kind))
    assert np.allclose(volume.affine, PLACE) and np.array_equal(volume.array, VOXELS.T)

    def without_sform(header):
        long_quaternion(header)
        header["sform_code"] = 0

    volume = mc.load_volume(written(without_sform, kind=kind))
    turned = np.eye(3)[[1, 2, 0]].T  # a third of a turn about the space diagonal, or its inverse
    axes = volume.affine[:3, :3] / np.linalg.norm(volume.affine[:3, :3], axis=0)
    assert np.allclose(axes, -np.eye(3) + 2 / 3 * np.ones((3, 3)), atol=1e-5) or np.allclose(axes, turned, atol=1e-5)
    assert np.allclose(volume.spacing, (4, 1.5, 1))


@pytest.mark.parametrize("seed", range(5))
def test_the_qform_is_what_nibabel_computes(written, seed):
    rng = np.random.default_rng(seed)
    place = affine(
        rng.uniform(0.4, 5, 3), rng.uniform(-3, 3, 3), rng.choice([-1, 1], 3), origin=rng.uniform(-99, 99, 3)
    )

    def only_qform(header):
        header["sform_code"] = 0

    path = written(only_qform, place=place)
    assert np.allclose(mc.load_volume(path).affine, nibabel.load(path).get_qform(), atol=1e-4)


@pytest.mark.parametrize("code", [4, 12, 7 | 8])
def test_unknown_units_are_millimetres(written, code):
    volume = mc.load_volume(written(lambda header: header.__setitem__("xyzt_units", code)))
    assert np.allclose(volume.affine, PLACE)
    assert volume.metadata["warnings"] == (
        f"The file's unit of length (code {code & 7}) is not known; millimetres were assumed.",
    )


def test_units_that_make_voxels_implausible_are_said(written):
    volume = mc.load_volume(written(lambda header: header.__setitem__("xyzt_units", 1)))
    assert volume.spacing == (4000, 1500, 1000)
    assert volume.metadata["warnings"] == (
        "Voxels measure 4000 × 1500 × 1000 mm (slices × rows × columns); expected 0.01 to 100 mm. Check the file's "
        "unit of length.",
    )


@pytest.mark.parametrize("offset", [0, -1, 100, 348, np.nan])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
def test_voxels_begin_behind_the_header(written, offset, suffix, kind):
    if kind is nibabel.Nifti2Image and np.isnan(offset):
        pytest.skip("NIfTI-2 states whole numbers")
    path = written(lambda header: header.__setitem__("vox_offset", offset), kind=kind, suffix=suffix)
    volume = mc.load_volume(path)
    assert np.array_equal(volume.array, VOXELS.T) and np.allclose(volume.affine, PLACE)


def broken(value):
    def edit(header):
        for row in "xyz":
            header[f"srow_{row}"] = value

    return edit


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf, 1.0])
def test_a_good_qform_replaces_a_broken_sform(written, value):
    volume = mc.load_volume(written(broken(value), place=OBLIQUE))
    assert np.allclose(volume.affine, OBLIQUE, atol=1e-4)
    assert volume.metadata["warnings"] == ("The file's sform is not a valid affine; the qform was used.",)


def test_a_good_sform_stands_without_a_good_qform(written):
    def edit(header):
        header["quatern_b"], header["pixdim"][1] = np.nan, 0

    volume = mc.load_volume(written(edit))
    assert np.allclose(volume.affine, PLACE)
    assert volume.metadata["warnings"] == ("The file's qform is not a valid affine; the sform was used.",)


@pytest.mark.parametrize("slope, inter", [(np.nan, 5.0), (0.0, 5.0), (1.0, np.nan), (np.inf, 0.0)])
def test_invalid_scaling_is_no_scaling(written, slope, inter):
    def edit(header):
        header["scl_slope"], header["scl_inter"] = slope, inter

    assert np.array_equal(mc.load_volume(written(edit)).array, VOXELS.T)


def test_unknown_data_types_and_sizes_are_refused(written):
    with pytest.raises(FileReadError, match="is no image that can be read"):
        mc.load_volume(written(lambda header: header.__setitem__("datatype", 77)))
    with pytest.raises(FileReadError, match="is no image that can be read"):
        mc.load_volume(written(lambda header: header["dim"].__setitem__(2, -6)))


@pytest.mark.parametrize("extra", [b"trailing text", b"\x1f\x8b not a stream", bytes(512)])
def test_bytes_after_the_compressed_data_are_no_damage(written, extra):
    path = written(suffix=".nii.gz")
    path.write_bytes(path.read_bytes() + extra)
    if extra.startswith(b"\x1f\x8b"):
        with pytest.raises(FileReadError, match="end early or are damaged"):
            mc.load_volume(path)
        return
    volume = mc.load_volume(path)
    assert np.array_equal(volume.array, VOXELS.T)
    padding = not extra.strip(b"\0")
    assert volume.metadata.get("warnings") == (
        None if padding else (f"{len(extra)} bytes that follow the compressed data were ignored.",)
    )


def test_streams_of_several_members_are_read(written):
    path = written()
    raw = path.read_bytes()
    packed = path.with_suffix(".nii.gz")
    packed.write_bytes(gzip.compress(raw[:400]) + gzip.compress(raw[400:]))
    assert np.array_equal(mc.load_volume(packed).array, VOXELS.T)


def test_offsets_that_single_precision_cannot_hold_are_said(tmp_path):
    image = nibabel.Nifti1Image(1e6 + VOXELS.astype(np.float64) / 900, PLACE)
    nibabel.save(image, tmp_path / "a.nii")
    (warning,) = mc.load_volume(tmp_path / "a.nii").metadata["warnings"]
    assert warning.startswith("Intensities range from 1000000 to 1000001, where 32-bit numbers are 0.12 apart.")
