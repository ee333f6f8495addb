"""One contrast as the solver takes it: its scans, their noise, its gradient size and the level of its background."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from ..core.progress import Monitor
from .data_term import DataTerm
from .observation import Observation

_STRENGTH = 0.1  # λ at smoothness 1
_BACKGROUND, _NEAR = 0.25, 0.1  # a background is this fraction of the samples within that fraction of the range
_BLOCK = 1 << 16  # voxels processed at once, few enough for the processor's cache


@dataclass(frozen=True)
class Channel:
    """One contrast.

    Attributes:
        scans: its acquisitions, at least one.
        noise: standard deviation of the noise of each scan, in its units.
        scale: size of the contrast's gradients on the lattice (`gradient_size`), which makes contrasts comparable.
        floor: the least intensity that its image may have; −∞ where there is no bound.
    """

    scans: tuple[Observation, ...]
    noise: tuple[float, ...]
    scale: float
    floor: float = -math.inf

    @property
    def initial(self) -> np.ndarray:
        """The initial image: the mean of the interpolated scans."""
        images = [scan.interpolated for scan in self.scans]
        return images[0] if len(images) == 1 else np.mean(images, axis=0)

    def slices(self, part: tuple[slice, slice, slice]) -> Channel:
        """The channel of some slices, along an axis whose operators are identities."""
        return Channel(tuple(scan.slices(part) for scan in self.scans), self.noise, self.scale, self.floor)

    def data_terms(self, smoothness: float, like: Tensor) -> list[DataTerm]:
        """The data term of each scan divided by λ, for images in units of `scale`."""
        weight = self.scale**2 / max(_STRENGTH * smoothness, 1e-9)
        return [
            DataTerm(scan, self.scale, weight / noise**2, like)
            for scan, noise in zip(self.scans, self.noise, strict=True)
        ]


def make_channel(
    observed: Sequence[tuple[Observation, float]],
    arrays: Sequence[np.ndarray],
    rates: Sequence[float],
    monitor: Monitor | None = None,
) -> tuple[Channel | None, np.ndarray]:
    """(the channel of a contrast, its initial image); the channel is None where that image is constant.

    Args:
        observed: the contrast's scans, each with the standard deviation of its noise.
        arrays: samples of the scans, from which the background's level is estimated.
        rates: see `reconstruction.reconstruct`.
    """
    observations, noise = zip(*observed, strict=True)
    channel = Channel(observations, noise, 1.0)
    image = np.asarray(channel.initial, dtype=np.float32)
    size = gradient_size(image, rates, monitor)
    if size <= 1e-6 * float(np.abs(image).max()):
        return None, image
    return Channel(observations, noise, size, background_level(arrays)), image


def background_level(arrays: Sequence[np.ndarray]) -> float:
    """Intensity of the empty background in a contrast's scans, below which lie noise and ringing only.

    −∞ where less than a quarter of the samples lie near the lowest intensity, so that there is no background.
    """
    low, high = min(float(np.percentile(a, 1)) for a in arrays), max(float(a.max()) for a in arrays)
    near = sum(np.count_nonzero(a < low + _NEAR * (high - low)) for a in arrays)
    return low if near > _BACKGROUND * sum(a.size for a in arrays) else -math.inf


def gradient_size(image: np.ndarray, rates: Sequence[float], monitor: Monitor | None = None) -> float:
    """Mean magnitude of the gradients of `image` (k, j, i), weighted by the magnitude itself.

    An empty background therefore does not count. `rates`: see `reconstruction.reconstruct`.
    """
    monitor = monitor or Monitor()
    total = energy = 0.0
    depth = max(1, _BLOCK // (image.shape[1] * image.shape[2]))
    for first in range(0, len(image), depth):
        monitor.check()
        block = image[first : first + depth + 1]  # with the next slice, for differences across slices
        squares = np.zeros((min(depth, len(block)), *block.shape[1:]), np.float32)
        for axis, rate in enumerate(rates):
            if rate > 0:
                change = np.diff(block if axis == 0 else block[:depth], axis=axis) * np.float32(rate)
                squares[tuple(slice(0, n) for n in change.shape)] += change**2
        total += float(np.sqrt(squares).sum(dtype=np.float64))
        energy += float(squares.sum(dtype=np.float64))
    return energy / total if total > 0 else 0.0
