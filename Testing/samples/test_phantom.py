"""The built-in head: one truth at every resolution, contrasts that fit, and something to super-resolve."""

from __future__ import annotations

import numpy as np
import pytest
from phantoms import affine, psnr

import MultiContrastSRLib as mc
from MultiContrastSRLib.core.errors import UnknownNameError
from MultiContrastSRLib.samples.phantom import CONTRASTS, LESIONS, default_grid, head_phantom, lesion_mask

SMALL = default_grid((3.0, 1.5, 1.5)).crop((12, 0, 0), (18, 136, 112))


def test_the_truth_is_the_same_on_every_grid():
    fine = SMALL.scaled((1, 3, 3))
    whole = head_phantom("T2", fine)
    # samples at the same places, on a coarser, a flipped and an oblique grid
    middle = head_phantom("T2", fine.remapped((6, 136, 112), (1, 3, 3), (0, 1, 1)))
    assert np.allclose(whole.array[:, 1::3, 1::3], middle.array, atol=1e-3)
    flipped = head_phantom("T2", fine.remapped(fine.shape, (1, -1, 1), (0, fine.shape[1] - 1, 0)))
    assert np.allclose(whole.array[:, ::-1], flipped.array, atol=1e-3)
    oblique = mc.Grid((5, 9, 7), affine((4, 3, 5), (0.3, 0.2, -0.4), origin=(-12, 7, 3)))
    alone = mc.Grid((1, 1, 1), affine((1, 1, 1), origin=oblique.positions((2, 4, 3))))
    assert np.allclose(head_phantom("T1", oblique).array[2, 4, 3], head_phantom("T1", alone).array, atol=1e-3)


def test_tissues_have_their_grey_values():
    for contrast, values in CONTRASTS.items():
        array = head_phantom(contrast, SMALL).array
        assert array.min() >= 0 and array.max() <= max(values.values()) + 1e-3
        for tissue in ("fat", "bone", "fluid", "grey", "white"):
            assert np.mean(np.abs(array - values[tissue]) < 1) > 0.01, (contrast, tissue)
        assert array[:, 0, 0].max() < 0.1  # air


def test_lesions_are_bright_in_flair_and_where_the_mask_is():
    grid = default_grid((3.0, 1.0, 1.0))
    mask, flair = lesion_mask(grid).array, head_phantom("FLAIR", grid).array
    volume = mask.sum() * np.prod(grid.spacing)
    balls = sum(4 / 3 * np.pi * np.prod(lesion.axes) for lesion in LESIONS)
    assert set(np.unique(mask)) == {0, 1} and 0.5 * balls < volume < 1.1 * balls  # they overlap
    assert flair[mask == 1].mean() > 180 and CONTRASTS["FLAIR"]["white"] < 120


def test_noise_and_shading():
    clean = head_phantom("T1", SMALL)
    noisy = head_phantom("T1", SMALL, noise=5, seed=3)
    assert np.array_equal(noisy.array, head_phantom("T1", SMALL, noise=5, seed=3).array)
    assert not np.array_equal(noisy.array, head_phantom("T1", SMALL, noise=5, seed=4).array)
    bright = clean.array > 100
    assert np.std((noisy.array - clean.array)[bright]) == pytest.approx(5, rel=0.05)
    assert noisy.array.min() >= 0  # magnitudes
    ratio = head_phantom("T1", SMALL, bias=0.2).array[bright] / clean.array[bright]
    assert 0.79 < ratio.min() < 0.95 and 1.05 < ratio.max() < 1.21


def test_the_other_contrast_helps():
    grid = default_grid((3.0, 1.0, 1.0)).crop((14, 0, 0), (17, 204, 168))
    truth, reference = head_phantom("T2", grid), head_phantom("T1", grid)
    low = mc.degrade(truth, "kspace", 2)
    by_sinc = mc.prepare(low, method="sinc").render(truth.grid)
    by_guided = mc.prepare(low, reference, "guided", register="off").render(truth.grid)
    assert psnr(by_guided, truth) > psnr(by_sinc, truth) + 1


def test_unknown_contrasts_are_named():
    with pytest.raises(UnknownNameError, match="Unknown contrast 'PD'; expected one of T1, T2, FLAIR"):
        head_phantom("PD")
