"""The base image of single slices, as a tensor: for training and for the reference check."""

from __future__ import annotations

import torch
from torch import Tensor

from ..acquisition.slices import SliceAcquisition
from ..guided.slices import guided


def base_image(
    name: str | None,
    acquisition: SliceAcquisition,
    low: Tensor,
    reference: Tensor | None,
    confidence: Tensor | None = None,
) -> Tensor | None:
    """The image (B, 1, H, W) that a network with this `Spec.base_image` corrects; None where that is None.

    Args:
        low: (B, h, w) as acquired.
        reference: (B, H, W), or (B, h, w) acquired like the target, which guided does not use; None without.
        confidence: (B, H, W) from 0 to 1, how far guided is used at each pixel; None for 1.
    """
    if name is None:
        return None
    image = acquisition.zero_filled(low)
    if name == "guided" and reference is not None and reference.shape[-2:] == acquisition.fine:
        found = guided(acquisition, low, reference)
        image = found if confidence is None else torch.lerp(image, found, confidence)
    return acquisition.consistent(image, low)[:, None]
