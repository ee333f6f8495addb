"""The limit on what a network adds to its base image: the local range of that image. Ours, not the papers'.

Detail that a good base image lacks stays below the difference between the brightest and the darkest pixel nearby. The
limit is part of the networks, in training as in use: whatever weights and input are, no pixel exceeds it.
"""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor

REACH = 2.0  # target pixels on either side of which the local range is taken
SHARE = 0.75  # of the local range
FLOOR = 0.02  # of the intensity range, which is always allowed: noise, and detail in flat regions


def local_limit(base: Tensor, scale: tuple[float, float]) -> Tensor:
    """The largest correction of each pixel: `SHARE` of the local range of the base image, plus `FLOOR`.

    Args:
        base: (B, C, H, W), normalised.
        scale: output pixels per target pixel, (rows, columns).

    Returns:
        (B, C, H, W), positive.
    """
    return SHARE * local_range(base, scale) + FLOOR


def local_range(images: Tensor, scale: tuple[float, float]) -> Tensor:
    """The largest minus the smallest value within `REACH` target pixels around every pixel of (B, C, H, W)."""
    highest, lowest = images, -images
    for dim, factor in enumerate(scale):
        reach = limit_reach(factor)
        kernel, padding = [1, 1], [0, 0]
        kernel[dim], padding[dim] = 2 * reach + 1, reach
        highest, lowest = (F.max_pool2d(x, kernel, 1, padding) for x in (highest, lowest))
    return highest + lowest


def limit_reach(factor: float) -> int:
    """Output pixels on either side of a pixel that its limit depends on, along an axis of `factor` a target pixel."""
    return max(1, math.ceil(REACH * factor - 1e-6))


def corrected(base: Tensor, correction: Tensor, scale: tuple[float, float]) -> Tensor:
    """The base image (B, C, H, W) plus limit · tanh(correction / limit): small corrections pass as they are."""
    limit = local_limit(base, scale)
    return base + limit * (correction.to(base.dtype) / limit).tanh()
