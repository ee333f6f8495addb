"""Files that are read, our own and others': voxels and place as independent readers see them."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from file_fixtures import OBLIQUE, SHEARED, SUFFIXES, TO_LPS, nifti
from hypothesis import given, settings
from hypothesis import strategies as st
from phantoms import affine, real_scan

import MultiContrastSRLib as mc
from MultiContrastSRLib.core.errors import GeometryError, InputError

volumes = st.builds(
    lambda shape, matrix, seed: mc.Volume(np.random.default_rng(seed).normal(0, 900, shape), matrix, "scan"),
    st.tuples(*[st.integers(1, 7)] * 3),
    st.builds(
        affine,
        st.tuples(*[st.floats(0.2, 6.0)] * 3),
        st.tuples(*[st.floats(-3.1, 3.1)] * 3),
        st.tuples(*[st.sampled_from([1, -1])] * 3),
        st.permutations([0, 1, 2]),
        st.tuples(*[st.floats(-120, 120)] * 3),
    ),
    st.integers(0, 99),
)


def itk_affine(image: sitk.Image) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    matrix[:3, 3] = image.GetOrigin()
    return TO_LPS @ matrix


# ---------------------------------------------------------------------- round trips


@pytest.mark.parametrize("suffix", SUFFIXES)
@settings(max_examples=40, deadline=None, derandomize=True)
@given(volume=volumes)
def test_round_trip_keeps_voxels_and_affine(tmp_path_factory, suffix, volume):
    folder = tmp_path_factory.getbasetemp() / suffix  # its own: ITK takes a.nii.gz for a.nii beside it
    folder.mkdir(exist_ok=True)
    path = folder / f"round{suffix}"
    again = mc.load_volume(mc.save_volume(volume, path))
    assert np.array_equal(again.array, volume.array)
    assert np.abs(again.affine - volume.affine).max() <= 1e-5
    # the same as an independent reader sees it
    image = sitk.ReadImage(str(path))
    assert np.array_equal(sitk.GetArrayFromImage(image), volume.array)
    assert np.abs(itk_affine(image) - volume.affine).max() <= 1e-4
    if suffix.startswith(".nii"):
        other = nibabel.load(path)
        assert np.array_equal(other.get_fdata(dtype=np.float32).T, volume.array)
        # near half turns the real part of the format's 32-bit quaternion is lost: up to 5.5e-4 of a voxel's edge
        edges = np.array([*volume.spacing[::-1], 0.0])
        assert (np.abs(other.get_qform() - volume.affine) <= 6e-4 * edges + 1e-5).all()
        assert other.header["qform_code"] == 1  # the sform is exact
        assert np.abs(other.get_sform() - volume.affine).max() <= 1e-5 and other.header["sform_code"] == 1


def test_header_says_research_use_only(tmp_path, scan):
    header = nibabel.load(mc.save_volume(scan.renamed("T2 guided 2×" + "y" * 99), tmp_path / "a.nii.gz")).header
    text = header["descrip"].item().decode()
    assert text.startswith(f"MultiContrastSR {mc.__version__}; research use only, not for diagnosis; T2 guided 2?y")
    assert len(text) == 79 and header.get_xyzt_units()[0] == "mm"


def test_saving_twice_gives_the_same_bytes(tmp_path, scan):
    for suffix in SUFFIXES:
        paths = [mc.save_volume(scan, tmp_path / f"{n}{suffix}") for n in "ab"]
        assert paths[0].read_bytes() == paths[1].read_bytes()


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_sheared_grids_keep_their_affine_in_nifti(tmp_path, suffix):
    volume = mc.Volume(np.random.default_rng(0).random((3, 4, 5)), SHEARED, "tilted")
    path = mc.save_volume(volume, tmp_path / f"tilted{suffix}")
    assert np.abs(mc.load_volume(path).affine - SHEARED).max() <= 1e-6
    assert nibabel.load(path).header["qform_code"] == 0  # no rotation can say it


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_sheared_grids_are_refused_elsewhere(tmp_path, suffix):
    volume = mc.Volume(np.zeros((3, 4, 5)), SHEARED, "tilted")
    with pytest.raises(GeometryError) as caught:
        mc.save_volume(volume, tmp_path / f"tilted{suffix}")
    assert str(caught.value) == (
        "Volume 'tilted' is sheared (its axes i and j are 73.30° apart); expected right angles, for "
        f"{suffix} files are read wrongly otherwise. Save it as .nii or .nii.gz."
    )
    assert not list(tmp_path.iterdir())


def test_sheared_nrrd_of_others_is_read_as_it_is(tmp_path):
    image = sitk.GetImageFromArray(np.ones((3, 4, 5), np.float32))
    image.SetDirection((SHEARED[:3, :3] / (1, 1, 3)).ravel().tolist())
    image.SetSpacing((1, 1, 3))
    sitk.WriteImage(image, str(tmp_path / "a.nrrd"))
    assert np.abs(mc.load_volume(tmp_path / "a.nrrd").affine - TO_LPS @ SHEARED).max() < 1e-9


# ---------------------------------------------------------------------- files of others


@pytest.mark.parametrize("kind", ["u1", "i1", "i2", "u2", "i4", "f4", "f8", ">i2", ">f4"])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("image", [nibabel.Nifti1Image, nibabel.Nifti2Image])
def test_nifti_of_any_type_reads_as_nibabel_reads_it(tmp_path, kind, suffix, image):
    data = np.random.default_rng(0).integers(0, 120, (6, 5, 4)).astype(kind)
    header = image.header_class(endianness=">" if kind[0] == ">" else "<")
    header.set_data_dtype(kind)
    nibabel.save(image(data, OBLIQUE, header), tmp_path / f"a{suffix}")
    volume = mc.load_volume(tmp_path / f"a{suffix}")
    assert np.array_equal(volume.array, data.astype(np.float32).T) and volume.array.dtype == np.float32
    assert np.abs(volume.affine - OBLIQUE).max() < 1e-5 and volume.name == "a"


def test_scaled_integers(tmp_path):
    image = nibabel.Nifti1Image(np.random.default_rng(0).normal(5, 2, (6, 5, 4)), OBLIQUE)
    image.header.set_data_dtype(np.int16)
    nibabel.save(image, tmp_path / "scaled.nii")
    stored = nibabel.load(tmp_path / "scaled.nii")
    assert 0 < stored.dataobj.slope < 0.01 and stored.dataobj.inter != 0  # the file really is scaled
    volume = mc.load_volume(tmp_path / "scaled.nii")
    assert np.array_equal(volume.array, stored.get_fdata(dtype=np.float64).astype(np.float32).T)


def test_qform_alone_places_a_nifti(tmp_path):
    image = nibabel.Nifti1Image(np.zeros((6, 5, 4), np.float32), None)
    image.set_qform(OBLIQUE, 1)
    image.set_sform(None, 0)
    nibabel.save(image, tmp_path / "a.nii")
    volume = mc.load_volume(tmp_path / "a.nii")
    assert np.abs(volume.affine - OBLIQUE).max() < 1e-4 and "warnings" not in volume.metadata


def test_nifti_without_place_is_put_where_slicer_puts_it_and_says_so(tmp_path):
    image = nibabel.Nifti1Image(np.zeros((6, 5, 4), np.float32), None)
    image.header.set_zooms((0.5, 0.6, 3))
    nibabel.save(image, tmp_path / "a.nii")
    volume = mc.load_volume(tmp_path / "a.nii")
    assert np.allclose(volume.affine, itk_affine(sitk.ReadImage(str(tmp_path / "a.nii"))))
    assert volume.metadata["warnings"] == (
        "The file says nothing about orientation and position (sform and qform codes are 0); "
        "left-posterior-superior axes from the origin were assumed.",
    )


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_without_nibabel_as_inside_slicer(tmp_path, monkeypatch, scan, suffix):
    monkeypatch.setattr("MultiContrastSRLib.io.nifti._HAS_NIBABEL", False)
    again = mc.load_volume(mc.save_volume(scan, tmp_path / f"a{suffix}"))
    assert np.array_equal(again.array, scan.array) and np.abs(again.affine - scan.affine).max() <= 1e-5
    with pytest.raises(InputError, match="holds labels"):
        mc.load_volume(nifti(tmp_path / f"b{suffix}", np.ones((4, 5, 6), "u1"), intent_code=1002))
    with pytest.raises(GeometryError, match="sheared"):
        mc.save_volume(mc.Volume(scan.array, SHEARED), tmp_path / f"c{suffix}")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_bad_values_are_not_hidden(tmp_path, suffix):
    array = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    array[0, 1, 1], array[1, 2, 3] = np.nan, np.inf
    again = mc.load_volume(mc.save_volume(mc.Volume(array, np.eye(4)), tmp_path / f"a{suffix}"))
    # NIfTI's C library, and so ITK and Slicer, would read zeros in their place
    assert np.array_equal(again.array, array, equal_nan=True)


def test_a_neighbour_is_not_read_instead(tmp_path):
    for value, suffix in enumerate((".nii", ".nii.gz"), start=1):
        mc.save_volume(mc.Volume(np.full((2, 3, 4), value), affine([value] * 3)), tmp_path / f"a{suffix}")
    for value, suffix in enumerate((".nii", ".nii.gz"), start=1):
        volume = mc.load_volume(tmp_path / f"a{suffix}")  # NIfTI's C library takes a.nii for a.nii.gz
        assert volume.array.max() == value and volume.spacing == (value, value, value)


def test_disagreeing_affines_are_told(tmp_path):
    image = nibabel.Nifti1Image(np.zeros((6, 5, 4), np.float32), np.eye(4))
    image.set_qform(affine((1, 1, 1), origin=(0, 2, 0)), 1)
    nibabel.save(image, tmp_path / "a.nii")
    volume = mc.load_volume(tmp_path / "a.nii")
    assert np.array_equal(volume.affine, np.eye(4))
    assert volume.metadata["warnings"] == (
        "The file's two affines (sform and qform) lie up to 2.0 voxels apart; the sform was used.",
    )


def test_units_other_than_millimetres(tmp_path):
    image = nibabel.Nifti1Image(np.zeros((6, 5, 4), np.float32), affine((500, 600, 3000), origin=(1000, 0, 0)))
    image.header.set_xyzt_units("micron")
    nibabel.save(image, tmp_path / "a.nii")
    assert np.allclose(mc.load_volume(tmp_path / "a.nii").affine, affine((0.5, 0.6, 3), origin=(1, 0, 0)), atol=1e-6)


@pytest.mark.parametrize("suffix", [".nrrd", ".mha", ".mhd"])
def test_itk_files_of_integers(tmp_path, suffix):
    data = np.random.default_rng(0).integers(-900, 900, (4, 5, 6)).astype(np.int16)
    image = sitk.GetImageFromArray(data)
    lps = TO_LPS @ OBLIQUE
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    sitk.WriteImage(image, str(tmp_path / f"a{suffix}"), useCompression=True)
    volume = mc.load_volume(tmp_path / f"a{suffix}")
    assert np.array_equal(volume.array, data) and np.abs(volume.affine - OBLIQUE).max() < 1e-5


@pytest.mark.parametrize("contrast", ["T1W", "T2W", "FLAIR"])
def test_real_scans_read_as_nibabel_reads_them(contrast):
    path = real_scan("open_ms_data/longitudinal/raw/patient12", f"study1_{contrast}.nii.gz")
    volume, other = mc.load_volume(path), nibabel.load(path)
    assert np.array_equal(volume.array, other.get_fdata(dtype=np.float32).T)
    assert np.abs(volume.affine - other.affine).max() < 1e-5
    assert volume.grid.slice_axis == 0 and volume.name == f"study1_{contrast}"
