"""`degrade(…, "subsample")`: the thick slices that McGinnis et al. 2023 simulate."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
from nibabel.affines import rescale_affine
from nibabel.processing import resample_from_to
from phantoms import affine, blob, centroid

import MultiContrastSRLib as mc
from MultiContrastSRLib import Grid, Volume


def ramp(n: int) -> Volume:
    """Each slice holds its own index."""
    return Volume(np.broadcast_to(np.arange(n, dtype=np.float32)[:, None, None], (n, 5, 6)), np.eye(4))


def test_every_fourth_voxel_is_kept_at_its_place():
    low = mc.degrade(ramp(16), "subsample", 4, axis="k")
    assert low.array[:, 2, 3].tolist() == [3, 7, 11, 15]
    assert low.grid.positions((0, 0, 0)).tolist() == [0, 0, 3] and low.spacing == (4, 1, 1)
    brats = mc.degrade(ramp(240), "subsample", 4, axis="k")
    assert brats.array[:, 0, 0].tolist() == list(range(3, 240, 4))
    # the middle slices coincide where the size is no multiple of the scale; none lies beyond the last voxel
    assert mc.degrade(ramp(155), "subsample", 4, axis="k").array[:, 0, 0].tolist() == list(range(1, 155, 4))
    assert mc.degrade(ramp(182), "subsample", 4, axis="k").array[:, 0, 0].tolist() == list(range(2, 179, 4))


def test_scales_that_are_no_whole_numbers_read_between_voxels():
    low = mc.degrade(ramp(21), "subsample", 2.5, axis="k")
    assert low.array[:, 0, 0] == pytest.approx(
        low.grid.positions(np.array([(k, 0, 0) for k in range(8)]))[:, 2], abs=0.1
    )
    assert low.spacing[0] == pytest.approx(2.5) and low.shape[0] == 8


@pytest.mark.parametrize("n", [15, 16, 21, 23, 24, 30])
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_it_is_the_resampling_by_nibabel_that_the_authors_use(n, scale):
    volume = Volume(np.random.default_rng(n).random((7, n, 6)), affine((1, 1, 1), flips=(-1, -1, 1), origin=(4, -9, 2)))
    low = mc.degrade(volume, "subsample", scale, axis="j")
    image = nibabel.Nifti1Image(volume.array.T, volume.affine)
    shape = (6, int(np.rint(n / scale)), 7)
    there = rescale_affine(image.affine, image.shape, (1, scale, 1), shape)
    expected = np.asarray(resample_from_to(image, (shape, there), order=3, cval=-1024).dataobj).T
    np.testing.assert_allclose(low.affine, there, atol=1e-6)
    seen = (expected > -1000).all(axis=(0, 2))  # the authors' last slice may lie beyond the last voxel
    assert low.shape[1] == seen.sum()
    np.testing.assert_allclose(low.array, expected[:, seen], atol=1e-5)


@pytest.mark.parametrize("n", [46, 47, 48, 49])
def test_the_anatomy_does_not_move(n):
    grid = Grid((n, 40, 40), affine((1, 1, 1), (0.2, 0.1, -0.3)))
    center = grid.positions(np.array([n / 2 + 1.3, 19.2, 20.4]))
    low = mc.degrade(Volume(blob(grid, center, 4.0), grid.affine), "subsample", 4, axis="k")
    assert np.linalg.norm(centroid(low) - center) < 0.02  # mm
    back = mc.super_resolve(low, method="bspline", scale=(4, 1, 1)).volume
    assert np.linalg.norm(centroid(back) - center) < 0.05


@pytest.mark.parametrize("consistency", [False, True])
def test_a_consistent_result_returns_the_samples(consistency):
    rng = np.random.default_rng(0)
    truth = Volume(rng.random((30, 24, 26)), np.eye(4), "T1")
    low = mc.degrade(truth, "subsample", 4, axis="k")
    run = mc.prepare(low, method="bspline", grid=truth.grid, data_consistency=consistency)
    again = mc.degrade(run.render(truth.grid), "subsample", 4, axis="k")
    np.testing.assert_allclose(again.array, low.array, atol=2e-4)
    assert again.grid.same_as(low.grid)
