"""Volume and Grid: immutability, geometry, refusals."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phantoms import affine

from MultiContrastSRLib import Grid, Volume
from MultiContrastSRLib.core.errors import GeometryError, InputError, MultiContrastSRError

shapes = st.tuples(*[st.integers(1, 40)] * 3)
matrices = st.builds(
    affine,
    st.tuples(*[st.floats(0.2, 6.0)] * 3),
    st.tuples(*[st.floats(-3, 3)] * 3),
    st.tuples(*[st.sampled_from([1, -1])] * 3),
    st.permutations([0, 1, 2]),
    st.tuples(*[st.floats(-200, 200)] * 3),
)


def corners(grid: Grid) -> np.ndarray:
    """RAS mm of the outer voxel edges' corners."""
    ends = [(-0.5, n - 0.5) for n in grid.shape]
    return grid.positions(np.array(np.meshgrid(*ends, indexing="ij")).reshape(3, -1).T)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(shape=shapes, matrix=matrices, scale=st.tuples(*[st.floats(0.3, 5)] * 3))
def test_scaling_keeps_the_field_of_view(shape, matrix, scale):
    grid = Grid(shape, matrix)
    finer = grid.scaled(scale)
    assert finer.shape == tuple(max(1, int(np.floor(n * s + 0.5))) for n, s in zip(shape, scale, strict=True))
    assert np.allclose(corners(finer), corners(grid), atol=1e-6)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(shape=shapes, matrix=matrices, index=st.tuples(*[st.floats(-5, 50)] * 3))
def test_positions_and_indices_are_inverse(shape, matrix, index):
    grid = Grid(shape, matrix)
    assert np.allclose(grid.indices(grid.positions(index)), index, atol=1e-6)
    k, j, i = index
    assert np.allclose(grid.positions(index), (np.asarray(matrix) @ (i, j, k, 1))[:3], atol=1e-6)


def test_index_map_goes_through_the_patient():
    coarse = Grid((4, 5, 6), affine((2, 2, 3), (0.3, 0.2, 0.1)))
    fine = coarse.scaled((2, 3, 4)).crop((1, 2, 3), (7, 14, 20))
    matrix, offset = fine.index_map_to(coarse)
    index = np.array([2.0, 5.0, 7.0])
    assert np.allclose(coarse.positions(matrix @ index + offset), fine.positions(index))


def test_one_number_scales_in_plane_for_thick_slices():
    assert Grid((10, 20, 30), np.diag([0.5, 0.5, 3, 1])).scaled(2).shape == (10, 40, 60)
    assert Grid((10, 20, 30), np.diag([4.0, 1, 1, 1])).scaled(2).shape == (20, 40, 30)
    assert Grid((10, 20, 30), np.diag([2.0, 2, 1, 1])).scaled(2).shape == (10, 40, 60)
    assert Grid((10, 20, 30), np.eye(4)).scaled(2).shape == (20, 40, 60)
    assert Grid((1, 20, 30), np.eye(4)).scaled(2).shape == (1, 40, 60)


@pytest.mark.parametrize(
    ("spacing", "axis"),
    [
        ((3, 0.5, 0.5), 0),
        ((1, 1, 4), 2),
        ((1, 1, 1), None),
        ((1, 1.1, 1), None),
        ((1, 2, 2), 0),
        ((3, 0.5, 0.7), 0),
        ((1, 2, 4), 2),
    ],
)
def test_slice_axis_is_the_odd_one_out(spacing, axis):
    assert Grid((9, 9, 9), np.diag([*spacing[::-1], 1])).slice_axis == axis


def test_isotropic():
    grid = Grid((40, 256, 250), np.diag([0.5, 0.5, 3.0, 1])).isotropic(1.0)
    assert grid.shape == (120, 128, 125) and np.allclose(grid.spacing, 1.0)
    for wrong in ("a", None, (1, 2), [], 0, np.nan, -1):
        with pytest.raises(InputError, match=r"Spacing is .* mm; expected a number above 0, for example 1\.0"):
            grid.isotropic(wrong)


def test_view_is_one_plane_of_pixels():
    view = Grid.view((10, 20, 30), (0, 2, 0), (0, 0, -1), 0.5, (4, 6))
    assert view.shape == (1, 4, 6) and view.spacing == (0.5, 0.5, 0.5)
    assert np.allclose(view.positions((0, 0, 0)), (10, 20, 30))
    assert np.allclose(view.positions((0, 2, 4)), (10, 22, 29))
    assert Grid.view((0, 0, 0), (1, 0, 0), (0, 1, 0), (0.5, 0.25), (4, 6), thickness=3).spacing == (3, 0.5, 0.25)


def test_crop_keeps_positions():
    grid = Grid((5, 6, 7), affine((1, 2, 3), (0.1, 0.2, 0.3)))
    assert np.allclose(grid.crop((1, 2, 3), (4, 5, 6)).positions((0, 0, 0)), grid.positions((1, 2, 3)))
    with pytest.raises(InputError, match="lies outside shape"):
        grid.crop((0, 0, 0), (6, 6, 7))


def test_volume_is_a_frozen_copy():
    array = np.zeros((2, 3, 4), np.float32)
    volume = Volume(array, np.eye(4), "T2")
    array[:] = 5
    assert volume.array.max() == 0
    with pytest.raises(ValueError):
        volume.array[0, 0, 0] = 1
    with pytest.raises(AttributeError, match="immutable"):
        volume.name = "other"
    with pytest.raises(AttributeError, match="immutable"):
        volume.grid.shape = (1, 1, 1)
    with pytest.raises(ValueError):
        volume.affine[0, 0] = 2


def test_pickle_round_trip():
    volume = Volume(
        np.random.default_rng(0).random((2, 3, 4)), affine((1, 2, 3), (0.1, 0, 0)), "T2", {"slice_thickness": 3}
    )
    again = pickle.loads(pickle.dumps(volume))
    assert np.array_equal(again.array, volume.array) and again.grid == volume.grid
    assert again.name == "T2" and dict(again.metadata) == {"slice_thickness": 3}


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((2, 3)), r"Volume array has shape \(2, 3\) \(one 2-D image\)"),
        (np.zeros((2, 3, 4, 3)), r"Volume array has shape \(2, 3, 4, 3\) \(a 4-D series or RGB image\)"),
        (np.zeros((2, 3, 4), complex), "Volume array has type complex128; expected real numbers"),
        (np.zeros((2, 0, 4)), "expected at least one sample per axis"),
    ],
)
def test_arrays_that_are_no_scans_are_refused(array, message):
    with pytest.raises(InputError, match=message):
        Volume(array, np.eye(4))


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.diag([1, 0, 1, 1.0]), "Voxel spacing .* expected values above 0"),
        (np.diag([1, np.nan, 1, 1.0]), "NaN or infinite"),
        (np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]), "singular"),
        (np.eye(3), "expected 4×4"),
    ],
)
def test_broken_affines_are_refused(matrix, message):
    with pytest.raises(GeometryError, match=message) as caught:
        Volume(np.zeros((2, 3, 4)), matrix)
    assert isinstance(caught.value, MultiContrastSRError)


@pytest.mark.parametrize("scale", [0, -1, np.nan, np.inf, (1, 2), "2x", None, (1, 0, 1)])
def test_bad_scales_are_refused(scale):
    with pytest.raises(InputError, match=r"Scale is .*; expected one number above 0, or three in the order"):
        Grid((4, 5, 6), np.eye(4)).scaled(scale)


def test_sheared_grids_work():
    matrix = np.eye(4)
    matrix[0, 1] = 0.3
    grid = Grid((10, 12, 14), matrix)
    assert np.allclose(corners(grid.scaled(2)), corners(grid))
