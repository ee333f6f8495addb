"""Foreground of an image, and how similar two images are: the library's one implementation of each."""

from __future__ import annotations

from typing import Literal

import numpy as np


def foreground(image: np.ndarray, threshold: float = 0.05) -> np.ndarray:
    """Voxels brighter than `threshold` of the way from the background to the 99.9th percentile; all if there are none.

    The background is 0 for magnitude images; for images with negative values it is their 0.1th percentile.

    Args:
        image: any shape.
        threshold: share of the intensity range; 0.05 lies below skull-stripped tissue and above a scanner image's
            background noise.

    Returns:
        bool array of the image's shape.

    >>> foreground(np.array([0.0, 1.0, 50.0, 100.0]))
    array([False, False,  True,  True])
    """
    low, high = np.percentile(image, (0.1, 99.9)) if image.size else (0.0, 0.0)
    low = min(float(low), 0.0)
    mask = image > low + threshold * (float(high) - low)
    return mask if mask.any() else np.ones_like(mask)


def psnr(
    image: np.ndarray,
    truth: np.ndarray,
    peak: np.ndarray | float | None = None,
    mask: np.ndarray | None = None,
    minimum: int = 1,
) -> np.ndarray:
    """Peak signal-to-noise ratio per slice in dB: 10·log10(peak² / mean squared error).

    Args:
        image, truth: (slices, rows, columns); add an axis in front, `volume[None]`, for a volume-wise value.
        peak: one number, or one per slice; default each true slice's maximum − minimum.
        mask: bool, where the error is averaged; default everywhere. It does not change the peak.
        minimum: slices with fewer mask pixels give NaN.

    Returns:
        float64 array (slices,); infinite where an image equals the truth, NaN where that is constant as well.

    >>> psnr(np.full((1, 2, 2), 0.9), np.ones((1, 2, 2)), 1.0).round(3)
    array([20.])
    """
    true = np.asarray(truth, np.float64).reshape(len(truth), -1)
    squared = (np.asarray(image, np.float64).reshape(len(true), -1) - true) ** 2
    if peak is None:
        peak = np.ptp(true, axis=1)
    if mask is None:
        error = squared.mean(axis=1)
    else:
        inside = np.asarray(mask, dtype=bool).reshape(len(true), -1)
        count = inside.sum(axis=1)
        enough = count >= max(minimum, 1)
        error = np.where(enough, (squared * inside).sum(axis=1) / np.maximum(count, 1), np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        return 10 * np.log10(np.asarray(peak, np.float64) ** 2 / error)


def mutual_information(
    first: np.ndarray,
    second: np.ndarray,
    mask: np.ndarray | None = None,
    bins: int = 32,
    *,
    binning: Literal["width", "count"] = "width",
    bias_corrected: bool = False,
) -> float:
    """Mutual information in nats, from the `bins` × `bins` joint histogram inside `mask`.

    Args:
        first, second: arrays of one shape.
        mask: bool, which elements count; default all.
        bins: per image.
        binning: "width": bins of equal width from each image's own minimum to maximum inside the mask (as McGinnis et
            al. 2023 measure it); "count": bins with equally many elements, so that outliers do not leave all tissue in
            one bin.
        bias_corrected: subtract the bias of finite samples (Miller 1955), down to 0 at least; fewer than 2·`bins`
            elements, from which nothing can be estimated, give 0.

    >>> image = np.arange(64.0)
    >>> round(mutual_information(image, -image), 4) == round(float(np.log(32)), 4)
    True
    """
    inside = np.ones(np.shape(first), dtype=bool) if mask is None else np.asarray(mask, dtype=bool)
    one, other = np.asarray(first)[inside], np.asarray(second)[inside]
    if bias_corrected and one.size < 2 * bins:
        return 0.0
    if binning == "count":
        one, other = _quantile_bins(one, bins), _quantile_bins(other, bins)
    joint, _, _ = np.histogram2d(one, other, bins=bins)
    rows, columns = joint.sum(axis=1), joint.sum(axis=0)
    total = max(joint.sum(), 1.0)
    filled = joint > 0
    shares = joint[filled] / total
    independent = (rows[:, None] * columns / total**2)[filled]
    information = float((shares * np.log(shares / independent)).sum())
    if not bias_corrected:
        return information
    bias = (np.count_nonzero(rows) - 1) * (np.count_nonzero(columns) - 1) / (2 * one.size)
    return max(0.0, information - bias)


def _quantile_bins(values: np.ndarray, bins: int) -> np.ndarray:
    edges = np.quantile(values, np.linspace(0, 1, bins + 1)[1:-1])
    return np.searchsorted(edges, values, side="right")
