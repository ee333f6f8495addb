"""Joint total variation of batches of slices: an auxiliary image that networks are given.

The same as `volumes` reconstructs from volumes of independent slices, with fewer iterations (tested).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..acquisition.axis import AxisModel
from ..acquisition.noise import noise_of_samples
from ..acquisition.slices import ACROSS, SliceAcquisition
from ..core.cache import bytes_bounded_cache
from .channel import make_channel
from .observation import Observation, decompose
from .reconstruction import reconstruct

ITERATIONS = 24  # 40 gain 0.1 to 0.2 dB and take two thirds longer
_RATES = (0.0, 1.0, 1.0)  # slices are independent
_CACHE_BYTES = 64 << 20  # of decomposed operators, some 100 kB each


def joint_tv(acquisition: SliceAcquisition, target: Tensor, reference: Tensor | None) -> Tensor:
    """The target's image (B, H, W) by joint total variation, slice by slice, before data consistency.

    Args:
        acquisition: of the target.
        target: (B, h, w) as recorded by `acquisition`.
        reference: (B, H, W) at high resolution, or (B, h, w) recorded like the target; None: total variation of the
            target alone.
    """
    initial = acquisition.zero_filled(target)
    images = []
    for number, image in enumerate(initial):
        contrasts = [_observed(acquisition, target[number], image)]
        if reference is not None:
            other = reference[number]
            low = other.shape != image.shape
            interpolated = acquisition.zero_filled(other) if low else other
            contrasts.append(_observed(acquisition if low else None, other, interpolated))
        images.append(_reconstructed(contrasts, target.device))
    return torch.stack(images).to(target)


def _observed(
    acquisition: SliceAcquisition | None, low: Tensor, interpolated: Tensor
) -> tuple[Observation, float, np.ndarray]:
    """(observation of a slice, its noise, its samples); without an acquisition, `low` is at high resolution."""
    samples, image = (np.ascontiguousarray(x.cpu().numpy(), dtype=np.float32)[None] for x in (low, interpolated))
    if acquisition is None:
        axes, parts = [AxisModel("kspace", n, 1.0) for n in samples.shape[1:]], (None, None)
    else:
        axes, parts = acquisition.axes, tuple(map(_decomposed, acquisition.axes, acquisition.fine))
    observation = Observation.from_decomposed((None, *parts), samples, image)
    return observation, noise_of_samples(samples, (ACROSS, *axes)), samples


def _reconstructed(contrasts: list[tuple[Observation, float, np.ndarray]], device: torch.device) -> Tensor:
    channels, images = zip(*(make_channel([(o, noise)], [s], _RATES) for o, noise, s in contrasts), strict=True)
    if channels[0] is None:
        return torch.from_numpy(images[0][0])
    varying = [channel for channel in channels if channel is not None]
    return torch.from_numpy(reconstruct(varying, _RATES, iterations=ITERATIONS, device=str(device))[0][0])


@bytes_bounded_cache(_CACHE_BYTES)
def _decomposed(axis: AxisModel, fine: int) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    operator = axis.forward(fine)
    return None if operator is None else decompose(operator)
