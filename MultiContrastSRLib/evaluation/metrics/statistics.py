"""Means and their confidence intervals: over slices, and over subjects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

UNDEFINED = (float("nan"), float("nan"))


@dataclass(frozen=True)
class PairedDifference:
    """Mean of paired differences with a two-sided 95 % confidence interval of Student's t over `n` units.

    The slices of one subject resemble each other, so an interval over them is narrower than one over subjects.
    """

    mean: float
    std: float
    low: float
    high: float
    n: int


def paired_difference(values: np.ndarray, baseline: np.ndarray, confidence: float = 0.95) -> PairedDifference:
    """Statistics of `values` − `baseline`, unit by unit; units where either is not finite are left out.

    >>> paired_difference(np.array([2.0, 3.0, 4.0]), np.array([1.0, 1.0, 1.0])).mean
    2.0
    """
    found = estimate([differences(values, baseline)], confidence=confidence)
    return PairedDifference(found.mean, found.std, *found.over_slices, found.slices)


def differences(values: np.ndarray, baseline: np.ndarray) -> np.ndarray:
    """`values` − `baseline`; NaN where either is not finite."""
    first, second = np.asarray(values, np.float64), np.asarray(baseline, np.float64)
    finite = np.isfinite(first) & np.isfinite(second)
    return np.where(finite, np.where(finite, first, 0.0) - np.where(finite, second, 0.0), np.nan)


@dataclass(frozen=True)
class Estimate:
    """A mean over subjects, each counting once, with its confidence intervals.

    Attributes:
        mean: mean over subjects of their means over slices.
        std: standard deviation over all slices.
        over_slices: 95 % confidence interval for the same subjects and other slices of them. The slices of a subject
            resemble each other, so that it is too narrow.
        over_subjects: 95 % confidence interval for other subjects (Student's t over the subjects' means, each subject
            one cluster); NaN for a single subject.
        slices, subjects: their numbers.
    """

    mean: float
    std: float
    over_slices: tuple[float, float]
    over_subjects: tuple[float, float]
    slices: int
    subjects: int

    @property
    def interval(self) -> tuple[float, float]:
        """Over subjects if there are several, else over slices."""
        return self.over_subjects if self.subjects > 1 else self.over_slices


def estimate(groups: Sequence[np.ndarray], means: Sequence[float] | None = None, confidence: float = 0.95) -> Estimate:
    """Statistics of one array of values per subject; NaN among them are left out, and subjects without values.

    Args:
        means: the subjects' means, if they are not those of `groups`.

    The interval over slices is Student's t of the stratified mean, with Welch and Satterthwaite's degrees of freedom;
    for one subject it is the ordinary one. A subject with one value leaves it undefined.
    """
    kept = [np.asarray(group, np.float64) for group in groups]
    kept = [group[~np.isnan(group)] for group in kept]
    centers = [float(np.mean(group)) if len(group) else float("nan") for group in kept] if means is None else means
    known = [(group, center) for group, center in zip(kept, centers, strict=True) if not np.isnan(center)]
    if not known:
        return Estimate(float("nan"), float("nan"), UNDEFINED, UNDEFINED, 0, 0)
    kept, centers = [group for group, _ in known], np.array([center for _, center in known])
    everything = np.concatenate(kept)
    count, mean = len(kept), float(centers.mean())
    finite = np.isfinite(everything).all() and np.isfinite(centers).all()
    std = float(everything.std(ddof=1)) if finite and len(everything) > 1 else float("nan")
    over_slices = over_subjects = UNDEFINED
    if finite and all(len(group) > 1 for group in kept):
        shares = np.array([group.var(ddof=1) / len(group) for group in kept])
        freedom = np.array([len(group) - 1 for group in kept])
        df = shares.sum() ** 2 / (shares**2 / freedom).sum() if shares.any() else freedom.sum()
        over_slices = _t_interval(mean, np.sqrt(shares.sum()) / count, float(df), confidence)
    if finite and count > 1:
        over_subjects = _t_interval(mean, centers.std(ddof=1) / np.sqrt(count), count - 1, confidence)
    return Estimate(mean, std, over_slices, over_subjects, len(everything), count)


def _t_interval(mean: float, error: float, freedom: float, confidence: float) -> tuple[float, float]:
    half = float(stats.t.ppf(0.5 + confidence / 2, freedom) * error)
    return mean - half, mean + half
