"""Image quality metrics, each a pure function of arrays; PSNR and mutual information are in `image.similarity`.

`prediction` and `truth` have the same shape; axis 0 runs over slices. Functions named "…per slice" in their docstring
return one value per slice, NaN where the metric is not defined (no mask pixel, for example). Peaks and data ranges are
arguments: nothing is guessed from the images.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from scipy import ndimage, signal

from ...image.similarity import mutual_information


def _per_slice(values: np.ndarray) -> np.ndarray:
    return values.reshape(len(values), -1)


def ssim(
    prediction: np.ndarray,
    truth: np.ndarray,
    data_range: np.ndarray | float,
    *,
    window: Literal["gaussian"] | int = "gaussian",
    volumetric: bool = False,
) -> np.ndarray:
    """Mean structural similarity (Wang et al. 2004), K1 = 0.01, K2 = 0.03; per slice, or one value of a volume.

    "gaussian" is the standard window: σ = 1.5, truncated to 11 taps an axis, population covariances. A whole number is
    a uniform window of that width with sample covariances (the fastMRI evaluation uses 7). The half-window border is
    left out of the mean, except along an axis too short for it.

    Args:
        prediction, truth: (slices, rows, columns).
        data_range: L in the constants (K·L)²; one number or one per slice.
        volumetric: 3-D windows and one value, shape (1,), instead of 2-D windows and one value per slice.
    """
    x, y = np.asarray(prediction, np.float64), np.asarray(truth, np.float64)
    axes = (0, 1, 2) if volumetric else (1, 2)
    if window == "gaussian":
        radius, correction = 5, 1.0
        taps = np.exp(-0.5 * (np.arange(-radius, radius + 1) / 1.5) ** 2)
    else:
        radius = int(window) // 2
        taps = np.ones(2 * radius + 1)
        count = len(taps) ** len(axes)
        correction = count / (count - 1)
    taps = taps / taps.sum()

    def mean(image: np.ndarray) -> np.ndarray:
        for axis in axes:
            image = ndimage.correlate1d(image, taps, axis=axis, mode="reflect")
        return image

    level = np.reshape(np.asarray(data_range, np.float64), (-1, 1, 1))
    c1, c2 = (0.01 * level) ** 2, (0.03 * level) ** 2
    mean_x, mean_y = mean(x), mean(y)
    covariance = correction * (mean(x * y) - mean_x * mean_y)
    variances = correction * (mean(x * x) - mean_x**2 + mean(y * y) - mean_y**2)
    with np.errstate(invalid="ignore"):  # zero everywhere: NaN
        similarity = (
            (2 * mean_x * mean_y + c1) * (2 * covariance + c2) / ((mean_x**2 + mean_y**2 + c1) * (variances + c2))
        )
    inner = [slice(None)] * 3
    for axis in axes:
        if x.shape[axis] > 2 * radius:
            inner[axis] = slice(radius, x.shape[axis] - radius)
    kept = similarity[tuple(inner)]
    return kept.mean(keepdims=True).reshape(1) if volumetric else _per_slice(kept).mean(axis=1)


def laplacian_of_gaussian(size: int = 15, sigma: float = 1.5) -> np.ndarray:
    """The `size`×`size` Laplacian-of-Gaussian kernel, normalised by the Gaussian's sum and made to sum to zero."""
    index = np.arange(size) - (size - 1) / 2
    squared = index[:, None] ** 2 + index[None, :] ** 2
    gaussian = np.exp(-squared / (2 * sigma**2))
    kernel = gaussian / gaussian.sum() * (squared - 2 * sigma**2) / sigma**4
    return kernel - kernel.mean()


def hfen(prediction: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """High-frequency error norm per slice (Ravishankar & Bresler 2011), relative: ‖LoG(p − t)‖ / ‖LoG(t)‖.

    LoG is the 15×15 Laplacian of Gaussian, σ = 1.5 pixels, in plane; images continue as zero beyond their edge.
    NaN for slices without structure.
    """
    kernel = laplacian_of_gaussian()[None]
    error, original = (
        np.linalg.norm(_per_slice(signal.fftconvolve(image, kernel, mode="same", axes=(1, 2))), axis=1)
        for image in (np.asarray(prediction, np.float64) - truth, np.asarray(truth, np.float64))
    )
    return _ratio(error, original)


def nmse(prediction: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Normalised mean squared error per slice (as fastMRI's): Σ(p − t)² / Σt². NaN for empty slices."""
    error = _per_slice((np.asarray(prediction, np.float64) - truth) ** 2).sum(axis=1)
    return _ratio(error, _per_slice(np.asarray(truth, np.float64) ** 2).sum(axis=1))


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    return np.where(denominator > 0, numerator / np.where(denominator > 0, denominator, 1.0), np.nan)


def mutual_information_error(
    prediction: np.ndarray, truth: np.ndarray, other: np.ndarray, mask: np.ndarray | None = None
) -> float:
    """|MI(prediction, other) − MI(truth, other)| in nats, `other` being the other contrast's truth.

    Measures whether a prediction shares as much with the other contrast as the truth does: a method that copies the
    reference into its result makes it large.
    """
    return abs(mutual_information(prediction, other, mask) - mutual_information(truth, other, mask))


def lesion_contrast(image: np.ndarray, lesions: np.ndarray, foreground: np.ndarray, ring: int = 3) -> float:
    """(mean in the lesions − mean around them) / mean around them, over the whole volume.

    "Around them" is the foreground within `ring` pixels of a lesion in plane, lesions excluded. NaN without lesions.
    """
    cross = ndimage.generate_binary_structure(2, 1)[None]
    around = ndimage.binary_dilation(lesions, cross, iterations=ring) & foreground & ~lesions
    if not lesions.any() or not around.any():
        return float("nan")
    level = float(image[around].mean(dtype=np.float64))
    return (float(image[lesions].mean(dtype=np.float64)) - level) / level if level else float("nan")


def rescaled(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """`image` stretched to [0, 1], and zero outside `mask`, as McGinnis et al. 2023 do to prediction and truth each.

    Zero is the image's own minimum inside the mask, one the image's own maximum. Forgives wrong intensities, so it is
    reported in addition to the plain metric, never instead.

    Args:
        image: (slices, rows, columns).
        mask: bool, the same shape, True somewhere.

    >>> rescaled(np.array([[[-1.0, 2.0, 4.0, 6.0]]]), np.array([[[False, True, True, True]]]))
    array([[[0. , 0. , 0.5, 1. ]]])
    """
    shifted = np.asarray(image, np.float64) - float(image[mask].min())
    high = float(shifted.max())
    return np.where(mask, shifted / (high if high > 0 else 1.0), 0.0)
