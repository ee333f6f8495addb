"""Local regression of the target's detail on the reference's detail, for volumes in numpy and for slices in torch.

The relation between target and reference is learned where both are known, in the finest frequencies that the target
holds, and applied to the frequencies that the target lacks. Regressing detail on detail, not intensity on intensity,
makes a reference useful that shares outlines but not contrast, and one that shares neither harmless.

The regression is ridge regression in windows (He, Sun, Tang 2013, "Guided image filtering"), coarse windows first: the
slopes of a wide window are the prior of the next narrower one. The features of a reference r are r and r², so that the
relation between the contrasts need not be linear. Several ridge strengths are tried one octave below the target's
resolution, where the target itself is the truth, and stacked with non-negative weights (Breiman 1996, "Stacked
regressions"). Nothing but the input is used.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic

import numpy as np
import scipy

from ..acquisition.arrays import concatenate, double, from_host, mean_over, moving_means, stack, sum_over, to_host
from ..acquisition.operators import constant_like
from ..image.sampling import Array
from .level import Level

OCTAVE = 2.0  # how much coarser the trial is in which ridge strengths are compared
RADII = (20, 5, 2)  # window radii in target pixels, coarse to fine
RIDGES = (0.3, 1.0, 3.0)  # relative to the mean energy of the feature
CANDIDATES = tuple((features, ridge) for features in (1, 2) for ridge in RIDGES)
_MIN_ENERGY = 1e-10  # of the finest band of a feature; less is rounding error, as of a constant reference
_MIN_WEIGHT = 1e-3  # sum of the weights below which the reference counts as useless


@dataclass(frozen=True)
class Features(Generic[Array]):
    """The features r and r² of a reference, of r normalised to mean 0 and deviation 1.

    Attributes:
        mean, deviation: of the reference; for volumes (1, 1, 1) or numbers, for slices (B, 1, 1).
        energies: per feature, the mean square of its finest measured band, of the same shape.
    """

    mean: Array | float
    deviation: Array | float
    energies: tuple[Array | float, ...] = ()

    @classmethod
    def of(cls, level: Level, reference: Array) -> Features[Array]:
        """The features of `reference` (fine) and their energies at `level`."""
        axes = level.statistics_axes
        mean = mean_over(reference, axes)
        centred = reference - mean
        variance = mean_over(centred * centred, axes)
        features = cls(mean, (variance + (variance == 0)) ** 0.5)
        bands = (level.high_pass(level.acquire(feature)) for feature in features.maps(reference))
        energies = tuple(mean_over(band * band, axes).clip(min=_MIN_ENERGY) for band in bands)
        return cls(features.mean, features.deviation, energies)

    def as_numbers(self) -> Features[Array]:
        """The same features of a volume, found by `of`, for arrays of any type and device."""
        arrays: list[Any] = [self.mean, self.deviation, *self.energies]
        mean, deviation, *energies = to_host(stack(arrays)).ravel().tolist()
        return Features(mean, deviation, tuple(energies))

    def maps(self, reference: Array) -> Iterator[Array]:
        """The features as images."""
        normalised = (reference - self.mean) / self.deviation
        yield normalised
        yield normalised * normalised

    def split(self, level: Level, reference: Array) -> tuple[list[Array], list[Array]]:
        """(the features of `reference` (fine) as acquired, what interpolation of these lacks of them), per feature."""
        acquired, details = [], []
        for feature in self.maps(reference):
            acquired.append(level.acquire(feature))
            details.append(feature - level.interpolate(acquired[-1]))
        return acquired, details


@dataclass(frozen=True)
class DetailModel(Generic[Array]):
    """The relation learned from a whole image.

    Attributes:
        features: the features of its reference.
        weights: of the candidates, (1, candidates) for a volume and (B, candidates) for slices; on the host.
    """

    features: Features[Array]
    weights: np.ndarray

    @property
    def helps(self) -> bool:
        """Whether the reference explains any detail."""
        return bool(self.weights.any())


@dataclass(frozen=True)
class Trial:
    """The candidates compared one octave below a level.

    Attributes:
        weights: (1 or B, candidates); all 0 where the reference explains nothing.
        explained: (1 or B,): share of the detail that the weighted candidates explain.
    """

    weights: np.ndarray
    explained: np.ndarray


def learn(level: Level, target: Array, reference: Array) -> DetailModel[Array]:
    """Learn the relation from an image, or from representative slices of it.

    Args:
        level: its acquired array is the target; its fine image is the reference.
        target: acquired samples, of shape `level.measured`; (B, rows, columns) where statistics are per slice.
        reference: of shape `level.fine`, or (B, rows, columns).
    """
    trial = try_candidates(level, level.weigh(target), level.acquire(reference))
    return DetailModel(Features.of(level, reference), trial.weights)


def try_candidates(level: Level, measured: Array, reference: Array) -> Trial:
    """Compare the candidates one octave below `level`, where the target is the truth.

    Args:
        measured: the target's acquired samples.
        reference: the reference, acquired alike.
    """
    below = level.coarser(OCTAVE)
    coarse = below.acquire(measured)
    features = Features.of(below, reference)
    acquired, lacking = features.split(below, reference)
    slopes = _slopes(below, features.energies, coarse, acquired, range(len(CANDIDATES)))
    candidates = _inject(below, slopes, lacking)
    images = len(measured) if level.per_slice else 1
    details = candidates.reshape(len(CANDIDATES), images, -1).swapaxes(0, 1)  # (images, candidates, samples)
    truth = (measured - below.interpolate(coarse)).reshape(images, 1, -1)
    every = double(concatenate([details, truth], 1))  # the candidates are nearly collinear
    grams = to_host(every @ every.swapaxes(1, 2)).astype(np.float64)
    fitted = [_fit(gram[:-1, :-1], gram[:-1, -1], float(gram[-1, -1])) for gram in grams]
    return Trial(*(np.array(values) for values in zip(*fitted, strict=True)))


def transfer(
    level: Level, model: DetailModel[Array], target: Array, reference: Array, share: Array | None = None
) -> Array:
    """The detail of `reference` that `target` lacks, at fine resolution.

    Args:
        model: learned from the image that these arrays are all or a part of.
        share: how much of the detail to take, 0 to 1, of the shape of `target`; None takes all.
    """
    if not model.helps:
        return 0.0 * reference
    used = np.flatnonzero(model.weights.any(axis=0)).tolist()
    weights = _per_candidate(model.weights[:, used], target)
    acquired, lacking = model.features.split(level, reference)
    slopes = _slopes(level, model.features.energies, level.weigh(target), acquired, used)
    # the last candidates are those of several features
    total = [sum_over(weights[len(weights) - len(maps) :] * maps, (0,)) for maps in slopes]
    if share is not None:
        total = [slope * share for slope in total]
    return _inject(level, total, lacking)[0]


def _per_candidate(weights: np.ndarray, like: Array) -> Array:
    """The weights (1 or B, candidates) as an array (candidates, 1 or B, 1, 1)."""
    if len(weights) == 1:
        return constant_like(like, _column, tuple(weights[0].tolist()))
    return from_host(weights.T[..., None, None], like)


def _column(numbers: tuple[float, ...]) -> np.ndarray:
    """Numbers as an array (n, 1, 1, 1), by which images are multiplied."""
    return np.array(numbers, np.float32)[:, None, None, None]


def _slopes(
    level: Level, energies: Sequence[Array | float], target: Array, acquired: Sequence[Array], candidates: Sequence[int]
) -> list[Array]:
    """For each feature, the slopes (n, …) of the `candidates` (ascending) that use it, as maps of acquired shape."""
    detail = level.high_pass(target)
    scales = [energy**0.5 for energy in energies]
    first, second = (level.high_pass(feature) / scale for feature, scale in zip(acquired, scales, strict=True))
    products = (first * first, second * second, first * second, first * detail, second * detail)
    alone, both = (tuple(ridge for count, ridge in (CANDIDATES[n] for n in candidates) if count == wanted)
                   for wanted in (1, 2))  # fmt: skip
    slopes: list[Array] = []  # of the candidates of the first feature alone, then of both features
    for radius in RADII:
        level.monitor.check()
        squares, squares2, cross, right, right2 = moving_means(products, level.window(radius), level.monitor)
        found = []
        if alone:
            ridge = constant_like(target, _column, alone)
            side = right + ridge * slopes[0] if slopes else right
            found.append(side / (squares + ridge))
        if both:
            ridge = constant_like(target, _column, both)
            sides = right, right2
            if slopes:
                sides = right + ridge * slopes[-2], right2 + ridge * slopes[-1]
            diagonal, diagonal2 = squares + ridge, squares2 + ridge
            determinant = diagonal * diagonal2 - cross * cross
            found.append((sides[0] * diagonal2 - sides[1] * cross) / determinant)
            found.append((sides[1] * diagonal - sides[0] * cross) / determinant)
        slopes = found
    if both:
        slopes = [concatenate(slopes[:-1], 0), slopes[-1]]
    return [maps / scale for maps, scale in zip(slopes, scales, strict=False)]


def _inject(level: Level, slopes: Sequence[Array], lacking: Sequence[Array]) -> Array:
    """Σ slope × detail of the feature, without the part that the target already holds: (n, …).

    Args:
        slopes: per feature (n, …); of a further feature those of the last candidates only.
    """
    detail = level.interpolate_linear(slopes[0]) * lacking[0]
    for maps, lack in zip(slopes[1:], lacking[1:], strict=False):
        detail[len(detail) - len(maps) :] += level.interpolate_linear(maps) * lack
    return level.lost(detail)


def _fit(gram: np.ndarray, product: np.ndarray, energy: float) -> tuple[np.ndarray, float]:
    """(weights of the candidates by non-negative least squares, share of `energy` that they explain)."""
    scale = gram.max(initial=0.0)
    if not np.isfinite(gram).all() or not scale > 0:
        return np.zeros(len(product)), 0.0
    weights, _ = scipy.optimize.nnls(gram / scale, product / scale)
    weights /= max(1.0, weights.sum())
    explained = float(2 * weights @ product - weights @ gram @ weights) / energy if energy > 0 else 0.0
    return weights * (weights.sum() > _MIN_WEIGHT), explained
