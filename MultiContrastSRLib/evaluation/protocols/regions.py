"""The regions that metrics are averaged over. All masks are bool (slices, rows, columns)."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from ...image.similarity import foreground


def head_mask(image: np.ndarray) -> np.ndarray:
    """The head or brain: the largest connected part of the foreground, its holes filled slice by slice."""
    mask = foreground(image)
    labels, count = ndimage.label(mask)
    if count > 1:
        mask = labels == 1 + np.argmax(np.bincount(labels.ravel())[1:])
    return fill_holes(mask)


def fill_holes(mask: np.ndarray) -> np.ndarray:
    """`mask` with the holes of each slice filled."""
    return np.stack([ndimage.binary_fill_holes(plane) for plane in mask])


def eroded(mask: np.ndarray, pixels: float = 6.0) -> np.ndarray:
    """The part of `mask` farther than `pixels` in plane from anything outside it; beyond the image counts as outside.

    In skull-stripped data most of an interpolation's squared error lies at the edge of the brain, which a reference
    that was stripped by the same mask gives away. Inside the eroded mask, metrics measure tissue.
    """
    inside = np.zeros_like(mask, dtype=bool)
    for number, plane in enumerate(mask):
        if plane.any():
            inside[number] = ndimage.distance_transform_edt(np.pad(plane, 1))[1:-1, 1:-1] > pixels
    return inside
