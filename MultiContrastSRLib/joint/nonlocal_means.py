"""Non-local means of several contrasts: every voxel becomes a mean over voxels with similar patches around them.

Non-local means (Buades, Coll, Morel, CVPR 2005) of all contrasts at once, for super-resolution as in Manjón, Coupé,
Buades, Fonov, Collins, Robles, "Non-local MRI upsampling", Medical Image Analysis 14(6), 2010: filter, enforce data
consistency, repeat. Here the distance of two patches counts the other contrasts more than the contrast itself, whose
own patches are all blurred along its slices.

Images are tensors (contrasts, k, j, i) in units of each contrast's own gradient size.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import torch
from torch import Tensor
from torch.nn import functional

from ..core.progress import Monitor
from ..core.threads import for_each

_WIDTHS = 1.2, 0.9  # in the first and the last round, in units of the expected error
_SEARCH, _PATCH = 2, 1  # radii in voxels of the search window and of a patch
_OWN, _OTHERS = 0.5, 2.0  # weights of the distance in the contrast itself, and of the mean over the others
_BLOCK = 1 << 17  # voxels processed at once, few enough for the processor's cache
_BLOCK_ON_DEVICE = 1 << 22  # enough to keep any GPU busy; takes about 50 bytes a voxel and contrast
_TINY = 1e-6


def filter_widths(rounds: int) -> list[float]:
    """The filter's width in each round, in units of the images' expected errors."""
    return torch.linspace(*_WIDTHS, rounds).tolist()


def nonlocal_means(
    images: Tensor, axes: Sequence[int], widths: Sequence[float], monitor: Monitor | None = None
) -> Tensor:
    """The mean over the search window of every voxel, weighted by the similarity of patches: (contrasts, k, j, i).

    Args:
        images: (contrasts, k, j, i).
        axes: along which the search window and patches extend (0 k, 1 j, 2 i); along the others slices are independent.
        widths: per contrast, the RMS difference of two patches at which the weight is 1/e. The voxel itself has weight
            1: where no patch is similar it keeps its value.
    """
    monitor = monitor or Monitor()
    margins = [_SEARCH + _PATCH if axis in axes else 0 for axis in range(3)]
    around = [n for margin in reversed(margins) for n in (margin, margin)]
    padded = functional.pad(images[None], around, mode="replicate")[0]
    filtered = torch.empty_like(images)
    size = (2 * _PATCH + 1) ** len(axes)
    scales = images.new_tensor([-1.0 / (size * max(width, _TINY) ** 2) for width in widths]).view(-1, 1, 1, 1)
    on_device = images.device.type != "cpu"
    depth = max(1, (_BLOCK_ON_DEVICE if on_device else _BLOCK) // images[0, 0].numel())

    def filter_from(first: int, monitor: Monitor) -> None:
        part = padded[:, first : first + depth + 2 * margins[0]]
        filtered[:, first : first + depth] = _block(part, axes, scales, monitor)

    firsts = range(0, images.shape[1], depth)
    if on_device:
        for first in firsts:
            filter_from(first, monitor)
    else:
        for_each(firsts, filter_from, monitor)
    return filtered


def _block(padded: Tensor, axes: Sequence[int], scales: Tensor, monitor: Monitor) -> Tensor:
    reach = _SEARCH + _PATCH
    middle = _shifted(padded, axes, (0, 0, 0), reach)
    total, weights = middle.clone(), torch.ones_like(middle)
    others = _OTHERS / max(1, len(padded) - 1)
    steps = [range(-_SEARCH, _SEARCH + 1) if axis in axes else (0,) for axis in range(3)]
    for offset in product(*steps):
        if offset <= (0, 0, 0):  # two patches are compared once, for both of their voxels
            continue
        monitor.check()
        # pairs of voxels `offset` apart, of which one at least is in the block
        first, second = padded, padded
        for axis in axes:
            size = middle.shape[axis + 1] + abs(offset[axis]) + 2 * _PATCH
            first = first.narrow(axis + 1, _SEARCH - max(0, offset[axis]), size)
            second = second.narrow(axis + 1, _SEARCH + min(0, offset[axis]), size)
        distance = torch.sub(first, second).square_()
        for axis in axes:
            distance = _summed(distance, axis + 1)
        if len(distance) > 1:
            distance = torch.add(distance.sum(0, keepdim=True).mul_(others), distance, alpha=_OWN - others)
        weight = distance.mul_(scales).exp_()
        for sign in (1, -1):
            own = weight
            for axis in axes:
                own = own.narrow(axis + 1, max(0, sign * offset[axis]), middle.shape[axis + 1])
            total.addcmul_(own, _shifted(padded, axes, [sign * step for step in offset], reach))
            weights.add_(own)
    return total.div_(weights)


def _shifted(padded: Tensor, axes: Sequence[int], offset: Sequence[int], margin: int) -> Tensor:
    """`padded` without a `margin` on either side, shifted by `offset` voxels."""
    for axis in axes:
        padded = padded.narrow(axis + 1, margin + offset[axis], padded.shape[axis + 1] - 2 * margin)
    return padded


def _summed(values: Tensor, dim: int) -> Tensor:
    """Sums over a patch along `dim`, which becomes shorter by a patch's radius on either side."""
    n = values.shape[dim] - 2 * _PATCH
    sums = values.narrow(dim, 0, n) + values.narrow(dim, 1, n)
    for first in range(2, 2 * _PATCH + 1):
        sums.add_(values.narrow(dim, first, n))
    return sums
