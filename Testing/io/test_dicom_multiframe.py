"""Enhanced multi-frame DICOM: frames sorted by their position, each with its own rescaling."""

from __future__ import annotations

import numpy as np
import pytest
from dicom_series import write_multiframe

import MultiContrastSRLib as mc
from MultiContrastSRLib.core.errors import GeometryError, InputError

ARRAY = np.random.default_rng(0).integers(0, 900, (5, 6, 7))
PLACES = np.array([[10.0, 20.0, 4.0 * k] for k in range(5)])
PLACED = np.array([[-0.7, 0, 0, -10], [0, -0.5, 0, -20], [0, 0, 4, 0], [0, 0, 0, 1]])


@pytest.mark.parametrize("order", [(0, 1, 2, 3, 4), (4, 3, 2, 1, 0), (0, 2, 4, 1, 3)])
@pytest.mark.parametrize("as_folder", [True, False])
def test_frames_are_sorted_along_their_normal(tmp_path, order, as_folder):
    path = write_multiframe(tmp_path / "a.dcm", ARRAY[list(order)], PLACES[list(order)])
    volume = mc.load_volume(tmp_path if as_folder else path)
    assert np.array_equal(volume.array, ARRAY) and np.allclose(volume.affine, PLACED)
    assert volume.name == "enhanced T2" and volume.metadata["slice_thickness"] == 2.5
    assert "warnings" not in volume.metadata


def test_oblique_frames_lie_where_they_were_acquired(tmp_path):
    columns, rows = np.array([0.6, 0.8, 0.0]), np.array([0.0, 0.0, -1.0])
    places = np.array([5.0, 6, 7]) + np.outer(3.0 * np.arange(5), np.cross(columns, rows))
    volume = mc.load_volume(write_multiframe(tmp_path / "a.dcm", ARRAY, places, (*columns, *rows)))
    lps = places[3] + 2 * 0.5 * rows + 4 * 0.7 * columns
    assert np.allclose(volume.grid.positions((3, 2, 4)), lps * (-1, -1, 1))
    assert np.array_equal(volume.array, ARRAY)


def test_each_frame_has_its_own_rescaling(tmp_path):
    slopes = (2.0, 0.5, 3.0, 1.0, 2.0)
    volume = mc.load_volume(write_multiframe(tmp_path / "a.dcm", ARRAY, PLACES, slopes=slopes))
    assert np.allclose(volume.array, ARRAY * np.reshape(slopes, (5, 1, 1)) + 1, rtol=1e-6)


def test_frames_that_are_no_volume_are_refused(tmp_path):
    with pytest.raises(InputError, match="3 of 5 images lie at the place of another one"):
        mc.load_volume(write_multiframe(tmp_path / "a.dcm", ARRAY, PLACES[[0, 0, 1, 1, 1]]))
    with pytest.raises(GeometryError, match=r"the gap after slice 4 of 5 is 8.000 mm"):
        mc.load_volume(write_multiframe(tmp_path / "a.dcm", ARRAY, PLACES + np.array([[0, 0, 0]] * 4 + [[0, 0, 4.0]])))
    with pytest.raises(InputError, match="holds 2 multi-frame files of one series"):
        write_multiframe(tmp_path / "b.dcm", ARRAY, PLACES)
        mc.load_volume(tmp_path)
