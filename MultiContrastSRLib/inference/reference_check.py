"""The reference check: whether a network's result is better with the reference, one octave down.

A few slices of the target are degraded once more and super-resolved with and without the reference; the target itself
is the ground truth. Residuals on the measured data would tell nothing, as data consistency makes them zero for any
reference.
"""

from __future__ import annotations

import numpy as np
import torch

from ..core.progress import Monitor
from ..networks.intensity import IntensityNormalisation
from .correction_limit import limit_correction
from .slice_base import base_image
from .slice_network import SliceNetwork
from .slice_stack import SliceStack
from .trial_acquisition import TrialAcquisition, oversampling, trial_stack

_SLICES = 4
# Of the squared error. Aligned references reach 0.19 to 0.90 at x2 to x4, for single slices (patient26, 5 pairs);
# shifted by three pixels, which costs 0.2 to 1 dB without a check, 0.91 to 1.13 at x2, 3 of 60 slices below 0.95.
_THRESHOLD = 0.93


def reference_improves(
    network: SliceNetwork,
    stack: SliceStack,
    factors: tuple[float, float],
    target: IntensityNormalisation,
    reference: IntensityNormalisation,
    monitor: Monitor,
) -> bool:
    """Whether the slices of `stack` are better with the reference.

    Args:
        stack: `target` (N, h, w), and `reference` (N, f·h, f·w) with f = `oversampling`; `base` is not used.
        factors: by how much rows and columns are to be refined; those of 1 are left alone.
        target, reference: normalisations of the volumes.
    """
    spec = network.spec
    trial = TrialAcquisition.of(spec, stack.axes, factors)
    if trial is None:
        return True
    numbers = _representative(stack)
    truth = trial.cropped(stack.target[numbers])
    aligned = trial.cropped(stack.reference[numbers], oversampling(spec))
    low = trial.degrading.forward(truth)
    errors = []
    for other in (aligned, None):
        monitor.check()
        base = base_image(spec.base, trial.acquisition, low, other)
        base = trial.acquisition.zero_filled(low) if base is None else base[:, 0]
        slices = trial_stack(trial, low, base, other)
        with network.without_augmentation():  # which would improve both alike
            image, _ = limit_correction(network(slices, target, reference, monitor.silent), slices.base, slices.axes)
        image = trial.acquisition.consistent(torch.from_numpy(image), low)
        errors.append(float((trial.on_target(image) - truth).square().sum()))
    return errors[0] < _THRESHOLD * errors[1]


def _representative(stack: SliceStack) -> np.ndarray:
    """Numbers of a few slices, spread over those with contrast in both images."""
    contrast = stack.target.std((1, 2)) * stack.reference.std((1, 2))
    (candidates,) = np.nonzero(contrast > 0.3 * contrast.max())
    if len(candidates) == 0:
        return np.array([len(contrast) // 2])
    return candidates[np.unique(np.linspace(0, len(candidates) - 1, _SLICES + 2).round().astype(int)[1:-1])]
