"""Registration of pairs with spikes, padding, shear, other units, thin slabs and small fields of view."""

from __future__ import annotations

import numpy as np
import pytest
from phantoms import rotation

from MultiContrastSRLib import Grid, Volume
from MultiContrastSRLib.registration.align import align
from MultiContrastSRLib.registration.rigid import normalized, rectangular
from MultiContrastSRLib.samples.phantom import head_phantom

pytestmark = pytest.mark.slow

GRID = Grid((20, 96, 96), np.array([[2.0, 0, 0, -95], [0, 2.0, 0, -95], [0, 0, 6.0, -57], [0, 0, 0, 1]]))
FINE = Grid((40, 96, 96), np.array([[2.0, 0, 0, -95], [0, 2.0, 0, -95], [0, 0, 3.0, -58.5], [0, 0, 0, 1]]))


def move(shift=(5.0, -3.0, 2.0), degrees=(0.0, 0.0, 0.0)) -> np.ndarray:
    """A displacement about the middle of the head."""
    matrix = np.eye(4)
    matrix[:3, :3] = rotation(tuple(np.radians(degrees)))
    matrix[:3, 3] = GRID.center - matrix[:3, :3] @ GRID.center + shift
    return matrix


@pytest.fixture(scope="module")
def scans():
    return head_phantom("T2", GRID, noise=2.0, seed=1), head_phantom("T1", FINE, noise=2.0, seed=2)


def off(outcome, displaced: np.ndarray) -> float:
    """Largest distance in mm from where the points of a head of 140 mm belong."""
    points = GRID.center + 70 * np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 0.7], [0, 0, -0.7]])
    total = outcome.transform @ displaced
    return float(np.linalg.norm(points @ total[:3, :3].T + total[:3, 3] - points, axis=1).max())


def changed(volume: Volume, edit) -> Volume:
    array = volume.array.copy()
    return Volume(edit(array), volume.affine, volume.name)


def spikes(array):
    array[20:23, 40:43, 40:43] = 1000 * array.max()
    return array


def holes(array):
    array[20:23, 40:43, 40:43] = -1000 * array.max()
    return array


@pytest.mark.parametrize(
    "edit, which",
    [
        (spikes, "reference"),
        (spikes, "target"),
        (holes, "both"),
        (lambda a: a * 1e-12, "both"),
        (lambda a: a * 1e30, "reference"),
        (lambda a: a + 1e5, "both"),
    ],
)
def test_outliers_and_other_units_do_not_matter(scans, edit, which):
    target, reference = scans
    target = changed(target, edit) if which in ("target", "both") else target
    reference = changed(reference, edit) if which in ("reference", "both") else reference
    outcome = align(target, reference.moved(move()), "on")
    assert off(outcome, move()) < 1.0 and outcome.reference is not None and not outcome.warnings


@pytest.mark.parametrize("shear", [5e-4, 0.01, 0.3])
def test_sheared_axes_are_registered(scans, shear):
    target, reference = scans
    sheared = np.eye(4)
    sheared[0, 1] = shear
    grid = Grid(GRID.shape, sheared @ GRID.affine)  # the same head, sampled on sheared axes
    target = head_phantom("T2", grid, noise=2.0, seed=1)
    outcome = align(target, reference.moved(move()), "on")
    assert off(outcome, move()) < 1.5 and not outcome.warnings


def test_the_nearest_rectangular_grid_is_the_same_place():
    affine = np.diag([1.0, 1.0, 3.0, 1.0])
    affine[0, 1] = 1e-4
    volume = Volume(np.random.default_rng(0).random((5, 20, 24)), affine)
    near = rectangular(volume)
    assert np.array_equal(near.array, volume.array) and np.allclose(near.grid.center, volume.grid.center)
    axes = near.affine[:3, :3] / np.linalg.norm(near.affine[:3, :3], axis=0)
    assert np.allclose(axes.T @ axes, np.eye(3), atol=1e-9)
    affine[0, 1] = 0.3
    ramp = np.broadcast_to(np.arange(24.0), (5, 20, 24))
    moved = rectangular(Volume(ramp, affine))
    inside = moved.grid.indices(Volume(ramp, affine).grid.positions((2, 10, 12)))
    k, j, i = np.round(inside).astype(int)
    here = Volume(ramp, affine).grid.indices(moved.grid.positions((k, j, i)))
    assert moved.array[k, j, i] == pytest.approx(here[2], abs=1e-3)


def test_normalized_intensities():
    array = np.random.default_rng(0).normal(1e6, 10, (20, 30, 40))
    array[0, 0, 0] = 1e30
    scaled = normalized(Volume(array, np.eye(4))).array
    assert scaled.min() == 0 and scaled.max() == 1 and 0.4 < np.median(scaled) < 0.6
    sparse = np.zeros((20, 30, 40))
    sparse[3, 4, 5] = 7
    assert normalized(Volume(sparse, np.eye(4))).array.max() == 1
    assert not normalized(Volume(np.full((3, 4, 5), 7.0), np.eye(4))).array.any()


@pytest.mark.parametrize("first, count", [(16, 4), (14, 8)])
def test_a_thin_slab_is_registered(scans, first, count):
    target, reference = scans
    slab = Volume(
        reference.array[first : first + count], FINE.crop((first, 0, 0), (first + count, 96, 96)).affine, "slab"
    )
    displaced = move((4.0, -3.0, 2.0))
    outcome = align(target, slab.moved(displaced), "on")
    points = slab.grid.center + 60 * np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0]])
    total = outcome.transform @ displaced
    errors = np.abs(points @ total[:3, :3].T + total[:3, 3] - points).max(axis=0)
    assert outcome.registered and errors[:2].max() < 1.5
    assert errors[2] < 6  # mm, a slice of the target
    assert not any("ITK" in sentence or "0x" in sentence for sentence in outcome.warnings)


@pytest.mark.parametrize("count", [1, 3])
def test_too_few_slices_of_the_reference_are_said(scans, count):
    target, reference = scans
    slab = Volume(reference.array[18 : 18 + count], FINE.crop((18, 0, 0), (18 + count, 96, 96)).affine, "slab")
    outcome = align(target, slab, "on")
    sentences = " ".join(outcome.warnings)
    assert f"{count} slices of the reference are too few to tell tilts apart" in sentences or "covers" in sentences
    assert "ITK" not in sentences and "0x" not in sentences


@pytest.mark.parametrize("shift, degrees", [((7, -6, 6), (5, -4, 6)), ((2, 2, 0), (0, 0, 2))])
def test_auto_moves_a_pair_whose_headers_are_wrong(scans, shift, degrees):
    target, reference = scans
    displaced = move(shift, degrees)
    outcome = align(target, reference.moved(displaced), "auto")
    assert outcome.registered and off(outcome, displaced) < 2.0 and not outcome.warnings


@pytest.mark.parametrize("noise", [2.0, 25.0])
def test_auto_leaves_an_aligned_pair(noise):
    target, reference = head_phantom("T2", GRID, noise=noise, seed=1), head_phantom("T1", FINE, noise=noise, seed=2)
    outcome = align(target, reference, "auto")
    assert outcome.reference is not None and off(outcome, np.eye(4)) < 0.7


def test_auto_moves_noisy_crops_only_where_they_are_displaced():
    def crop(volume: Volume) -> Volume:
        start, stop = (0, 30, 30), (volume.shape[0], 70, 66)
        return Volume(volume.array[:, 30:70, 30:66], volume.grid.crop(start, stop).affine, volume.name)

    target = crop(head_phantom("T2", GRID, noise=25, seed=1))
    reference = crop(head_phantom("T1", FINE, noise=25, seed=2))
    aligned = align(target, reference, "auto")
    assert np.linalg.norm((aligned.transform @ [*GRID.center, 1])[:3] - GRID.center) < 1.0
    displaced = align(target, reference.moved(move((6, 5, 4))), "auto")
    assert np.linalg.norm((displaced.transform @ move((6, 5, 4)) @ [*GRID.center, 1])[:3] - GRID.center) < 2.0


def test_an_unrelated_pair_is_said_to_be_so_after_a_registration(scans):
    from scipy import ndimage

    target, reference = scans
    noise = ndimage.gaussian_filter(np.random.default_rng(3).normal(size=reference.shape), 3)
    for register, words in (
        ("auto", "neither at its position nor registered"),
        ("off", "Register it (register 'auto'"),
    ):
        outcome = align(target, Volume(noise, reference.affine, "T1"), register)
        assert outcome.reference is None
        assert outcome.warnings[-1].startswith("Reference T1 shows no relation to the target (mutual information")
        assert words in outcome.warnings[-1]
