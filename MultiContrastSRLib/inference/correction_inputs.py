"""Base image and auxiliary image of single slices, as tensors: for training and for the reference check."""

from __future__ import annotations

import torch
from torch import Tensor

from ..acquisition.slices import SliceAcquisition
from ..guided.slices import guided
from ..joint.slices import joint_tv
from ..networks.spec import parse_base


def correction_inputs(base: str, acquisition: SliceAcquisition, low: Tensor, reference: Tensor | None) -> Tensor | None:
    """The images (B, 1 or 2, H, W) that a network with this `Spec.base` is given as `base`; None where it is "none".

    Args:
        low: (B, h, w) as acquired.
        reference: (B, H, W), or (B, h, w) acquired like the target, which guided does not use; None without.
    """
    base_image, auxiliary_image = parse_base(base)
    if base_image is None:
        return None
    if base_image == "guided" and reference is not None and reference.shape[-2:] == acquisition.fine:
        image = guided(acquisition, low, reference)
    else:
        image = acquisition.zero_filled(low)
    images = [acquisition.consistent(image, low)]
    if auxiliary_image == "joint-tv":
        images.append(joint_tv(acquisition, low, reference))
    return torch.stack(images, dim=1)
