"""A limit on the correction that a network adds to its base image: the local range of that image.

Networks may diverge on scans unlike those that they were trained on. Detail that is missing from a good base image
stays below the difference between the brightest and the darkest pixel nearby.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from ..acquisition.axis import AxisModel
from ..acquisition.operators import apply_operator

_PIXELS = 2.0  # acquired pixels on either side in which the local range is taken
_ALLOWANCE = 0.02  # of the slice's range, which is always allowed: noise, and detail in flat regions
_TOLERATED = 0.001  # share of a slice's pixels that may be clipped before the base image takes the slice's place


def limit_correction(
    images: np.ndarray, bases: np.ndarray, axes: tuple[AxisModel, AxisModel]
) -> tuple[np.ndarray, np.ndarray]:
    """Slices whose corrections do not exceed the local range of their base images.

    The correction is the difference from the base image, less the part of it that the acquisition records: that part
    is removed by data consistency, and trained networks rely on this. The local range of a pixel is the maximum minus
    the minimum of the base image within ±2 acquired pixels, plus 2 % of the range of the whole slice. Slices that stay
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
    size = (1, *(2 * int(np.ceil(_PIXELS * n / axis.samples - 1e-6)) + 1 for n, axis in zip(shape, axes, strict=True)))
    limit = ndimage.maximum_filter(bases, size, mode="nearest") - ndimage.minimum_filter(bases, size, mode="nearest")
    limit += np.float32(_ALLOWANCE) * np.ptp(bases, axis=(1, 2), keepdims=True)
    with np.errstate(invalid="ignore", over="ignore"):
        correction = unrecorded(images - bases, axes)
    exceeding = ~(np.abs(correction) <= limit)  # true of NaN
    share = exceeding.mean(axis=(1, 2))
    replaced = share > _TOLERATED
    if exceeding.any():
        images, clipped = images.copy(), (share > 0) & ~replaced
        images[clipped] = (bases + np.clip(correction, -limit, limit))[clipped]
        images[replaced] = bases[replaced]
    return images, replaced


def unrecorded(images: np.ndarray, axes: tuple[AxisModel, AxisModel]) -> np.ndarray:
    """`images` (N, H, W) without the part of them that an acquisition by `axes` records."""
    shape = images.shape[1:]
    return images - apply_operator(axes, "spread", apply_operator(axes, "forward", images, shape), shape)
