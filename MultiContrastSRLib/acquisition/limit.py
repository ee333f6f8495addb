"""A limit on what an image may differ from a plain interpolation: the local range of that interpolation.

Networks may diverge on scans unlike those that they were trained on, fits may fail, weights may come from anywhere.
Detail that is missing from an interpolated image stays below the difference between the brightest and the darkest pixel
nearby.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import product

import numpy as np
import scipy

from .axis import AxisModel

PIXELS = 2.0  # acquired pixels on either side in which the local range is taken
ALLOWANCE = 0.02  # of the slice's range, which is added: noise, and detail in flat regions
REACH = 1.5  # local ranges by which a method's image may differ: good ones stay below, runaways exceed it many times
TOLERATED = 0.001  # share of a slice that may be held back before the interpolation takes its place
_BLOCK = 64  # lattice samples along each axis of the blocks that take the place of slices in a volume


@dataclass(frozen=True)
class Held:
    """What was held back.

    Attributes:
        samples: how many samples of the image exceeded the limit.
        replaced: how many slices (blocks of a volume without slices) were replaced.
        parts: how many slices or blocks there are.
    """

    samples: int = 0
    replaced: int = 0
    parts: int = 0

    @classmethod
    def sum(cls, pieces: Sequence[Held]) -> Held:
        """What was held back of several pieces together."""
        return cls(*(sum(getattr(piece, each.name) for piece in pieces) for each in fields(cls)))


def local_limit(base: np.ndarray, axes: Sequence[AxisModel | None]) -> np.ndarray:
    """The local range of `base`, (k, j, i), of the same shape.

    It is the maximum minus the minimum within ±2 acquired pixels, plus 2 % of the range of the slice.

    Args:
        base: an interpolated image on a lattice of `axes`.
        axes: acquisition along (k, j, i); None along an axis of independent slices.
    """
    size = [
        1 if axis is None else 2 * int(np.ceil(PIXELS * n / axis.samples - 1e-6)) + 1
        for n, axis in zip(base.shape, axes, strict=True)
    ]
    limit = scipy.ndimage.maximum_filter(base, size, mode="nearest")
    limit -= scipy.ndimage.minimum_filter(base, size, mode="nearest")
    limit += allowance(base, axes)
    return limit


def allowance(base: np.ndarray, axes: Sequence[AxisModel | None]) -> np.ndarray:
    """2 % of the range of each slice of `base`, or of a whole volume; of a shape that broadcasts to that of `base`."""
    within = tuple(number for number, axis in enumerate(axes) if axis is not None)
    return np.float32(ALLOWANCE) * np.ptp(base, axis=within, keepdims=True)


def hold_back(
    image: np.ndarray, base: np.ndarray, axes: Sequence[AxisModel], across: int | None
) -> tuple[np.ndarray, Held]:
    """`image` without what exceeds 1.5 times the local range of `base`.

    Args:
        image: (k, j, i) float32; may hold NaN and infinities.
        base: an interpolated image on the same lattice of `axes`.
        axes: acquisition along (k, j, i).
        across: the axis along which slices are independent; None for a volume.

    Returns:
        (`image` itself where it stays within the limit everywhere, else a new array: clipped where at most 0.1 % of a
        slice exceed the limit, `base` in the other slices, or in the other blocks of 64³ samples of a volume; what was
        held back).
    """
    parts, sliced = _parts(image.shape, across), [None if n == across else axis for n, axis in enumerate(axes)]
    with np.errstate(invalid="ignore", over="ignore"):
        size = np.abs(image - base)
    if (size <= REACH * allowance(base, sliced)).all():  # most images: nothing to look for
        return image, Held(parts=len(parts))
    limit = np.float32(REACH) * local_limit(base, sliced)
    exceeding = ~(size <= limit)  # true of NaN
    samples = int(np.count_nonzero(exceeding))
    if not samples:
        return image, Held(parts=len(parts))
    result, replaced = image.copy(), 0
    for part in parts:
        count = np.count_nonzero(exceeding[part])
        if count > TOLERATED * exceeding[part].size:
            result[part] = base[part]
            replaced += 1
        elif count:
            with np.errstate(invalid="ignore", over="ignore"):
                difference = np.nan_to_num(image[part] - base[part], nan=0.0)
            clipped = np.clip(difference, -limit[part], limit[part])
            result[part] = np.where(exceeding[part], base[part] + clipped, image[part])
    return result, Held(samples, replaced, len(parts))


def held_back_sentences(held: Held, size: int, sliced: bool) -> tuple[list[str], list[str]]:
    """(notes, warnings) for the report on what was held back of an image of `size` samples, in slices or blocks."""
    if not held.samples:
        return [], []
    share = f"{100 * held.samples / size:.2g} % of the voxels exceeded the local range of the scan"
    if not held.replaced:
        return [f"{share} and were held back."], []
    return [], [
        f"{share}. In {held.replaced} of {held.parts} {'slices' if sliced else 'blocks'} they were more than 0.1 %; "
        "plain interpolation is shown there instead."
    ]


def _parts(shape: tuple[int, ...], across: int | None) -> list[tuple[slice, ...]]:
    """Single slices along `across`, or blocks of a volume."""
    steps = [_BLOCK if across is None else 1 if axis == across else n for axis, n in enumerate(shape)]
    starts = [range(0, n, step) for n, step in zip(shape, steps, strict=True)]
    return [tuple(slice(a, a + step) for a, step in zip(first, steps, strict=True)) for first in product(*starts)]
