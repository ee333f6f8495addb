"""A limit on the correction that a network adds to its base image: the local range of that image.

Networks may diverge on scans unlike those that they were trained on. Detail that is missing from a good base image
stays below the difference between the brightest and the darkest pixel nearby.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..acquisition.axis import AxisModel
from ..acquisition.limit import ALLOWANCE, TOLERATED
from ..acquisition.operators import apply_operator
from ..networks.bounded import local_range


def limit_correction(images: Tensor, bases: Tensor, axes: tuple[AxisModel, AxisModel]) -> tuple[Tensor, Tensor]:
    """Slices whose corrections do not exceed the local range of their base images.

    The correction is the difference from the base image, less the part of it that the acquisition records: that part
    is removed by data consistency, and trained networks rely on this. The local range of a pixel is the maximum minus
    the minimum of the base image within two acquired pixels, plus 2 % of the range of the whole slice. Slices that stay
    within it everywhere are returned bit for bit.

    Args:
        images: (N, H, W) float32, of the network; may hold NaN and infinities.
        bases: (N, H, W) float32, the base images, finite.
        axes: acquisition of rows and columns.

    Returns:
        (the slices (N, H, W), clipped, or the base image where more than 0.1 % of the pixels exceed the local range;
        which slices are the base image, bool (N,)).
    """
    shape = bases.shape[1:]
    rows, columns = (n / axis.samples for n, axis in zip(shape, axes, strict=True))
    limit = local_range(bases[:, None], (rows, columns))[:, 0]
    limit = limit + ALLOWANCE * (bases.amax((1, 2), keepdim=True) - bases.amin((1, 2), keepdim=True))
    correction = unrecorded(images - bases, axes)
    exceeding = ~(correction.abs() <= limit)  # true of NaN
    count = exceeding.sum((1, 2))
    replaced = count > TOLERATED * shape.numel()
    clipped = bases + torch.minimum(torch.maximum(correction, -limit), limit)
    limited = torch.where((count > 0)[:, None, None], clipped, images)  # no branches, which would wait for the device
    return torch.where(replaced[:, None, None], bases, limited), replaced


def unrecorded(images: Tensor, axes: tuple[AxisModel, AxisModel]) -> Tensor:
    """`images` (N, H, W) without the part of them that an acquisition by `axes` records."""
    shape = images.shape[1:]
    return images - apply_operator(axes, "spread", apply_operator(axes, "forward", images, shape), shape)
