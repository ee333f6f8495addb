"""Slices mirrored and turned: eight ways to look at the same thing.

The mean of a network's images over several of them is better than each (Timofte et al., CVPR 2016, "Seven ways to
improve example-based single image super resolution"): what one way of looking gets wrong by chance, another does not.
"""

from __future__ import annotations

from torch import Tensor

from .positions import Positions

# bits: 1 mirrors the columns, 2 the rows, 4 then exchanges rows and columns; the first few are the most unlike
ORIENTATIONS = (0, 7, 3, 4, 1, 2, 5, 6)


def turned(images: Tensor, code: int) -> Tensor:
    """`images` (…, H, W) in orientation `code`, 0 to 7: (…, H, W) or (…, W, H)."""
    mirrored = [dim for bit, dim in ((1, -1), (2, -2)) if code & bit]
    images = images.flip(mirrored) if mirrored else images
    return images.transpose(-1, -2) if code & 4 else images


def turned_back(images: Tensor, code: int) -> Tensor:
    """What `turned` made of (…, H, W), as it was."""
    images = images.transpose(-1, -2) if code & 4 else images
    mirrored = [dim for bit, dim in ((1, -1), (2, -2)) if code & bit]
    return images.flip(mirrored) if mirrored else images


def turned_positions(
    positions: Positions, code: int, target: tuple[int, int], reference: tuple[int, int] | None
) -> Positions:
    """Where the pixels of a turned output lie in the turned images.

    Args:
        target, reference: (rows, columns) of the images before they are turned.
    """
    in_target = _turned_axes(positions.in_target, positions.step_t, target, code)
    if positions.step_r is None or reference is None:
        return Positions(*in_target)
    return Positions(*in_target, *_turned_axes(positions.in_reference, positions.step_r, reference, code))


def _turned_axes(
    vectors: tuple[Tensor, Tensor], steps: tuple[float, float], shape: tuple[int, int], code: int
) -> tuple[Tensor, Tensor, tuple[float, float]]:
    rows, cols = (
        (n - 1 - vector).flip(0) if code & bit else vector
        for vector, n, bit in zip(vectors, shape, (2, 1), strict=True)
    )
    return (cols, rows, steps[::-1]) if code & 4 else (rows, cols, steps)
