"""Files: round trips against independent readers, refusals by name, and never a half file."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from dicom_series import write_series
from hypothesis import given, settings
from hypothesis import strategies as st
from phantoms import affine, real_scan

import MultiContrastSRLib as mc
from MultiContrastSRLib import io
from MultiContrastSRLib.errors import (
    CancelledError,
    FileReadError,
    FileWriteError,
    GeometryError,
    InputError,
    NotEnoughMemoryError,
)

SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".mha")
TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
OBLIQUE = affine((0.7, 0.9, 3.1), (0.3, -0.2, 0.5), (1, -1, 1), (2, 0, 1), (-81.3, 44.4, 120.9))
TURNED = affine((0.7, 0.9, 3.1), (0.3, -0.2, 0.5), (1, -1, -1), origin=(-81.3, 44.4, 120.9))
SHEARED = np.array([[1, 0.3, 0, 0], [0, 1, 0, 0], [0, 0, 3, 0], [0, 0, 0, 1.0]])

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


@pytest.fixture
def scan() -> mc.Volume:
    return mc.Volume(np.random.default_rng(1).normal(100, 30, (5, 6, 7)), OBLIQUE, "T2")


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
        # the format's 32-bit quaternion is worth 3e-4 near half turns, where its real part is lost; the sform is exact
        assert np.abs(other.get_qform() - volume.affine).max() <= 2e-3 and other.header["qform_code"] == 1
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


# ---------------------------------------------------------------------- DICOM


def slices(count: int = 7) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 1000, (count, 20, 24)).astype(np.int16)


def test_dicom_series(tmp_path):
    tags = {"g0018_0050": "2.8", "g0018_0088": "3.1", "g0018_1310": "0\\256\\192\\0", "g0008_103e": "T2 TSE"}
    volume = mc.load_volume(write_series(tmp_path / "scan", slices(), TURNED, **tags))
    assert np.array_equal(volume.array, slices())
    assert np.abs(volume.affine - TURNED).max() <= 1e-5
    assert volume.name == "T2 TSE"
    assert dict(volume.metadata) == {
        "source": str(tmp_path / "scan"),
        "slice_thickness": 2.8,
        "spacing_between_slices": 3.1,
        "acquisition_matrix": (0, 256, 192, 0),
    }


def test_dicom_slices_are_sorted_along_their_normal(tmp_path):
    # numbered from top to bottom: the volume comes out with a right-handed order of slices, at the same place
    down = affine((1, 1, 3), flips=(1, 1, -1), origin=(0, 0, 60))
    volume = mc.load_volume(write_series(tmp_path, slices(), down))
    place = volume.grid.indices(mc.Grid((7, 20, 24), down).positions((2, 5, 9)))
    assert np.allclose(place, np.round(place))
    k, j, i = np.round(place).astype(int)
    assert volume.array[k, j, i] == slices()[2, 5, 9]


def test_dicom_with_gantry_tilt_is_sheared(tmp_path):
    tilted = affine((1, 1, 3))
    tilted[1, 2] = 0.8
    assert np.abs(mc.load_volume(write_series(tmp_path, slices(), tilted)).affine - tilted).max() <= 1e-5


def test_one_of_several_series_is_chosen_by_uid(tmp_path):
    write_series(tmp_path, slices(), TURNED, "1.2.3", g0008_103e="T2 TSE")
    write_series(tmp_path, slices(5), TURNED, "1.2.4")
    with pytest.raises(InputError) as caught:
        mc.load_volume(tmp_path)
    assert str(caught.value) == (
        f"Folder {tmp_path} holds 2 DICOM series; expected one. Choose one by its UID, as in '{tmp_path}::1.2.3': "
        "1.2.3 (T2 TSE, 7 files); 1.2.4 (no description, 5 files)."
    )
    assert mc.load_volume(f"{tmp_path}::1.2.4").shape == (5, 20, 24)
    with pytest.raises(InputError, match=r"holds no DICOM series '9'; expected one of 1\.2\.3, 1\.2\.4\.$"):
        mc.load_volume(f"{tmp_path}::9")


def test_missing_slices_are_refused(tmp_path):
    write_series(tmp_path, slices(), affine((1, 1, 3)))
    (tmp_path / "1.2.826.0.1-021.dcm").unlink()  # the fourth
    with pytest.raises(GeometryError) as caught:
        mc.load_volume(tmp_path)
    assert str(caught.value) == (
        f"Folder {tmp_path}: the gap after slice 3 of 6 is 6.000 mm, the others 3.000 mm; expected even gaps. "
        "Slices are missing: copy or export the series again."
    )


def test_slightly_uneven_gaps_are_told(tmp_path):
    write_series(tmp_path, slices(), affine((1, 1, 3)))
    moved = affine((1, 1, 3), origin=(0, 0, 9.1))
    write_series(tmp_path, slices(1), moved, g0008_0018="1.2.826.0.1.3")
    os.replace(tmp_path / "1.2.826.0.1-000.dcm", tmp_path / "1.2.826.0.1-021.dcm")
    write_series(tmp_path, slices(1), affine((1, 1, 3)))
    assert mc.load_volume(tmp_path).metadata["warnings"] == (
        "Slice gaps vary from 2.900 to 3.100 mm; the slices were placed 3.000 mm apart.",
    )


def test_images_at_one_place_are_refused(tmp_path):
    write_series(tmp_path / "a", slices(), TURNED)
    for path in list((tmp_path / "a").iterdir()):
        path.rename(path.with_name("echo1" + path.name))
    write_series(tmp_path / "a", slices(), TURNED)
    with pytest.raises(InputError, match="7 of 14 images lie at the place of another one"):
        mc.load_volume(tmp_path / "a")


def test_mixed_orientations_and_sizes_are_refused(tmp_path):
    write_series(tmp_path / "a", slices(), affine((1, 1, 3)))
    scout = affine((1, 1, 3), angles=(0, np.pi / 2, 0))
    os.rename(write_series(tmp_path / "s", slices(1), scout) / "1.2.826.0.1-000.dcm", tmp_path / "a" / "scout.dcm")
    with pytest.raises(GeometryError, match="have different orientations; expected one volume"):
        mc.load_volume(tmp_path / "a")
    small = write_series(tmp_path / "t", slices(1)[:, :10], affine((1, 1, 3)))
    os.rename(small / "1.2.826.0.1-000.dcm", tmp_path / "a" / "scout.dcm")
    with pytest.raises(GeometryError, match="slices differ in size or pixel spacing"):
        mc.load_volume(tmp_path / "a")


def test_colour_dicom_is_refused(tmp_path):
    colours = np.zeros((3, 8, 9, 3), np.uint8)
    with pytest.raises(InputError, match="holds colour images; expected one grey-valued scan"):
        mc.load_volume(write_series(tmp_path, colours, np.eye(4)))


def test_truncated_slices_are_named(tmp_path):
    write_series(tmp_path, slices(), TURNED)
    for name in ("1.2.826.0.1-007.dcm", "1.2.826.0.1-042.dcm"):  # the second and the last
        whole = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(whole[:-300])
        if name.endswith("007.dcm"):
            with pytest.raises(GeometryError, match=rf"Slices are missing \({name} cannot be read\): copy or export"):
                mc.load_volume(tmp_path)
            (tmp_path / name).write_bytes(whole)
    volume = mc.load_volume(tmp_path)
    assert volume.shape == (6, 20, 24)
    assert volume.metadata["warnings"] == ("DICOM files without a readable image were left out: 1.2.826.0.1-042.dcm.",)


def test_folders_and_files_that_are_no_series(tmp_path):
    with pytest.raises(FileReadError, match="holds no DICOM series; expected the slices of one"):
        mc.load_volume(tmp_path)
    series = write_series(tmp_path / "a", slices(), TURNED)
    with pytest.raises(FileReadError, match=f"is one slice of a DICOM series.* Give {series}.$"):
        mc.load_volume(next(series.iterdir()).rename(series / "IM0001"))


# ---------------------------------------------------------------------- what is refused


def nifti(path: Path, data: np.ndarray, **fields: object) -> Path:
    image = nibabel.Nifti1Image(data, np.eye(4))
    for name, value in fields.items():
        image.header[name] = value
    nibabel.save(image, path)
    return path


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
    with pytest.raises(FileReadError, match="its compressed data end early or are damaged. Copy or download it again."):
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


# ---------------------------------------------------------------------- never a half file


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


def test_an_unwritable_folder_is_named(unwritable, scan):
    with pytest.raises(FileWriteError) as caught:
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
    with pytest.raises(FileWriteError, match="Report .*b.json would overwrite"):
        result.save(tmp_path / "b.nii")
    assert [p.name for p in tmp_path.iterdir()] == ["b.json"]


def test_compressed_files_are_gzip(tmp_path, scan):
    assert gzip.decompress(mc.save_volume(scan, tmp_path / "a.nii.gz").read_bytes())[344:347] == b"n+1"
