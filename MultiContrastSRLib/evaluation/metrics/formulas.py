"""Image quality metrics, each a pure function of arrays.

`prediction` and `truth` have the same shape; axis 0 runs over slices. Functions named "…per slice" in their docstring
return one value per slice, NaN where the metric is not defined there (no mask pixel, for example). Every peak and
data range is an argument: nothing is guessed from the images behind the reader's back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import ndimage, signal


@dataclass(frozen=True)
class Metric:
    """How a metric is written: column label, unit, decimals, and which direction is better.

    `better` is "high", "low" or "one" (closest to 1).
    """

    label: str
    unit: str
    decimals: int
    better: Literal["high", "low", "one"]


METRICS: dict[str, Metric] = {
    "psnr": Metric("PSNR", "dB", 2, "high"),
    "ssim": Metric("SSIM", "", 4, "high"),
    "psnr_foreground": Metric("PSNR foreground", "dB", 2, "high"),
    "psnr_brain": Metric("PSNR brain", "dB", 2, "high"),
    "psnr_lesion": Metric("PSNR lesion", "dB", 2, "high"),
    "contrast_lesion": Metric("Lesion contrast kept", "", 3, "one"),
    "hfen": Metric("HFEN", "", 4, "low"),
    "nmse": Metric("NMSE", "", 5, "low"),
    "mi_error": Metric("MI error", "nat", 4, "low"),
    "mi_error_both": Metric("MI error, both predicted", "nat", 4, "low"),
    "psnr_rescaled": Metric("PSNR re-scaled", "dB", 2, "high"),
    "ssim_rescaled": Metric("SSIM re-scaled", "", 4, "high"),
    "seconds": Metric("Time", "s", 2, "low"),
}

GAINS = ("psnr", "psnr_brain")  # reported with their paired difference from the baseline too


def _per_slice(values: np.ndarray) -> np.ndarray:
    return values.reshape(len(values), -1)


def psnr(
    prediction: np.ndarray,
    truth: np.ndarray,
    peak: np.ndarray | float,
    mask: np.ndarray | None = None,
    minimum: int = 1,
) -> np.ndarray:
    """Peak signal-to-noise ratio per slice, dB: 10·log10(peak² / mean squared error).

    Args:
        prediction, truth: (slices, rows, columns); reshape a volume to one "slice" for a volume-wise value.
        peak: one number, or one per slice.
        mask: bool, where the error is averaged; default everywhere. The peak stays the whole slice's.
        minimum: slices with fewer mask pixels give NaN.

    >>> psnr(np.full((1, 2, 2), 0.9), np.ones((1, 2, 2)), 1.0).round(3)
    array([20.])
    """
    squared = _per_slice((np.asarray(prediction, np.float64) - truth) ** 2)
    if mask is None:
        error = squared.mean(axis=1)
    else:
        inside = _per_slice(np.asarray(mask, dtype=bool))
        count = inside.sum(axis=1)
        enough = count >= max(minimum, 1)
        error = np.where(enough, (squared * inside).sum(axis=1) / np.maximum(count, 1), np.nan)
    with np.errstate(divide="ignore"):
        return 10 * np.log10(np.asarray(peak, np.float64) ** 2 / error)


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
    similarity = (2 * mean_x * mean_y + c1) * (2 * covariance + c2) / ((mean_x**2 + mean_y**2 + c1) * (variances + c2))
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
    norms = []
    for image in (np.asarray(prediction, np.float64) - truth, np.asarray(truth, np.float64)):
        norms.append(np.linalg.norm(_per_slice(signal.fftconvolve(image, kernel, mode="same", axes=(1, 2))), axis=1))
    return _ratio(norms[0], norms[1])


def nmse(prediction: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Normalised mean squared error per slice (as fastMRI's): Σ(p − t)² / Σt². NaN for empty slices."""
    error = _per_slice((np.asarray(prediction, np.float64) - truth) ** 2).sum(axis=1)
    return _ratio(error, _per_slice(np.asarray(truth, np.float64) ** 2).sum(axis=1))


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    return np.where(denominator > 0, numerator / np.where(denominator > 0, denominator, 1.0), np.nan)


def mutual_information(first: np.ndarray, second: np.ndarray, mask: np.ndarray | None = None, bins: int = 32) -> float:
    """Mutual information in nats from the `bins`×`bins` joint histogram inside `mask` (McGinnis et al. 2023).

    Each image's bins span its own minimum to maximum inside the mask.
    """
    inside = np.ones(np.shape(first), dtype=bool) if mask is None else np.asarray(mask, dtype=bool)
    joint, _, _ = np.histogram2d(np.asarray(first)[inside], np.asarray(second)[inside], bins=bins)
    joint /= max(joint.sum(), 1.0)
    independent = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
    filled = joint > 0
    return float((joint[filled] * np.log(joint[filled] / independent[filled])).sum())


def mutual_information_error(
    prediction: np.ndarray, truth: np.ndarray, other: np.ndarray, mask: np.ndarray | None = None
) -> float:
    """|MI(prediction, other) − MI(truth, other)| in nats, `other` being the other contrast's truth.

    Asks whether a prediction shares neither less nor more with the other contrast than the truth does: a method that
    paints the reference into its result makes it large.
    """
    return abs(mutual_information(prediction, other, mask) - mutual_information(truth, other, mask))


def lesion_contrast(image: np.ndarray, lesions: np.ndarray, foreground: np.ndarray, ring: int = 3) -> float:
    """(mean in the lesions − mean around them) / mean around them, over the whole volume.

    "Around" is the foreground within `ring` pixels of a lesion in plane, lesions excluded. NaN without lesions.
    """
    cross = ndimage.generate_binary_structure(2, 1)[None]
    around = ndimage.binary_dilation(lesions, cross, iterations=ring) & foreground & ~lesions
    if not lesions.any() or not around.any():
        return float("nan")
    level = float(image[around].mean(dtype=np.float64))
    return (float(image[lesions].mean(dtype=np.float64)) - level) / level if level else float("nan")


def rescaled(image: np.ndarray) -> np.ndarray:
    """`image` stretched to [0, 1] by its own minimum and maximum, as some papers do to prediction and truth separately.

    Forgives wrong intensities, so it is reported beside the plain metric, never instead.
    """
    low, high = float(image.min()), float(image.max())
    return (np.asarray(image, np.float64) - low) / (high - low if high > low else 1.0)
