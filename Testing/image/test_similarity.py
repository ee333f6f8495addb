"""Foreground, PSNR and mutual information; PSNR inside masks is tested with the other metrics."""

from __future__ import annotations

import numpy as np
import pytest

from MultiContrastSRLib.image.similarity import foreground, mutual_information, psnr


def test_foreground_is_above_a_share_of_the_range():
    image = np.linspace(0, 100, 10_001).reshape(73, 137)
    assert image[foreground(image)].min() == pytest.approx(0.05 * 99.9, abs=0.02)
    assert image[foreground(image, 0.5)].min() == pytest.approx(0.5 * 99.9, abs=0.02)
    shifted = image - 100  # background at the lowest values
    assert shifted[foreground(shifted)].min() == pytest.approx(-100 + 0.1 + 0.05 * 99.8, abs=0.02)
    assert foreground(np.zeros((2, 3))).all(), "all of an empty image"


def test_the_peak_is_the_true_slices_range_unless_given():
    truth = np.array([[[0.0, 10.0]], [[5.0, 6.0]]])
    image = truth + 0.1
    np.testing.assert_allclose(psnr(image, truth), [40.0, 20.0])
    np.testing.assert_allclose(psnr(image, truth, 100.0), [60.0, 60.0])


def test_bias_corrected_information_of_independent_and_equal_images():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=200_000), rng.normal(size=200_000)
    options = {"binning": "count", "bias_corrected": True}
    assert mutual_information(a, b, **options) < 0.005
    assert mutual_information(a, a, **options) > 3
    assert mutual_information(a, -(a**3), **options) == pytest.approx(mutual_information(a, a, **options), abs=0.01)
    assert mutual_information(a[:63], a[:63], **options) == 0


def test_bins_of_equal_counts_are_not_ruled_by_an_outlier():
    rng = np.random.default_rng(0)
    a = rng.normal(size=10_000)
    outlier = np.append(a, 1e6)
    assert mutual_information(outlier, outlier) < 0.01
    assert mutual_information(outlier, outlier, binning="count") > 3.4
