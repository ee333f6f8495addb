"""The images that networks correct, and see beside it."""

from __future__ import annotations

import torch
from torch import Tensor

from ..acquisition.slices import SliceAcquisition
from ..guided.slices import guided
from ..joint.slices import joint_tv


def base_images(kind: str, acquisition: SliceAcquisition, low: Tensor, reference: Tensor | None) -> Tensor | None:
    """The images (B, 1 or 2, H, W) that a network with `Spec.base` of this kind is given, or None.

    Args:
        low: (B, h, w) as recorded.
        reference: (B, H, W), or (B, h, w) recorded like the target, which guided does not take; None without.
    """
    if kind == "none":
        return None
    first, _, beside = kind.partition("+")
    if first == "guided" and reference is not None and reference.shape[-2:] == acquisition.fine:
        image = guided(acquisition, low, reference)
    else:
        image = acquisition.zero_filled(low)
    images = [acquisition.consistent(image, low)]
    if beside == "joint-tv":
        images.append(joint_tv(acquisition, low, reference))
    return torch.stack(images, dim=1)
