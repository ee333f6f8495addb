"""Guided super-resolution of batches of slices in torch, on any device: the base image of the networks' corrections.

The same regression as `guided.regression`, whose resolutions, windows and candidates it takes, and with which
it agrees to rounding (tested). Each slice of a batch is a volume of its own.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from scipy import ndimage, optimize
from torch import Tensor

from ..acquisition.model import AxisModel
from ..acquisition.slices import ACROSS, KEPT, SliceAcquisition, operator, separable
from ..image import kernels
from .regression import BAND, CANDIDATES, OCTAVE, RADII, Level


class _Features(NamedTuple):
    """The two features of a reference are r and r², of r centred and scaled by `mean`, `deviation` (B, 1, 1)."""

    mean: Tensor
    deviation: Tensor

    @classmethod
    def of(cls, reference: Tensor) -> _Features:
        deviation, mean = torch.std_mean(reference, dim=(-2, -1), keepdim=True, correction=0)
        return cls(mean, deviation.clamp(min=1e-12))

    def __call__(self, reference: Tensor) -> list[Tensor]:
        centred = (reference - self.mean) / self.deviation
        return [centred, centred * centred]


class _Slices:
    """`detail.Level` for batches of slices: its resolutions and windows, applied to tensors (B, h, w)."""

    def __init__(self, level: Level) -> None:
        self.level = level

    def _apply(self, array: Tensor, name: str) -> Tensor:
        return separable(
            array, *(operator(a, n, name, array) for a, n in zip(self.level.axes[1:], self.level.fine[1:], strict=True))
        )

    def acquire(self, image: Tensor) -> Tensor:
        return self._apply(image, "forward")

    def interpolate(self, acquired: Tensor) -> Tensor:
        return self._apply(acquired, "interpolate")

    def missing(self, image: Tensor) -> Tensor:
        return image - self._apply(self.acquire(image), "spread")

    def coarser(self, factor: float) -> _Slices:
        return _Slices(self.level.coarser(factor))

    def high_pass(self, acquired: Tensor) -> Tensor:
        below = self.coarser(BAND)
        return acquired - below.interpolate(below.acquire(acquired))

    def carry(self, slopes: Tensor) -> Tensor:
        pairs = zip(self.level.axes[1:], self.level.fine[1:], strict=True)
        return separable(slopes, *(_carry(axis, n, slopes.device, slopes.dtype) for axis, n in pairs))

    def mean(self, product: Tensor, radius: int) -> Tensor:
        sizes = self.level.window(radius)[1:]
        shape = product.shape[-2:]
        return separable(product, *(_mean(n, s, product.device, product.dtype)
                                    for n, s in zip(shape, sizes, strict=True)))  # fmt: skip


def guided(acquisition: SliceAcquisition, target: Tensor, reference: Tensor) -> Tensor:
    """The guided image of every slice, before data consistency.

    Args:
        target: (B, h, w) as recorded by `acquisition`. reference: (B, H, W) on the truth's grid.

    Returns:
        (B, H, W); where the reference explains nothing, the zero-filled image.
    """
    image = acquisition.zero_filled(target)
    refined = tuple(n > axis.samples for axis, n in zip(acquisition.axes, acquisition.fine, strict=True))
    if not any(refined):
        return image
    slices = _Slices(Level((ACROSS, *acquisition.axes), (1, *acquisition.fine), (False, *refined)))
    weights = _learn(slices, target, reference)
    features = _Features.of(reference)
    total = torch.zeros(2, *target.shape, dtype=target.dtype, device=target.device)
    maps = _slopes(slices, features, _energies(slices, features, reference), target, reference)
    for c, (count, _) in enumerate(CANDIDATES):
        total[:count] += weights[:, c, None, None] * maps[c]
    return image + _inject(slices, features, reference, total)


def _learn(slices: _Slices, target: Tensor, reference: Tensor) -> Tensor:
    """Weights (B, candidates), judged one octave down where the target is the truth; see `detail.learn`."""
    acquired = slices.acquire(reference)
    below = slices.coarser(OCTAVE)
    features, low = _Features.of(acquired), below.acquire(target)
    maps = _slopes(below, features, _energies(below, features, acquired), low, acquired)
    truth = (target - below.interpolate(low)).flatten(1)
    details = torch.stack([_inject(below, features, acquired, m).flatten(1) for m in maps], dim=1)
    grams = (details @ details.transpose(1, 2)).double().cpu().numpy()
    rights = (details @ truth[:, :, None])[:, :, 0].double().cpu().numpy()
    found = []
    for gram, right in zip(grams, rights, strict=True):
        weights = optimize.nnls(gram, right)[0] if np.isfinite(gram).all() and gram.any() else np.zeros(len(right))
        weights = weights / max(1.0, weights.sum())
        found.append(weights if weights.sum() > 1e-3 else 0 * weights)
    return torch.from_numpy(np.array(found)).to(target)


def _energies(slices: _Slices, features: _Features, reference: Tensor) -> list[Tensor]:
    bands = [slices.high_pass(slices.acquire(feature)) for feature in features(reference)]
    return [band.square().mean((-2, -1), keepdim=True) + 1e-20 for band in bands]


def _slopes(
    slices: _Slices, features: _Features, energies: list[Tensor], target: Tensor, reference: Tensor
) -> list[Tensor]:
    """Slope maps of every candidate, each (number of features, B, h, w)."""
    detail = slices.high_pass(target)
    roots = [energy.sqrt() for energy in energies]
    bands = [slices.high_pass(slices.acquire(f)) / r for f, r in zip(features(reference), roots, strict=True)]
    products = torch.stack([bands[0] ** 2, bands[1] ** 2, bands[0] * bands[1], bands[0] * detail, bands[1] * detail])
    maps: list[Tensor | None] = [None] * len(CANDIDATES)
    for radius in RADII:
        first, second, cross, *toward = slices.mean(products, radius)
        for c, (count, ridge) in enumerate(CANDIDATES):
            right = [toward[f] if maps[c] is None else toward[f] + ridge * maps[c][f] for f in range(count)]
            if count == 1:
                maps[c] = (right[0] / (first + ridge))[None]
            else:
                determinant = (first + ridge) * (second + ridge) - cross * cross
                maps[c] = torch.stack(
                    [right[0] * (second + ridge) - right[1] * cross, right[1] * (first + ridge) - right[0] * cross]
                ) / determinant  # fmt: skip
    return [torch.stack([slope / root for slope, root in zip(m, roots, strict=False)]) for m in maps]


def _inject(slices: _Slices, features: _Features, reference: Tensor, slopes: Tensor) -> Tensor:
    detail = torch.zeros_like(reference)
    for slope, feature in zip(slopes, features(reference), strict=False):
        detail = detail + slices.carry(slope) * (feature - slices.interpolate(slices.acquire(feature)))
    return slices.missing(detail)


@lru_cache(maxsize=KEPT)
def _carry(axis: AxisModel, fine: int, device: torch.device, dtype: torch.dtype) -> Tensor | None:
    if fine == axis.samples:
        return None
    step, offset = axis.lattice_positions(fine)
    positions = np.clip(step * np.arange(fine) + offset, 0, axis.samples - 1)
    return torch.from_numpy(kernels.linear(axis.samples, positions)).to(device, dtype)


@lru_cache(maxsize=KEPT)
def _mean(n: int, size: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """The moving mean over `size` samples with mirrored ends, as a matrix (n, n)."""
    return torch.from_numpy(ndimage.uniform_filter1d(np.eye(n), size, axis=0, mode="reflect")).to(device, dtype)
