"""Joint total variation of batches of slices: an auxiliary image that networks are given.

The same as `volumes` reconstructs from volumes of independent slices, with fewer iterations (tested). It is made on the
device of the slices, all of them at once unless that is the CPU.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ..acquisition.axis import AxisModel
from ..acquisition.noise import noise_of_slices
from ..acquisition.operators import matrix_like
from ..acquisition.slices import ACROSS, SliceAcquisition
from ..core.cache import bytes_bounded_cache
from ..core.progress import Monitor
from ..core.threads import for_each
from .channel import Channel, slice_channel
from .data_term import project
from .observation import Observation, decompose
from .reconstruction import minimise
from .solver import Solver

ITERATIONS = 24  # 40 gain 0.1 to 0.2 dB and take two thirds longer
_RATES = (0.0, 1.0, 1.0)  # slices are independent
_CACHE_BYTES = 64 << 20  # of decomposed operators, some 100 kB each


def joint_tv(acquisition: SliceAcquisition, target: Tensor, reference: Tensor | None) -> Tensor:
    """The target's image (B, H, W) by joint total variation, each slice by itself, before data consistency.

    A slice whose reference is constant is reconstructed without it; one that is constant itself is zero-filled.

    Args:
        acquisition: of the target.
        target: (B, h, w) as recorded by `acquisition`.
        reference: (B, H, W) at high resolution, or (B, h, w) recorded like the target, on the device of `target`;
            None: total variation of the target alone.
    """
    image = target.new_empty((len(target), *acquisition.fine))

    def reconstruct_part(part: slice, monitor: Monitor) -> None:
        image[part] = _reconstructed(acquisition, target[part], None if reference is None else reference[part], monitor)

    if target.device.type == "cpu":
        # one by one: a slice fills the cache, and no bit of its image depends on the others
        for_each([slice(number, number + 1) for number in range(len(target))], reconstruct_part, Monitor())
    elif len(target):
        reconstruct_part(slice(0, len(target)), Monitor())
    return image


@torch.inference_mode()
def _reconstructed(acquisition: SliceAcquisition, target: Tensor, reference: Tensor | None, monitor: Monitor) -> Tensor:
    image = acquisition.zero_filled(target).float()
    contrasts = [_contrast(acquisition, target.float(), image)]
    if reference is not None:
        low = reference.shape[1:] != image.shape[1:]
        interpolated = acquisition.zero_filled(reference) if low else reference
        contrasts.append(_contrast(acquisition if low else None, reference.float(), interpolated.float()))
    channels, varies = zip(*contrasts, strict=True)
    joint = torch.stack(varies).all(0)
    alone = varies[0] & ~joint
    # all slices are reconstructed for the few: their bits must not depend on how many there are
    for count, chosen, any_chosen in zip((1, len(channels)), (alone, joint), _any(alone, joint), strict=True):
        if any_chosen:
            image = torch.where(chosen[:, None, None], _minimised(channels[:count], monitor), image)
    return image


def _any(*masks: Tensor) -> list[bool]:
    """Whether each of the masks has a true element, by one transfer from the device."""
    return torch.stack(masks).any(1).tolist()


def _contrast(acquisition: SliceAcquisition | None, low: Tensor, interpolated: Tensor) -> tuple[Channel, Tensor]:
    """See `slice_channel`; without an acquisition, `low` is at high resolution."""
    if acquisition is None:
        axes = [AxisModel("kspace", n, 1.0) for n in low.shape[1:]]
        fine = tuple(low.shape[1:])
    else:
        axes, fine = acquisition.axes, acquisition.fine
    left, gains, right = (
        [matrix_like(low, _factor, axis, n, which) for axis, n in zip(axes, fine, strict=True)] for which in range(3)
    )
    rows, columns = (low.new_ones(1) if gain is None else gain for gain in gains)
    coefficients = project(low, (None, *left))
    observation = Observation((None, *right), rows[None, :, None] * columns, coefficients, interpolated, (None, *left))
    return slice_channel(observation, low, noise_of_slices(low, (ACROSS, *axes)))


def _minimised(channels: Sequence[Channel], monitor: Monitor) -> Tensor:
    solver = Solver(channels, _RATES, 1.0, channels[0].scans[0].interpolated.device)
    minimise(solver, ITERATIONS, monitor)
    return solver.final_image(0, monitor)


def _factor(axis: AxisModel, fine: int, which: int) -> np.ndarray | None:
    """One of U, singular values and V of an axis' acquisition; None where that is the identity."""
    factors = _decomposed(axis, fine)
    return None if factors is None else factors[which]


@bytes_bounded_cache(_CACHE_BYTES)
def _decomposed(axis: AxisModel, fine: int) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    operator = axis.forward(fine)
    return None if operator is None else decompose(operator)
