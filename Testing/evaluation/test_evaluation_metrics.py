"""Metrics against independent implementations."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("skimage", reason="The independent metrics are scikit-image's, which is not installed here.")

from scipy import ndimage
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from MultiContrastSRLib.evaluation.metrics import formulas as metrics
from MultiContrastSRLib.image.similarity import mutual_information, psnr


@pytest.fixture
def images(rng):
    """(prediction, truth), (slices, rows, columns)."""
    truth = ndimage.gaussian_filter(rng.random((14, 40, 37)), 1.0) * 800
    return truth + rng.normal(0, 20, truth.shape), truth


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def test_psnr_is_scikit_images(images):
    prediction, truth = images
    expected = [peak_signal_noise_ratio(t, p, data_range=700.0) for p, t in zip(prediction, truth, strict=True)]
    np.testing.assert_allclose(psnr(prediction, truth, 700.0), expected, rtol=1e-9)


def test_psnr_inside_a_mask(images):
    prediction, truth = images
    mask = np.zeros(truth.shape, bool)
    mask[1:, 5:9, 6:20] = True
    values = psnr(prediction, truth, np.full(14, 500.0), mask, minimum=50)
    error = ((prediction - truth)[3, 5:9, 6:20] ** 2).mean()
    assert np.isnan(values[0]) and values[3] == pytest.approx(10 * np.log10(500**2 / error))
    assert np.isnan(psnr(prediction, truth, 1.0, mask, minimum=57)).all()
    assert np.isposinf(psnr(truth, truth, 1.0)).all()


def test_ssim_is_the_standard_gaussian_one_per_slice(images):
    prediction, truth = images
    ranges = np.linspace(400, 900, len(truth))
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    expected = [
        structural_similarity(t, p, data_range=r, **settings) for p, t, r in zip(prediction, truth, ranges, strict=True)
    ]
    np.testing.assert_allclose(metrics.ssim(prediction, truth, ranges), expected, atol=1e-10)


def test_ssim_is_the_standard_gaussian_one_in_3d(images):
    prediction, truth = images
    expected = structural_similarity(
        truth, prediction, data_range=800.0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    np.testing.assert_allclose(metrics.ssim(prediction, truth, 800.0, volumetric=True), [expected], atol=1e-10)


def test_ssim_with_the_uniform_window_of_p2(images):
    prediction, truth = images
    expected = [
        structural_similarity(t, p, data_range=800.0, win_size=7) for p, t in zip(prediction, truth, strict=True)
    ]
    np.testing.assert_allclose(metrics.ssim(prediction, truth, 800.0, window=7), expected, atol=1e-10)


def test_ssim_with_the_uniform_3d_window_of_p4(images):
    prediction, truth = images
    expected = structural_similarity(truth, prediction, data_range=800.0)  # its default: 7 × 7 × 7, uniform
    np.testing.assert_allclose(
        metrics.ssim(prediction, truth, 800.0, window=7, volumetric=True), [expected], atol=1e-10
    )


def test_rescaling_takes_the_minimum_inside_the_mask():
    image = np.array([[[-50.0, 3.0, 10.0], [20.0, 30.0, 43.0]]])
    mask = np.array([[[False, True, True], [True, True, False]]])
    # from 3, the lowest inside, to 43, the highest anywhere; zero outside
    np.testing.assert_allclose(metrics.rescaled(image, mask), [[[0, 0, 7 / 40], [17 / 40, 27 / 40, 0]]])
    np.testing.assert_allclose(metrics.rescaled(5 * image + 7, mask), metrics.rescaled(image, mask))
    assert not metrics.rescaled(np.full((1, 2, 3), 4.0), mask).any()


def test_ssim_depends_on_the_stated_data_range(images):
    assert (metrics.ssim(*images, 2000.0) > metrics.ssim(*images, 500.0)).all()


def test_hfen_is_the_relative_norm_of_the_filtered_difference(images):
    prediction, truth = images
    kernel = metrics.laplacian_of_gaussian()
    assert kernel.shape == (15, 15) and abs(kernel.sum()) < 1e-12
    # the kernel is scipy's continuous Laplacian of Gaussian up to sampling
    impulse = np.zeros((31, 31))
    impulse[15, 15] = 1
    np.testing.assert_allclose(
        kernel, ndimage.gaussian_laplace(impulse, 1.5)[8:23, 8:23], atol=5e-3 * abs(kernel).max()
    )
    filtered = [ndimage.convolve(image[2], kernel, mode="constant") for image in (prediction - truth, truth)]
    value = metrics.hfen(prediction, truth)[2]
    assert value == pytest.approx(np.linalg.norm(filtered[0]) / np.linalg.norm(filtered[1]))
    np.testing.assert_allclose(metrics.hfen(np.zeros_like(truth), truth), 1.0)
    assert np.isnan(metrics.hfen(prediction, np.zeros_like(truth))).all()


def test_nmse(images):
    prediction, truth = images
    assert metrics.nmse(prediction, truth)[4] == pytest.approx(
        ((prediction - truth)[4] ** 2).sum() / (truth[4] ** 2).sum()
    )
    assert np.isnan(metrics.nmse(prediction, np.zeros_like(truth))).all()


def test_mutual_information_of_known_distributions(rng):
    x, noise = rng.random((2, 200_000))
    counts = np.histogram(x, 32)[0] / x.size
    assert mutual_information(x, 5 - 3 * x) == pytest.approx(-(counts * np.log(counts)).sum(), abs=1e-3)
    assert mutual_information(x, noise) < 0.004  # the bias of a 32² histogram is 31²/(2n) = 0.0024
    half = np.arange(x.size) % 2 == 0
    mixed = np.where(half, x, noise)
    assert mutual_information(x, mixed, half) == pytest.approx(mutual_information(x[half], x[half]))


def test_mutual_information_error_sees_too_little_and_too_much(rng):
    other = rng.random(50_000)
    truth = other + rng.normal(0, 0.3, other.size)
    assert metrics.mutual_information_error(truth, truth, other) == 0
    assert metrics.mutual_information_error(other, truth, other) > 1  # the reference itself, painted in
    assert metrics.mutual_information_error(rng.random(other.size), truth, other) > 0.3


def test_lesion_contrast():
    image = np.full((1, 20, 20), 100.0)
    lesion = np.zeros(image.shape, bool)
    lesion[0, 8:12, 8:12] = True
    image[lesion] = 150.0
    image[0, :3] = 1e6  # outside the ring
    assert metrics.lesion_contrast(image, lesion, np.ones(image.shape, bool)) == pytest.approx(0.5)
    assert np.isnan(metrics.lesion_contrast(image, lesion & False, lesion))
