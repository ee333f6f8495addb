"""Intensities that networks see: an image's own numbers, shifted and scaled by statistics of the measured image.

The truth's maximum is unknown when a scan is super-resolved, so nothing but the acquired samples is looked at. A
volume's statistics may stand for all of its slices.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .specs import Spec

_LOW, _HIGH = 0.005, 0.995  # quantiles that become 0 and 1


class Intensity(NamedTuple):
    """x → (x − offset) / scale; tensors that broadcast over (B, C, H, W), on the device of the images."""

    offset: Tensor
    scale: Tensor

    def to(self, device: torch.device | str) -> Intensity:
        """The same intensity for images on `device`."""
        return Intensity(self.offset.to(device), self.scale.to(device))

    def apply(self, image: Tensor) -> Tensor:
        """To what a network sees."""
        return (image - self.offset) / self.scale

    def undo(self, image: Tensor) -> Tensor:
        """Back to the image's own units."""
        return image * self.scale + self.offset


def intensity_of(image: Tensor, spec: Spec) -> Intensity:
    """The intensity that the network of `spec` wants for every image of (B, C, H, W), from the image itself.

    The range from the 0.5th to the 99.5th percentile becomes 0…1. MINet without a base: z-scores; its authors clamp
    them to ±6, which would cut off bright tissue in slices that show little, and data consistency with it.

    >>> from MultiContrastSRLib.networks.specs import MINetSpec
    >>> found = intensity_of(torch.tensor([[[[2.0, 4.0]]]]), MINetSpec())
    >>> found.apply(torch.tensor([[[[3.0, 5.0]]]])).flatten().tolist()
    [0.0, 2.0]
    """
    flat = image.flatten(1).float()
    if spec.network == "minet" and spec.base == "none":
        scale, offset = torch.std_mean(flat, dim=1, correction=0)
    else:
        offset, high = torch.quantile(flat, torch.tensor([_LOW, _HIGH], device=flat.device), dim=1)
        scale = high - offset
    shape = (-1, 1, 1, 1)
    return Intensity(offset.view(shape), scale.clamp(min=1e-6).view(shape))
