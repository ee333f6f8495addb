"""The images that networks correct."""

from __future__ import annotations

from torch import Tensor

from .acquisition import SliceAcquisition
from .guided import guided


def base_image(kind: str, acquisition: SliceAcquisition, low: Tensor, reference: Tensor | None) -> Tensor | None:
    """The image (B, H, W) that a network with `Spec.base` of this kind corrects, or None."""
    if kind == "none":
        return None
    if kind == "guided" and reference is not None:
        image = guided(acquisition, low, reference)
    else:
        image = acquisition.zero_filled(low)
    return acquisition.consistent(image, low)
