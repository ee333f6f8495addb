"""Local regression of the target's detail on the reference's detail.

How much a feature of the reference tells about the target is learned where both are known, in the finest frequencies
that the target holds, and applied to the frequencies it lacks. Regressing detail on detail, not intensity on
intensity, is what makes a reference that shares outlines but not contrast useful, and one that shares neither harmless.

The regression is ridge regression in windows (He, Sun, Tang 2013, "Guided image filtering"), coarse windows first: the
slopes of a wide window are the prior of the next narrower one. Features of the reference r are r and r², so that the
contrasts' relation may bend. Several ridge strengths are tried one octave further down, where the target itself is the
truth, and stacked with non-negative weights (Breiman 1996, "Stacked regressions"): nothing but the input is looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from scipy import ndimage, optimize

from ..acquisition.model import AxisModel, weigh
from ..core.progress import Monitor
from ..image import kernels
from ..image.sampling import apply_separable

BAND = 1.5  # the finest 1 − 1/1.5 of the measured frequencies are the detail that slopes are learned on
OCTAVE = 2.0  # how much coarser the trial is, in which ridge strengths are judged
RADII = (20, 5, 2)  # window radii in target pixels, coarse to fine
RIDGES = (0.3, 1.0, 3.0)  # relative to the mean energy of the feature
CANDIDATES = tuple((features, ridge) for features in (1, 2) for ridge in RIDGES)


@dataclass(frozen=True)
class Level:
    """One pair of resolutions: `axes` acquire arrays of `measured` shape from images of `fine` shape."""

    axes: tuple[AxisModel, AxisModel, AxisModel]
    fine: tuple[int, int, int]
    refined: tuple[bool, bool, bool]
    monitor: Monitor = field(default_factory=Monitor, compare=False)  # asked for a cancel all along, told nothing

    @property
    def measured(self) -> tuple[int, ...]:
        """Shape of what is acquired."""
        return tuple(axis.samples for axis in self.axes)

    def _apply(self, array: np.ndarray, name: str) -> np.ndarray:
        operators = [getattr(axis, name)(n) for axis, n in zip(self.axes, self.fine, strict=True)]
        return apply_separable(array, operators, monitor=self.monitor.silent)

    def acquire(self, image: np.ndarray) -> np.ndarray:
        """`image` (fine) as acquired, without what lies outside the measured spectrum."""
        return self.weigh(self._apply(image, "forward"))

    def weigh(self, acquired: np.ndarray) -> np.ndarray:
        """The measured part of `acquired`."""
        return weigh(self.axes, acquired, self.monitor.silent)

    def interpolate(self, acquired: np.ndarray) -> np.ndarray:
        """`acquired` at fine resolution, nothing added."""
        return self._apply(acquired, "interpolate")

    def missing(self, image: np.ndarray) -> np.ndarray:
        """The part of `image` (fine) that acquiring it loses."""
        return image - self._apply(self.acquire(image), "spread")

    def carry(self, slopes: np.ndarray) -> np.ndarray:
        """Smooth maps of acquired shape at fine resolution (linear)."""
        operators = []
        for axis, n in zip(self.axes, self.fine, strict=True):
            step, offset = axis.lattice_positions(n)
            positions = np.clip(step * np.arange(n) + offset, 0, axis.samples - 1)
            operators.append(None if n == axis.samples else kernels.linear(axis.samples, positions).astype(np.float32))
        return apply_separable(slopes, operators, monitor=self.monitor.silent)

    def coarser(self, factor: float) -> Level:
        """The level below: what is acquired here is its fine image, `factor` coarser along the refined axes."""
        axes = []
        for axis, refined in zip(self.axes, self.refined, strict=True):
            edge = axis.support.edge if axis.kind == "kspace" else 1.0
            samples = max(1, int(np.floor(axis.samples * edge / factor + 0.5))) if refined else axis.samples
            spacing = axis.spacing * axis.samples / samples
            axes.append(
                replace(axis, samples=samples, spacing=spacing, thickness=spacing, support=type(axis.support)())
            )
        return Level(tuple(axes), self.measured, self.refined, self.monitor)

    def high_pass(self, acquired: np.ndarray) -> np.ndarray:
        """The finest band of `acquired`."""
        below = self.coarser(BAND)
        return acquired - below.interpolate(below.acquire(acquired))

    def window(self, radius: int) -> tuple[int, int, int]:
        """Full window sizes (k, j, i) of `radius` pixels: within slices, and over neighbours when they are refined."""
        pixel = min((axis.spacing for axis in self.axes if axis.kind == "kspace"), default=self.axes[0].spacing)
        sizes = []
        for axis, refined in zip(self.axes, self.refined, strict=True):
            reach = radius if axis.kind == "kspace" else max(1, round(radius * pixel / axis.spacing)) * refined
            sizes.append(2 * min(reach, axis.samples - 1) + 1)
        return tuple(sizes)


@dataclass(frozen=True)
class DetailModel:
    """What was learned once for the whole volume: the scales of the features and the weights of the candidates."""

    mean: float
    deviation: float
    energies: tuple[float, float]
    weights: tuple[float, ...]

    @property
    def helps(self) -> bool:
        """Whether the reference explained any detail."""
        return sum(self.weights) > 1e-3


def learn(level: Level, target: np.ndarray, reference: np.ndarray) -> DetailModel:
    """Judge the candidates one octave down, on (a representative part of) the volume.

    Args:
        level: acquired = the target's samples, fine = the lattice the reference is on.
        target: acquired samples, shape `level.measured`.
        reference: shape `level.fine`.
    """
    weights, _ = trial(level, level.weigh(target), level.acquire(reference))
    model = DetailModel(float(reference.mean()), float(reference.std()), (0.0, 0.0), weights)
    return replace(model, energies=_energies(level, model, reference))


def trial(level: Level, measured: np.ndarray, reference: np.ndarray) -> tuple[tuple[float, ...], float]:
    """(weights of the candidates, share of the detail that they explain) one octave below `level`.

    Args:
        measured, reference: the target's acquired samples and the reference as acquired alike, both `level.measured`.
    """
    below = level.coarser(OCTAVE)
    coarse = below.acquire(measured)
    model = DetailModel(float(reference.mean()), float(reference.std()), (0.0, 0.0), ())
    model = replace(model, energies=_energies(below, model, reference))
    truth = (measured - below.interpolate(coarse)).ravel()
    details = [_inject(below, model, reference, slopes).ravel() for slopes in _slopes(below, model, coarse, reference)]
    gram = np.array([[float(a @ b) for b in details] for a in details])
    toward = np.array([float(detail @ truth) for detail in details])
    weights, _ = optimize.nnls(gram, toward)
    weights /= max(1.0, weights.sum())
    energy = float(truth @ truth)
    explained = float(2 * weights @ toward - weights @ gram @ weights) / energy if energy > 0 else 0.0
    return tuple(float(w) for w in weights), explained


def transfer(
    level: Level, model: DetailModel, target: np.ndarray, reference: np.ndarray, share: np.ndarray
) -> np.ndarray:
    """The detail of `reference` that belongs into `target`, at fine resolution.

    Args:
        share: how much of the detail to take, 0 to 1, shape `level.measured`; 0 where the reference was not acquired.
    """
    slopes = np.zeros((2, *target.shape), dtype=np.float32)
    for weight, candidate in zip(model.weights, _slopes(level, model, level.weigh(target), reference), strict=True):
        if weight > 0:
            slopes[: len(candidate)] += weight * candidate
    # within a small window of the reference's border its detail is an artefact of the border
    slopes *= ndimage.minimum_filter(share, level.window(RADII[-1]), mode="nearest")
    return _inject(level, model, reference, slopes)


def _feature_list(model: DetailModel, reference: np.ndarray) -> list[np.ndarray]:
    centred = (reference - np.float32(model.mean)) / np.float32(max(model.deviation, 1e-12))
    return [centred, centred * centred]


def _energies(level: Level, model: DetailModel, reference: np.ndarray) -> tuple[float, float]:
    bands = [level.high_pass(level.acquire(feature)) for feature in _feature_list(model, reference)]
    return tuple(float(np.mean(band * band)) + 1e-20 for band in bands)


def _slopes(level: Level, model: DetailModel, target: np.ndarray, reference: np.ndarray) -> list[np.ndarray]:
    """Slope maps of every candidate, each (number of features, *acquired shape)."""
    detail = level.high_pass(target)
    bands = [
        level.high_pass(level.acquire(feature)) / np.float32(np.sqrt(energy))
        for feature, energy in zip(_feature_list(model, reference), model.energies, strict=True)
    ]
    maps: list[np.ndarray | None] = [None] * len(CANDIDATES)
    for radius in RADII:
        sizes = level.window(radius)

        def mean(product: np.ndarray, sizes: Sequence[int] = sizes) -> np.ndarray:
            level.monitor.check()
            return ndimage.uniform_filter(product, sizes, mode="reflect")

        first, second, cross = mean(bands[0] ** 2), mean(bands[1] ** 2), mean(bands[0] * bands[1])
        toward = [mean(band * detail) for band in bands]
        for c, (count, ridge) in enumerate(CANDIDATES):
            level.monitor.check()
            prior = maps[c] if maps[c] is not None else np.zeros((count, *detail.shape), dtype=np.float32)
            right = [toward[f] + ridge * prior[f] for f in range(count)]
            if count == 1:
                maps[c] = (right[0] / (first + ridge))[None]
            else:
                determinant = (first + ridge) * (second + ridge) - cross * cross
                maps[c] = np.stack(
                    [
                        (right[0] * (second + ridge) - right[1] * cross) / determinant,
                        (right[1] * (first + ridge) - right[0] * cross) / determinant,
                    ]
                )
    scale = np.sqrt(np.array(model.energies, dtype=np.float32))
    return [slopes / scale[: len(slopes), None, None, None] for slopes in maps]


def _inject(level: Level, model: DetailModel, reference: np.ndarray, slopes: np.ndarray) -> np.ndarray:
    """Σ slope × (what acquiring the feature loses), without what the target already holds."""
    detail = np.zeros(level.fine, dtype=np.float32)
    for slope, feature in zip(slopes, _feature_list(model, reference), strict=False):
        detail += level.carry(slope) * (feature - level.interpolate(level.acquire(feature)))
    return level.missing(detail)
