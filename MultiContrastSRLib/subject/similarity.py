"""Self-similarity: what no scan shows of a patch, patches near by that look alike may show.

Non-local means (Buades, Coll, Morel, CVPR 2005) of all contrasts at once, for super-resolution as in Manjón, Coupé,
Buades, Fonov, Collins, Robles, "Non-local MRI upsampling", Medical Image Analysis 14(6), 2010: filter, put back what
was acquired, again. Here a contrast's patches are compared in the other contrasts more than in itself, because its own
are blurred alike along its slices.

Images are tensors (contrasts, k, j, i) in units of each contrast's own gradients.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import torch
from torch import Tensor
from torch.nn import functional

from ..core.progress import Monitor

_WIDTHS = 1.2, 0.9  # in the first and the last round, in units of what is uncertain
GAIN = 1.6  # a round goes so much farther than the mean: fewer rounds
_REACH, _PATCH = 2, 1  # neighbours that are looked at, and that make a patch, on either side
_OWN, _OTHERS = 0.5, 2.0  # what differences in the contrast itself count, and in the mean of the others
_BLOCK = 1 << 17  # voxels worked on at once: what is touched several times stays in the cache
_TINY = 1e-6


def widths(rounds: int) -> list[float]:
    """The widths of so many rounds, in units of the images' expected errors."""
    return torch.linspace(*_WIDTHS, rounds).tolist()


def mean_of_similar(
    images: Tensor, axes: Sequence[int], widths: Sequence[float], monitor: Monitor | None = None
) -> Tensor:
    """Every voxel's mean over the voxels near by, weighed by how alike the patches around them are.

    Args:
        axes: of the volume (0 k, 1 j, 2 i) along which neighbours are looked at; along the others slices stand alone.
        widths: of each contrast, the difference of two patches (RMS) at which a neighbour counts 1/e. The voxel itself
            counts 1: where nothing is similar it stays what it is.
    """
    monitor = monitor or Monitor()
    margins = [_REACH + _PATCH if axis in axes else 0 for axis in range(3)]
    around = [n for margin in reversed(margins) for n in (margin, margin)]
    padded = functional.pad(images[None], around, mode="replicate")[0]
    found = torch.empty_like(images)
    size = (2 * _PATCH + 1) ** len(axes)
    scales = images.new_tensor([-1.0 / (size * max(width, _TINY) ** 2) for width in widths]).view(-1, 1, 1, 1)
    depth = max(1, _BLOCK // images[0, 0].numel())
    for first in range(0, images.shape[1], depth):
        part = padded[:, first : first + depth + 2 * margins[0]]
        found[:, first : first + depth] = _block(part, axes, scales, monitor)
    return found


def _block(padded: Tensor, axes: Sequence[int], scales: Tensor, monitor: Monitor) -> Tensor:
    patches = _shifted(padded, axes, [0, 0, 0], _REACH)
    middle = _shifted(padded, axes, [0, 0, 0], _REACH + _PATCH)
    total, weights = middle.clone(), torch.ones_like(middle)
    others = _OTHERS / max(1, len(padded) - 1)
    steps = [range(-_REACH, _REACH + 1) if axis in axes else (0,) for axis in range(3)]
    for offset in product(*steps):
        if not any(offset):
            continue
        monitor.check()
        distance = _shifted(padded, axes, offset, _REACH).sub(patches).square_()
        for axis in axes:
            distance = _summed(distance, axis + 1)
        if len(distance) > 1:
            distance = torch.add(distance.sum(0, keepdim=True).mul_(others), distance, alpha=_OWN - others)
        weight = distance.mul_(scales).exp_()
        total.addcmul_(weight, _shifted(padded, axes, offset, _REACH + _PATCH))
        weights.add_(weight)
    return total.div_(weights)


def _shifted(padded: Tensor, axes: Sequence[int], offset: Sequence[int], margin: int) -> Tensor:
    """`padded` without a `margin` on either side, seen `offset` voxels farther."""
    for axis in axes:
        padded = padded.narrow(axis + 1, margin + offset[axis], padded.shape[axis + 1] - 2 * margin)
    return padded


def _summed(values: Tensor, dim: int) -> Tensor:
    """Sums over a patch along `dim`, which loses a patch's margin on either side."""
    n = values.shape[dim] - 2 * _PATCH
    found = values.narrow(dim, 0, n) + values.narrow(dim, 1, n)
    for first in range(2, 2 * _PATCH + 1):
        found.add_(values.narrow(dim, first, n))
    return found
