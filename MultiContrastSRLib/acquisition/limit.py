"""A limit on what an image may differ from a plain interpolation: the local range of that interpolation.

Networks may diverge on scans unlike those that they were trained on, fits may fail, weights may come from anywhere.
Detail that is missing from an interpolated image stays below the difference between the brightest and the darkest pixel
nearby.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import product
from math import prod

import numpy as np

from ..image.sampling import Array
from .arrays import axes_within, concatenate, count_over, local_range, may_hold, range_over, where
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


def local_limit(base: Array, axes: Sequence[AxisModel | None]) -> Array:
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
    limit = local_range(base, size)
    limit += allowance(base, axes)
    return limit


def allowance(base: Array, axes: Sequence[AxisModel | None]) -> Array:
    """2 % of the range of each slice of `base`, or of a whole volume; of a shape that broadcasts to that of `base`."""
    return ALLOWANCE * range_over(base, tuple(number for number, axis in enumerate(axes) if axis is not None))


def hold_back(image: Array, base: Array, axes: Sequence[AxisModel], across: int | None) -> tuple[Array, Array, Array]:
    """`image` without what exceeds 1.5 times the local range of `base`.

    Args:
        image: (k, j, i) float32; may hold NaN and infinities.
        base: an interpolated image on the same lattice of `axes`.
        axes: acquisition along (k, j, i).
        across: the axis along which slices are independent; None for a volume.

    Returns:
        (`image`, itself where it is a numpy array that stays within the limit everywhere: clipped where at most 0.1 %
        of a slice exceed the limit, `base` in the other slices, or in the other blocks of 64³ samples of a volume;
        number of samples that exceeded the limit, and of slices or blocks that were replaced, each for every slice
        along `across`, of a shape that broadcasts to that of `image`).
    """
    sliced = [None if n == across else axis for n, axis in enumerate(axes)]
    within = axes_within(across)
    with np.errstate(invalid="ignore", over="ignore"):
        difference = image - base
        beyond = ~(abs(difference) <= REACH * allowance(base, sliced))
    if not may_hold(beyond):  # most images: nothing to look for
        nothing = count_over(beyond, within)
        return image, nothing, nothing
    limit = REACH * local_limit(base, sliced)
    exceeding = ~(abs(difference) <= limit)  # true of NaN
    samples = count_over(exceeding, within)
    if not may_hold(exceeding):
        return image, samples, samples
    known = where(difference == difference, difference, 0.0)
    clipped = where(exceeding, base + known.clip(-limit, limit), image)
    spoiled, replaced = _spoiled(exceeding, samples, across)
    return where(spoiled, base, clipped), samples, replaced


def _spoiled(exceeding: Array, samples: Array, across: int | None) -> tuple[Array, Array]:
    """(where slices or blocks are that exceed the limit in too many samples, how many they are in every slice)."""
    if across is not None:
        spoiled = samples > TOLERATED * (prod(exceeding.shape) // exceeding.shape[across])
        return spoiled, count_over(spoiled, axes_within(across))
    spoiled, flags = exceeding & False, []
    for part in _blocks(exceeding.shape):
        flags.append(count_over(exceeding[part], (0, 1, 2)) > TOLERATED * prod(exceeding[part].shape))
        spoiled[part] = flags[-1]
    return spoiled, count_over(concatenate(flags, 0), (0, 1, 2))


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


def count_parts(shape: Sequence[int], across: int | None) -> int:
    """Number of slices along `across`, or of blocks of a volume."""
    return len(_blocks(shape)) if across is None else shape[across]


def _blocks(shape: Sequence[int]) -> list[tuple[slice, ...]]:
    """The blocks of a volume."""
    starts = [range(0, n, _BLOCK) for n in shape]
    return [tuple(slice(start, start + _BLOCK) for start in first) for first in product(*starts)]
