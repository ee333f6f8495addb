"""Whether a reference helps a network: judged one level down, where the target itself is the truth.

A few slices of the target are degraded once more and reconstructed with and without the reference. Comparing residuals
on the measured data instead would be vacuous, as data consistency makes them zero for any reference.
"""

from __future__ import annotations

import numpy as np
import torch

from ..acquisition.slices import SliceAcquisition
from ..core.progress import Monitor
from ..networks.intensity import Intensity
from .base_slices import base_images
from .limit import limit_correction
from .slices import SliceNetwork, Stack

_SLICES = 4
_SMALLEST = 24  # samples that the degraded slices must have along each axis
_FACTOR = 2.0
# Of the squared error. References in place got 0.19 to 0.90 at x2 to x4, each slice judged alone (patient26, 5 pairs);
# shifted by three pixels, which with no gate costs 0.2 to 1 dB, 0.91 to 1.13 at x2, three of sixty slices below 0.95.
_WORTH = 0.93


def helps(
    network: SliceNetwork,
    stack: Stack,
    factors: tuple[float, float],
    target: Intensity,
    reference: Intensity,
    monitor: Monitor,
) -> bool:
    """Whether the slices of `stack` are better with the reference.

    Args:
        stack: `target` (N, h, w), and `reference` (N, finer(network)·h, finer(network)·w); `base` is not looked at.
        factors: by how much rows and columns are to be refined; those of 1 are left alone.
    """
    chosen = _representative(stack)
    times = finer(network)
    truth, other = (_even(torch.from_numpy(np.ascontiguousarray(a[chosen])), network, n)
                    for a, n in ((stack.target, 1), (stack.reference, times)))  # fmt: skip
    shape = tuple(truth.shape[1:])
    kinds = tuple(axis.kind for axis in stack.axes)
    fixed = hasattr(network.spec, "scale")
    lower = tuple(
        1.0 if f <= 1 else _FACTOR if fixed else min(f, _FACTOR, max(1.0, n / _SMALLEST))
        for f, n in zip(factors, shape, strict=True)
    )
    if max(lower) == 1:
        return True  # too small to tell
    trial = SliceAcquisition.of(shape, lower, kinds)
    low = trial.forward(truth)
    # what is made may be finer than what it is compared with
    made = tuple(times * n for n in shape)
    acquisition = SliceAcquisition.of(made, tuple(times * f for f in lower), kinds)
    seen = SliceAcquisition.of(made, (float(times),) * 2, kinds)
    errors = []
    for shown in (other, None):
        monitor.check()
        images = base_images(network.spec.base, acquisition, low, shown)
        images = acquisition.zero_filled(low)[:, None] if images is None else images
        beside = images[:, 1] if network.spec.beside else None
        arrays = [None if x is None else x.numpy() for x in (low, images[:, 0], shown, beside)]
        with network.quick():  # either image would gain alike by more
            slices = Stack(acquisition.axes, *arrays)
            image, _ = limit_correction(network(slices, target, reference, monitor.silent), slices.base, slices.axes)
        image = torch.from_numpy(image)
        errors.append(float((seen.forward(acquisition.consistent(image, low)) - truth).square().sum()))
    return errors[0] < _WORTH * errors[1]


def finer(network: SliceNetwork) -> int:
    """How many times as fine as the target the trial needs the reference.

    It is made one octave down whatever the scale: a network of ×4 then makes an image twice as fine as the target,
    which is brought back to it. Two octaves down too little is left to judge by: of patient26's T2 at ×4, 42 × 54
    pixels a slice, 10 × 13, and references that were worth 0.7 dB were left out.
    """
    return max(1, round(getattr(network.spec, "scale", _FACTOR) / _FACTOR))


def _representative(stack: Stack) -> np.ndarray:
    """Numbers of a few slices, spread over those that show something in both images."""
    contrast = stack.target.std((1, 2)) * stack.reference.std((1, 2))
    (shown,) = np.nonzero(contrast > 0.3 * contrast.max())
    if len(shown) == 0:
        return np.array([len(contrast) // 2])
    return shown[np.unique(np.linspace(0, len(shown) - 1, _SLICES + 2).round().astype(int)[1:-1])]


def _even(images: torch.Tensor, network: SliceNetwork, times: int) -> torch.Tensor:
    """Slices cut to sizes that a network of one scale was made for: first pixels coincide, as they do for even sizes.

    Args:
        times: how many times as fine as the target `images` are.
    """
    scale = getattr(network.spec, "scale", None)
    if scale is None:
        return images
    cut = [..., slice(None), slice(None)]
    for dim in (-2, -1):
        n = images.shape[dim] // times
        start = n * times // 2 - n // 2 * times  # where the target's first pixel lies
        cut[dim] = slice(start, start + (n - n % (2 * scale)) * times)
    return images[tuple(cut)].contiguous()
