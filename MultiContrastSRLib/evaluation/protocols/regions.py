"""The regions that metrics are averaged over. All masks are bool [slice, row, column], slices along axis 0."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

THRESHOLD = 0.05  # of the 99.9th percentile: below skull-stripped tissue, above a scanner image's background noise


def foreground(image: np.ndarray) -> np.ndarray:
    """The head or brain: above 5 % of the 99.9th percentile, largest component, holes filled slice by slice."""
    above = image > THRESHOLD * np.percentile(image, 99.9)
    labels, count = ndimage.label(above)
    if count > 1:
        above = labels == 1 + np.argmax(np.bincount(labels.ravel())[1:])
    return filled(above)


def filled(mask: np.ndarray) -> np.ndarray:
    """`mask` with the holes in each slice closed."""
    return np.stack([ndimage.binary_fill_holes(plane) for plane in mask])


def eroded(mask: np.ndarray, pixels: float = 6.0) -> np.ndarray:
    """The part of `mask` farther than `pixels` in plane from anything outside it; beyond the image counts as outside.

    On skull-stripped data most of an interpolation's squared error lies at the brain's cut edge, which a reference that
    was cut by the same mask gives away. What is left inside measures tissue.
    """
    inside = np.zeros_like(mask, dtype=bool)
    for number, plane in enumerate(mask):
        if plane.any():
            inside[number] = ndimage.distance_transform_edt(np.pad(plane, 1))[1:-1, 1:-1] > pixels
    return inside
