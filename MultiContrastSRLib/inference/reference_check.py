"""The reference check: whether a network's result is better with the reference, one octave down.

A few slices of the target are degraded once more and super-resolved with and without the reference; the target itself
is the ground truth. Residuals on the measured data would tell nothing, as data consistency makes them zero for any
reference.
"""

from __future__ import annotations

import numpy as np
import torch

from ..acquisition.slices import SliceAcquisition
from ..core.progress import Monitor
from ..networks.intensity import IntensityNormalisation
from ..networks.spec import Spec
from .slice_base import base_image
from .correction_limit import limit_correction
from .slice_network import SliceNetwork
from .slice_stack import SliceStack

_SLICES = 4
_SMALLEST = 24  # samples that the degraded slices must have along each axis
_FACTOR = 2.0
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
        stack: `target` (N, h, w), and `reference` (N, f·h, f·w) with f = `reference_oversampling`; `base` is not used.
        factors: by how much rows and columns are to be refined; those of 1 are left alone.
        target, reference: normalisations of the volumes.
    """
    spec = network.spec
    numbers = _representative(stack)
    oversampling = reference_oversampling(spec)
    truth, aligned = (
        _crop_to_multiples(torch.from_numpy(np.ascontiguousarray(images[numbers])), spec, factor)
        for images, factor in ((stack.target, 1), (stack.reference, oversampling))
    )
    shape = tuple(truth.shape[1:])
    kinds = tuple(axis.kind for axis in stack.axes)
    lower = tuple(
        1.0 if f <= 1 else _FACTOR if spec.fixed_scale is not None else min(f, _FACTOR, max(1.0, n / _SMALLEST))
        for f, n in zip(factors, shape, strict=True)
    )
    if max(lower) == 1:
        return True  # too small for a trial
    low = SliceAcquisition.of(shape, lower, kinds).forward(truth)
    # the result may be finer than the truth, which it is compared with after an acquisition of its own
    fine = tuple(oversampling * n for n in shape)
    acquisition = SliceAcquisition.of(fine, tuple(oversampling * f for f in lower), kinds)
    to_truth = SliceAcquisition.of(fine, (float(oversampling),) * 2, kinds)
    errors = []
    for other in (aligned, None):
        monitor.check()
        base = base_image(spec.base, acquisition, low, other)
        base = acquisition.zero_filled(low) if base is None else base[:, 0]
        arrays = [None if x is None else x.numpy() for x in (low, base, other)]
        slices = SliceStack(acquisition.axes, *arrays)
        with network.without_augmentation():  # which would improve both alike
            image, _ = limit_correction(network(slices, target, reference, monitor.silent), slices.base, slices.axes)
        image = torch.from_numpy(image)
        errors.append(float((to_truth.forward(acquisition.consistent(image, low)) - truth).square().sum()))
    return errors[0] < _THRESHOLD * errors[1]


def reference_oversampling(spec: Spec) -> int:
    """How many times as fine as the target the check needs the reference.

    It is made one octave down whatever the scale: a network of ×4 then makes an image twice as fine as the target,
    which is acquired again on its samples. Two octaves down too few pixels are left: of patient26's T2 at ×4, 42 × 54
    pixels a slice, 10 × 13, and references that were worth 0.7 dB were left out.
    """
    return 1 if spec.fixed_scale is None else max(1, round(spec.fixed_scale / _FACTOR))


def _representative(stack: SliceStack) -> np.ndarray:
    """Numbers of a few slices, spread over those with contrast in both images."""
    contrast = stack.target.std((1, 2)) * stack.reference.std((1, 2))
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
