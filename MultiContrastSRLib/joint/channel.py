"""One contrast as the solver takes it: its scans, their noise, its gradient size and the level of its background."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..core.devices import has_float64
from ..core.progress import Monitor
from .data_term import DataTerm
from .observation import Observation

_STRENGTH = 0.1  # λ at smoothness 1
_LOWEST = 0.01  # fraction of the samples that may lie below a background
_BACKGROUND, _NEAR = 0.25, 0.1  # a background is this fraction of the samples within that fraction of the range
_CONSTANT = 1e-6  # of the largest intensity: an image with smaller gradients is constant
_BLOCK = 1 << 16  # voxels processed at once, few enough for the processor's cache


@dataclass(frozen=True)
class Channel:
    """One contrast of a volume, or of independent slices.

    Each slice may have a noise, scale and floor of its own: tensors (slices, 1, 1) on the device of the observations.

    Attributes:
        scans: its acquisitions, at least one.
        noise: standard deviation of the noise of each scan, in its units.
        scale: size of the contrast's gradients on the lattice (`gradient_size`), which makes contrasts comparable.
        floor: the least intensity that its image may have; −∞ where there is no bound.
    """

    scans: tuple[Observation, ...]
    noise: tuple[float | Tensor, ...]
    scale: float | Tensor
    floor: float | Tensor = -math.inf

    @property
    def initial(self) -> np.ndarray | Tensor:
        """The initial image: the mean of the interpolated scans."""
        images = [scan.interpolated for scan in self.scans]
        return images[0] if len(images) == 1 else np.mean(images, axis=0)

    def slices(self, part: tuple[slice, slice, slice]) -> Channel:
        """The channel of some slices, along an axis whose operators are identities."""
        return Channel(tuple(scan.slices(part) for scan in self.scans), self.noise, self.scale, self.floor)

    def data_terms(self, smoothness: float, like: Tensor) -> list[DataTerm]:
        """The data term of each scan divided by λ, for images in units of `scale`; `like`: see `DataTerm`."""
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
    if size <= _CONSTANT * float(np.abs(image).max()):
        return None, image
    return Channel(observations, noise, size, background_level(arrays)), image


def slice_channel(scan: Observation, samples: Tensor, noise: Tensor) -> tuple[Channel, Tensor]:
    """(the channel of a contrast of independent slices, for each slice whether its initial image varies).

    Args:
        scan: the observation, as tensors.
        samples: (slices, j, i) of the scan.
        noise: (slices,) standard deviation of the noise.
    """
    image = scan.interpolated
    total, energy = _gradient_sums(image, len(image), (0, 1, 1))
    size = torch.where(total > 0, energy / total, 0.0).to(image.dtype)
    varies = size > _CONSTANT * image.abs().amax((1, 2))
    size = size.masked_fill(~varies, 1.0)  # of a slice whose result is not used
    floor = _background_levels([samples.flatten(1)])
    return Channel((scan,), (noise.view(-1, 1, 1),), size.view(-1, 1, 1), floor.view(-1, 1, 1)), varies


def background_level(arrays: Sequence[np.ndarray]) -> float:
    """Intensity of the empty background in a contrast's scans, below which lie noise and ringing only.

    −∞ where less than a quarter of the samples lie near the lowest intensity, so that there is no background.
    """
    return float(_background_levels([torch.from_numpy(np.array(array)).view(1, -1) for array in arrays]))


def _background_levels(scans: Sequence[Tensor]) -> Tensor:
    """(slices,): the background's level in every slice of scans (slices, samples)."""
    low = torch.stack([_lowest(scan) for scan in scans]).amin(0)
    high = torch.stack([scan.amax(1) for scan in scans]).amax(0)
    limit = (low + _NEAR * (high - low))[:, None]
    near = sum((scan < limit).sum(1) for scan in scans)
    enough = near > _BACKGROUND * sum(scan.shape[1] for scan in scans)
    return low.masked_fill(~enough, -math.inf)


def _lowest(scan: Tensor) -> Tensor:
    """The quantile `_LOWEST` of each row, interpolated linearly."""
    below, part = divmod(_LOWEST * (scan.shape[1] - 1), 1)
    few = scan.topk(min(int(below) + 2, scan.shape[1]), largest=False).values
    return few[:, int(below)].lerp(few[:, -1], part)


def gradient_size(image: np.ndarray, rates: Sequence[float], monitor: Monitor | None = None) -> float:
    """Mean magnitude of the gradients of `image` (k, j, i), weighted by the magnitude itself.

    An empty background therefore does not count. `rates`: see `reconstruction.reconstruct`.
    """
    monitor = monitor or Monitor()
    total = energy = 0.0
    depth = max(1, _BLOCK // (image.shape[1] * image.shape[2]))
    for first in range(0, len(image), depth):
        monitor.check()
        # with the next slice, for differences across slices
        sums = _gradient_sums(torch.from_numpy(image[first : first + depth + 1]), depth, rates)
        total, energy = total + float(sums[0].sum()), energy + float(sums[1].sum())
    return energy / total if total > 0 else 0.0


def _gradient_sums(image: Tensor, depth: int, rates: Sequence[float]) -> tuple[Tensor, Tensor]:
    """Sums over each of the first `depth` slices of the gradients' magnitudes, and of their squares."""
    squares = torch.zeros_like(image[:depth])
    for axis, rate in enumerate(rates):
        if rate > 0:
            change = (image if axis == 0 else image[:depth]).diff(dim=axis).mul_(rate)
            squares[tuple(slice(0, n) for n in change.shape)] += change.square_()
    widest = torch.float64 if has_float64(image.device.type) else torch.float32
    return squares.sqrt().sum((1, 2), dtype=widest), squares.sum((1, 2), dtype=widest)
