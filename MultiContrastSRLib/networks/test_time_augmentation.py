"""Test-time augmentation: the eight flips and transpositions of a slice, over which predictions are averaged.

The mean of a network's predictions over several of them is better than each (Timofte et al., CVPR 2016, "Seven ways to
improve example-based single image super resolution").
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from torch import Tensor

from .positions import Positions

# bits: 1 flips the columns, 2 the rows, 4 then exchanges rows and columns; the first few differ the most
TRANSFORMS = (0, 7, 3, 4, 1, 2, 5, 6)
_ENABLED = ContextVar("test_time_augmentation", default=True)


@contextmanager
def without_augmentation() -> Iterator[None]:
    """No test-time augmentation in this thread, for comparisons of images that would both gain by it."""
    token = _ENABLED.set(False)
    try:
        yield
    finally:
        _ENABLED.reset(token)


def enabled_transforms(count: int) -> int:
    """`count`, or 1 within `without_augmentation`."""
    return count if _ENABLED.get() else 1


def transform(images: Tensor, code: int) -> Tensor:
    """`images` (…, H, W) flipped and transposed by `code`, 0 to 7: (…, H, W) or (…, W, H)."""
    flipped = [dim for bit, dim in ((1, -1), (2, -2)) if code & bit]
    images = images.flip(flipped) if flipped else images
    return images.transpose(-1, -2) if code & 4 else images


def invert(images: Tensor, code: int) -> Tensor:
    """The inverse of `transform`."""
    images = images.transpose(-1, -2) if code & 4 else images
    flipped = [dim for bit, dim in ((1, -1), (2, -2)) if code & bit]
    return images.flip(flipped) if flipped else images


def transform_positions(
    positions: Positions, code: int, target: tuple[int, int], reference: tuple[int, int] | None
) -> Positions:
    """Where the pixels of a transformed output lie in the transformed images.

    Args:
        target, reference: (rows, columns) of the images before the transform.
    """
    in_target = _transform_axes(positions.in_target, positions.step_t, target, code)
    if positions.step_r is None or reference is None:
        return Positions(*in_target)
    return Positions(*in_target, *_transform_axes(positions.in_reference, positions.step_r, reference, code))


def _transform_axes(
    vectors: tuple[Tensor, Tensor], steps: tuple[float, float], shape: tuple[int, int], code: int
) -> tuple[Tensor, Tensor, tuple[float, float]]:
    rows, cols = (
        (n - 1 - vector).flip(0) if code & bit else vector
        for vector, n, bit in zip(vectors, shape, (2, 1), strict=True)
    )
    return (cols, rows, steps[::-1]) if code & 4 else (rows, cols, steps)


def mean_over_transforms(predict: Callable[[int], Tensor], count: int) -> Tensor:
    """The mean of a prediction over the first `count` transforms, each inverted before.

    Args:
        predict: called with the code of a transform; returns the prediction (…, H, W) for images transformed by it.
        count: 1 to 8.
    """
    total = predict(TRANSFORMS[0])
    for code in TRANSFORMS[1:count]:
        total = total + invert(predict(code), code)
    return total / count
