"""DICOM series whose attributes are missing, malformed or contradict an affine: said or refused, never assumed."""

from __future__ import annotations

import numpy as np
import pytest
from dicom_series import edit_slice, write_series
from phantoms import affine

import MultiContrastSRLib as mc
from MultiContrastSRLib.core.errors import GeometryError, InputError
from MultiContrastSRLib.io.dicom_tags import acquisition_metadata, decoded

UPRIGHT = affine((0.5, 0.75, 4.0), flips=(-1, -1, 1), origin=(10, 20, 30))


@pytest.fixture
def series(tmp_path):
    """Six slices, 0.75 × 0.5 mm, 4 mm apart, and their files in the order of the slices."""
    array = np.random.default_rng(0).integers(0, 900, (6, 20, 24)).astype(np.int16)
    folder = write_series(tmp_path / "scan", array, UPRIGHT, g0018_0050="3.5")
    files = sorted(folder.iterdir(), key=lambda path: (int(path.stem.rpartition("-")[2]) * 29) % 101)
    return folder, files, array


def position(k: int, x: float = 0.0) -> bytes:
    return f"{-10 + x}\\-20\\{30 + 4 * k}".encode()


@pytest.mark.parametrize("shifted", [(3, 4, 5), (2,), (5,), (0,)])
def test_slices_that_are_shifted_in_plane_are_refused(series, shifted):
    folder, files, _ = series
    for k in shifted:
        edit_slice(files[k], g0020_0032=position(k, 8.0))
    with pytest.raises(GeometryError, match=r"slices are shifted in plane \(by 8.00 mm after slice \d of 6\)"):
        mc.load_volume(folder)


def test_small_shifts_and_tilted_stacks_are_said(series):
    folder, files, _ = series
    edit_slice(files[2], g0020_0032=position(2, 0.1))
    assert mc.load_volume(folder).metadata["warnings"] == (
        "Slices are shifted in plane by up to 0.10 mm; they were placed in one line.",
    )
    for k, path in enumerate(files):
        edit_slice(path, g0020_0032=position(k, 2.0 * k))
    volume = mc.load_volume(folder)
    assert volume.metadata["warnings"] == (
        "Slices are stacked at 26.6° to their normal (a tilted gantry, or slices shifted in plane); the volume is "
        "sheared.",
    )
    assert np.allclose(volume.affine[:3, 2], (-2, 0, 4))


def test_decimal_commas_are_read(series):
    folder, files, array = series
    for k, path in enumerate(files):
        edit_slice(path, g0028_0030=b"1,25\\0,5", g0018_0050=b"3,5", g0020_0032=f"-10,5\\-20\\{30 + 4 * k},0".encode())
    volume = mc.load_volume(folder)
    assert volume.spacing == (4.0, 1.25, 0.5) and volume.metadata["slice_thickness"] == 3.5
    assert np.allclose(volume.affine[:3, 3], (10.5, 20, 30)) and np.array_equal(volume.array, array)
    assert "warnings" not in volume.metadata


@pytest.mark.parametrize("value", [None, b"0\\0", b"unknown", b"1"])
def test_series_without_pixel_spacing_say_what_was_assumed(series, value):
    folder, files, _ = series
    for path in files:
        edit_slice(path, g0028_0030=value)
    volume = mc.load_volume(folder)
    assert volume.spacing == (4.0, 1.0, 1.0)
    assert volume.metadata["warnings"] == (
        "The DICOM files state no valid pixel spacing (0028,0030); 1 mm was assumed.",
    )


def test_one_slice_without_pixel_spacing_takes_that_of_the_others(series):
    folder, files, _ = series
    edit_slice(files[3], g0028_0030=None)
    volume = mc.load_volume(folder)
    assert volume.spacing == (4.0, 0.75, 0.5)
    assert "that of the others (1 of 6 slices lack it) was assumed" in volume.metadata["warnings"][0]


@pytest.mark.parametrize("value", [None, b"1\\0\\0\\1\\0\\0", b"0\\0\\0\\0\\0\\0"])
def test_series_without_orientation_say_what_was_assumed(series, value):
    folder, files, _ = series
    for path in files:
        edit_slice(path, g0020_0037=value)
    volume = mc.load_volume(folder)
    assert np.allclose(volume.affine, UPRIGHT)
    assert volume.metadata["warnings"] == (
        "The DICOM files state no valid orientation (0020,0037); an axial one was assumed.",
    )


def test_series_without_positions_are_refused(series):
    folder, files, _ = series
    edit_slice(files[1], g0020_0032=None)
    with pytest.raises(GeometryError, match=r"1 of 6 slices state no position \(0020,0032\)"):
        mc.load_volume(folder)
    for path in files[1:]:
        path.unlink()
    edit_slice(files[0], g0020_0032=b"nowhere")
    assert "no valid position" in mc.load_volume(folder).metadata["warnings"][0]


@pytest.mark.parametrize("count", [1, 6])
def test_mosaics_are_refused(series, count):
    folder, files, _ = series
    for path in files[count:]:
        path.unlink()
    for path in files[:count]:
        edit_slice(path, g0008_0008=b"ORIGINAL\\PRIMARY\\M\\ND\\MOSAIC", g0020_0032=position(0))
    with pytest.raises(InputError, match=r"holds mosaics .* Convert the series to NIfTI first"):
        mc.load_volume(folder)


def test_descriptions_are_read_in_their_character_set(series):
    folder, files, _ = series
    for path in files:
        edit_slice(path, g0008_0005=b"ISO_IR 100", g0008_103e=b"Sch\xe4del ax T2")
    assert mc.load_volume(folder).name == "Schädel ax T2"
    for path in files:
        edit_slice(path, g0008_0005=b"ISO_IR 192", g0008_103e="T2 頭部".encode())
    assert mc.load_volume(folder).name == "T2 頭部"


def test_character_sets_with_extensions_and_wrong_ones():
    escaped = "\x1b$B;3ED\x1b(B"  # in JIS X 0208, announced by an escape sequence
    assert decoded(escaped, "\\ISO 2022 IR 87") in (escaped, "山田")
    assert decoded(escaped, "ISO 2022 IR 87") == "山田"
    assert decoded("Sch\udce4del", "") == decoded("Sch\udce4del", "nonsense") == "Schädel"


@pytest.mark.parametrize("text", ["3\\3", "3", "3,0", "3.0 "])
def test_the_first_thickness_of_several_is_taken(text):
    assert acquisition_metadata({"0018,0050": text}.get) == {"slice_thickness": 3.0}


@pytest.mark.parametrize(
    "values",
    [
        {"0018,0050": "thin"},
        {"0018,0050": "-3"},
        {"0018,0050": "0\\3"},
        {"0018,0050": "nan"},
        {"0018,0088": "1e999"},
        {"0018,1310": "256\\192"},
        {"0018,1310": "0\\inf\\192\\0"},
        {"0018,1310": "0\\256.5\\192\\0"},
        {"0018,1310": "0\\0\\0\\0"},
    ],
)
def test_malformed_values_are_left_out(values):
    assert acquisition_metadata(values.get) == {}
