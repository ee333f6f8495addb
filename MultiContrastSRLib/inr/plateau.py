"""Whether a curve has reached a plateau."""

from __future__ import annotations

from collections.abc import Sequence

WINDOW, TOLERANCE = 4, 1e-4  # McGinnis et al. 2023


def has_plateaued(values: Sequence[float], tolerance: float = TOLERANCE, window: int = WINDOW) -> bool:
    """Whether the mean of the last `window` values differs by less than `tolerance` from that one value earlier.

    >>> has_plateaued([0.5, 0.6, 0.7, 0.8, 0.9]), has_plateaued([0.5, 0.9, 0.9, 0.9, 0.9, 0.9])
    (False, True)
    """
    if len(values) <= window:
        return False
    return abs(sum(values[-window:]) - sum(values[-window - 1 : -1])) / window < tolerance
