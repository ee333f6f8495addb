"""The reference check: whether a network's result is better with the reference, one octave down.

A few slices of the target are degraded once more and super-resolved with and without the reference; the target itself
is the ground truth. Residuals on the measured data would tell nothing, as data consistency makes them zero for any
reference.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..acquisition.axis import Kind
from ..acquisition.slices import SliceAcquisition
from ..core.progress import Monitor
from ..networks.intensity import IntensityNormalisation
from ..networks.spec import Spec
from .correction_inputs import correction_inputs
from .correction_limit import limit_correction
from .slice_network import SliceNetwork
from .slice_stack import SliceStack

_SLICES = 4
_SMALLEST = 24  # samples that the degraded slices must have along each axis
_FACTOR = 2.0
# Of the squared error. Aligned references reach 0.19 to 0.90 at x2 to x4, for single slices (patient26, 5 pairs);
# shifted by three pixels, which costs 0.2 to 1 dB without a check, 0.91 to 1.13 at x2, 3 of 60 slices below 0.95.
_THRESHOLD = 0.93


@dataclass(frozen=True)
class ReferenceTrial:
    """A target and a reference in slices (slices, rows, columns), for `reference_improves`.

    Attributes:
        kinds: acquisition of rows and columns.
        factors: by how much rows and columns are to be refined; those of 1 are left alone.
        target: (N, h, w), as acquired.
        reference: (N, f·h, f·w) with f = `reference_oversampling`.
    """

    kinds: tuple[Kind, Kind]
    factors: tuple[float, float]
    target: np.ndarray
    reference: np.ndarray


def reference_improves(
    network: SliceNetwork,
    trial: ReferenceTrial,
    target: IntensityNormalisation,
    reference: IntensityNormalisation,
    monitor: Monitor,
) -> bool:
    """Whether the slices of `trial` are better with the reference.

    Args:
        target, reference: normalisations of the volumes.
    """
    spec = network.spec
    numbers = _representative(trial)
    oversampling = reference_oversampling(spec)
    truth, aligned = (
        _crop_to_multiples(torch.from_numpy(np.ascontiguousarray(images[numbers])), spec, factor)
        for images, factor in ((trial.target, 1), (trial.reference, oversampling))
    )
    shape = tuple(truth.shape[1:])
    lower = tuple(
        1.0 if f <= 1 else _FACTOR if spec.fixed_scale is not None else min(f, _FACTOR, max(1.0, n / _SMALLEST))
        for f, n in zip(trial.factors, shape, strict=True)
    )
    if max(lower) == 1:
        return True  # too small for a trial
    acquired = SliceAcquisition.of(shape, lower, trial.kinds)
    # the result may be finer than the truth, which it is compared with after an acquisition of its own
    fine = tuple(oversampling * n for n in shape)
    acquisition = SliceAcquisition.of(fine, tuple(oversampling * f for f in lower), trial.kinds)
    to_truth = SliceAcquisition.of(fine, (float(oversampling),) * 2, trial.kinds)

    def squared_error(truth: Tensor, low: Tensor, other: Tensor | None) -> Tensor:
        monitor.check()
        images = correction_inputs(spec.base, acquisition, low, other)
        images = acquisition.zero_filled(low)[:, None] if images is None else images
        auxiliary = None if spec.auxiliary_image is None else images[:, 1]
        slices = SliceStack(acquisition.axes, low, images[:, 0], other, auxiliary)
        image, _ = limit_correction(network(slices, target, reference), slices.base, slices.axes)
        return (to_truth.forward(acquisition.consistent(image, low)) - truth).square().sum()

    def errors(device: str) -> list[float]:
        there, other = truth.to(device), aligned.to(device)
        low = acquired.forward(there)
        return torch.stack([squared_error(there, low, other), squared_error(there, low, None)]).tolist()

    with network.without_augmentation():  # which would improve both alike
        with_reference, without = network.run(errors, monitor.silent)
    return with_reference < _THRESHOLD * without


def reference_oversampling(spec: Spec) -> int:
    """How many times as fine as the target the check needs the reference.

    It is made one octave down whatever the scale: a network of ×4 then makes an image twice as fine as the target,
    which is acquired again on its samples. Two octaves down too few pixels are left: of patient26's T2 at ×4, 42 × 54
    pixels a slice, 10 × 13, and references that were worth 0.7 dB were left out.
    """
    return 1 if spec.fixed_scale is None else max(1, round(spec.fixed_scale / _FACTOR))


def _representative(trial: ReferenceTrial) -> np.ndarray:
    """Numbers of a few slices, spread over those with contrast in both images."""
    contrast = trial.target.std((1, 2)) * trial.reference.std((1, 2))
    (candidates,) = np.nonzero(contrast > 0.3 * contrast.max())
    if len(candidates) == 0:
        return np.array([len(contrast) // 2])
    return candidates[np.unique(np.linspace(0, len(candidates) - 1, _SLICES + 2).round().astype(int)[1:-1])]


def _crop_to_multiples(images: torch.Tensor, spec: Spec, factor: int) -> torch.Tensor:
    """Slices cropped to multiples of twice the fixed scale: first pixels coincide, as they do for even sizes.

    Args:
        factor: how many times as fine as the target `images` are.
    """
    if spec.fixed_scale is None:
        return images
    window = [..., slice(None), slice(None)]
    for dim in (-2, -1):
        n = images.shape[dim] // factor
        start = n * factor // 2 - n // 2 * factor  # where the target's first pixel lies
        window[dim] = slice(start, start + (n - n % (2 * spec.fixed_scale)) * factor)
    return images[tuple(window)].contiguous()
