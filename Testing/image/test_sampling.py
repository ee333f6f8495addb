"""Sampling of an image where its own samples are asked for: they are copied, whatever the direction and the extent."""

from __future__ import annotations

import numpy as np
import pytest

from MultiContrastSRLib.image import kernels, sampling
from MultiContrastSRLib.image.grid import Grid

SHAPE = (5, 12, 9)
AFFINE = np.array([[0.0, 0.7, 0.0, -3.0], [0.9, 0.0, 0.0, 11.0], [0.0, 0.0, 4.0, 2.0], [0.0, 0.0, 0.0, 1.0]])
KERNELS = {
    "sinc": (kernels.sinc,) * 3,
    "lattice": (kernels.anti_aliased_spline, kernels.anti_aliased_sinc, kernels.anti_aliased_sinc),
    "quintic": (kernels.quintic,) * 3,
    "lanczos": (kernels.lanczos(4),) * 3,
}


@pytest.fixture
def image():
    return np.random.default_rng(0).normal(300, 100, SHAPE).astype(np.float32)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(
    ("samples", "steps", "first", "part"),
    [
        (SHAPE, (1, 1, 1), (0, 0, 0), np.s_[:, :, :]),
        (SHAPE, (1, -1, -1), (0, 11, 8), np.s_[:, ::-1, ::-1]),
        ((2, 5, 9), (1, 1, -1), (3, 2, 8), np.s_[3:, 2:7, ::-1]),
        ((1, 1, 1), (1, 1, 1), (4, 7, 0), np.s_[4:, 7:8, :1]),
        ((2, 3, 2), (-1, -1, -1), (1, 6, 3), np.s_[1::-1, 6:3:-1, 3:1:-1]),
    ],
)
def test_samples_of_the_image_itself_are_its_own_bit_for_bit(image, kernel, samples, steps, first, part):
    source = Grid(SHAPE, AFFINE)
    grid = source.remapped(samples, np.array(steps), np.array(first))
    found = sampling.sample(image, source, grid, KERNELS[kernel])
    assert np.array_equal(found, image[part])
    moved = grid.remapped(samples, np.ones(3), np.array([0, 1e-3, 0]))
    if samples[1] > 1:
        assert not np.array_equal(sampling.sample(image, source, moved, KERNELS[kernel]), found)


def test_axes_that_are_not_copied_are_computed_as_before(image, monkeypatch):
    source = Grid(SHAPE, AFFINE)
    grid = source.remapped((5, 24, 9), np.array([-1, 0.5, 1]), np.array([4, 0.25, 0]))
    found = sampling.sample(image, source, grid, KERNELS["sinc"])
    monkeypatch.setattr(sampling, "_copied_samples", lambda operator: None)
    computed = sampling.sample(image, source, grid, KERNELS["sinc"])
    assert np.abs(found - computed).max() < 1e-5 * np.ptp(image)
