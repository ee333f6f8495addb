"""DICOM series: slices sorted along their normal, gaps and mixed series told or refused."""

from __future__ import annotations

import os

import numpy as np
import pytest
from dicom_series import write_series
from phantoms import affine

import MultiContrastSRLib as mc
from MultiContrastSRLib.core.errors import FileReadError, GeometryError, InputError

TURNED = affine((0.7, 0.9, 3.1), (0.3, -0.2, 0.5), (1, -1, -1), origin=(-81.3, 44.4, 120.9))


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


@pytest.mark.parametrize("syntax", ["ImplicitVRLittleEndian", "ExplicitVRLittleEndian", "ExplicitVRBigEndian"])
def test_pixel_data_that_are_too_short_are_named(tmp_path, syntax):
    pydicom = pytest.importorskip("pydicom")
    for path in write_series(tmp_path, slices(), TURNED).iterdir():
        data, uid = pydicom.dcmread(path), getattr(pydicom.uid, syntax)
        icon = pydicom.Dataset()
        icon.Rows = icon.Columns = icon.BitsAllocated = icon.BitsStored = 8
        icon.HighBit, icon.PixelRepresentation, icon.SamplesPerPixel, icon.PixelData = 7, 0, 1, bytes(64)
        icon.PhotometricInterpretation = "MONOCHROME2"
        data.IconImageSequence = [icon]
        if syntax == "ExplicitVRBigEndian":
            data.PixelData = np.frombuffer(data.PixelData, "<i2").astype(">i2").tobytes()
        data.file_meta.TransferSyntaxUID = uid
        data["PixelData"].VR = "OW"
        pydicom.dcmwrite(path, data, implicit_vr=uid.is_implicit_VR, little_endian=uid.is_little_endian)
    expected = slices()
    assert np.array_equal(mc.load_volume(tmp_path).array, expected)
    path = sorted(tmp_path.iterdir())[2]
    data = pydicom.dcmread(path)
    data.PixelData = data.PixelData[:-2]
    data.save_as(path)
    with pytest.raises(
        FileReadError, match=rf"file {path.name} is truncated or damaged. Copy or export the series again"
    ):
        mc.load_volume(tmp_path)


def test_compressed_pixel_data_are_read(tmp_path):
    pydicom = pytest.importorskip("pydicom")
    for path in write_series(tmp_path, slices(), TURNED).iterdir():
        data = pydicom.dcmread(path)
        data.compress(pydicom.uid.RLELossless)
        data.save_as(path)
    assert np.array_equal(mc.load_volume(tmp_path).array, slices())


def test_folders_and_files_that_are_no_series(tmp_path):
    with pytest.raises(FileReadError, match="holds no DICOM series; expected the slices of one"):
        mc.load_volume(tmp_path)
    series = write_series(tmp_path / "a", slices(), TURNED)
    with pytest.raises(FileReadError, match=f"is one slice of a DICOM series.* Give {series}.$"):
        mc.load_volume(next(series.iterdir()).rename(series / "IM0001"))
