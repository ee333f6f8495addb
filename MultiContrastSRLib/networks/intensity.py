"""Normalisation of intensities by statistics of the acquired image.

The truth's maximum is unknown when a scan is super-resolved, so the statistics are those of the acquired samples only.
Those of a volume may serve for all of its slices.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .spec import Spec

_LOW, _HIGH = 0.005, 0.995  # quantiles that become 0 and 1
_CONSTANT = 1e-5  # share of the largest magnitude below which a range is rounding error of Fourier transforms


class IntensityNormalisation(NamedTuple):
    """x → (x − offset) / scale, tensors that broadcast over (B, C, H, W): on the images' device, or without axes."""

    offset: Tensor
    scale: Tensor

    def apply(self, image: Tensor) -> Tensor:
        """`image` normalised for the network."""
        return (image - self.offset) / self.scale

    def undo(self, image: Tensor) -> Tensor:
        """A normalised image in the original units."""
        return image * self.scale + self.offset


def estimate_normalisation(image: Tensor, spec: Spec) -> IntensityNormalisation:
    """The normalisation that the network of `spec` uses, for every image of (B, C, H, W) from the image itself.

    "percentile": the range from the 0.5th to the 99.5th percentile becomes 0…1. "z-score": zero mean and unit standard
    deviation. MINet's authors clamp z-scores to ±6, which would cut off bright tissue in slices with little tissue, and
    with it data consistency.

    >>> from MultiContrastSRLib.networks.registry import published
    >>> found = estimate_normalisation(torch.tensor([[[[2.0, 4.0]]]]), published("minet"))
    >>> found.apply(torch.tensor([[[[3.0, 5.0]]]])).flatten().tolist()
    [0.0, 2.0]
    """
    flat = image.flatten(1).float()
    if spec.normalisation == "z-score":
        scale, offset = torch.std_mean(flat, dim=1, correction=0)
    else:
        offset, high = _quantiles(flat)
        scale = high - offset
    # a constant image has no scale; relative to the image, so that its units do not matter
    least = _CONSTANT * flat.abs().amax(dim=1)
    scale = torch.where(scale > least, scale, torch.where(least > 0, least, 1.0))
    shape = (-1, 1, 1, 1)
    return IntensityNormalisation(offset.view(shape), scale.view(shape))


def _quantiles(flat: Tensor) -> Tensor:
    """The quantiles `_LOW` and `_HIGH` of each row of (B, n): (2, B)."""
    quantiles = torch.tensor([_LOW, _HIGH], device=flat.device)
    if flat.device.type != "cpu":
        return torch.quantile(flat, quantiles, dim=1)
    # the same numbers from a partition, which takes a tenth of the time of torch's sort
    ranks = quantiles * (flat.shape[1] - 1)
    below, above = ranks.long(), ranks.ceil().long()
    ordered = torch.from_numpy(np.partition(flat.numpy(), torch.cat([below, above]).tolist(), axis=1)).T
    return torch.lerp(ordered[below], ordered[above], (ranks - below)[:, None])
