"""The reference check: whether a network's result is better with the reference, one octave down.

A few slices of the target are degraded once more and super-resolved with and without the reference; the target itself
is the ground truth. Residuals on the measured data would tell nothing, as data consistency makes them zero for any
reference.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..core.progress import Monitor
from ..networks.intensity import IntensityNormalisation
from ..networks.test_time_augmentation import without_augmentation
from .correction_limit import limit_correction
from .slice_base import base_image
from .slice_network import SliceNetwork
from .trial_acquisition import TrialAcquisition, oversampling

_SLICES = 4
# Of the squared error. Aligned references reach 0.19 to 0.90 at x2 to x4, for single slices (patient26, 5 pairs);
# shifted by three pixels, which costs 0.2 to 1 dB without a check, 0.91 to 1.13 at x2, 3 of 60 slices below 0.95.
_THRESHOLD = 0.93


def reference_improves(
    network: SliceNetwork,
    trial: TrialAcquisition,
    images: tuple[np.ndarray, np.ndarray],
    target: IntensityNormalisation,
    reference: IntensityNormalisation,
    monitor: Monitor,
) -> bool:
    """Whether slices are better with the reference.

    Args:
        images: target (N, h, w) and reference (N, f·h, f·w) with f = `oversampling`.
        target, reference: normalisations of the volumes.
    """
    numbers = _representative(*images)
    truth, aligned = (
        trial.cropped(torch.tensor(slices[numbers]), finer)
        for slices, finer in zip(images, (1, oversampling(network.spec)), strict=True)
    )

    def squared_error(truth: Tensor, low: Tensor, other: Tensor | None) -> Tensor:
        monitor.check()
        base = base_image(network.spec.base_image, trial.acquisition, low, other)
        base = trial.acquisition.zero_filled(low) if base is None else base[:, 0]
        stack = trial.stack(low, base, other)
        image, _ = limit_correction(network(stack, target, reference), base, stack.axes)
        return (trial.on_target(trial.acquisition.consistent(image, low)) - truth).square().sum()

    def errors(device: str) -> list[float]:
        there, other = truth.to(device), aligned.to(device)
        low = trial.degrading.forward(there)
        return torch.stack([squared_error(there, low, other), squared_error(there, low, None)]).tolist()

    with without_augmentation():  # which would improve both alike
        with_reference, without = network.run(errors, monitor.silent)
    return with_reference < _THRESHOLD * without


def _representative(target: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Numbers of a few slices, spread over those with contrast in both images."""
    contrast = target.std((1, 2)) * reference.std((1, 2))
    (candidates,) = np.nonzero(contrast > 0.3 * contrast.max())
    if len(candidates) == 0:
        return np.array([len(contrast) // 2])
    return candidates[np.unique(np.linspace(0, len(candidates) - 1, _SLICES + 2).round().astype(int)[1:-1])]
