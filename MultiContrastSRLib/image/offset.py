"""Scans whose intensities lie far from zero, where computation in float32 would lose digits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .volume import Volume


def nearest_to_zero(arrays: Sequence[np.ndarray]) -> np.float32:
    """The intensity nearest to zero within the range of the arrays: 0 where that includes it."""
    lowest, highest = min((x.min() for x in arrays), default=0), max((x.max() for x in arrays), default=0)
    return np.clip(np.float32(0), lowest, highest)


def far_from_zero(scan: Volume) -> np.float32:
    """`nearest_to_zero` of a scan that lies farther from zero than its intensities from each other; else 0."""
    zero = nearest_to_zero([scan.array])
    return zero if abs(zero) > np.ptp(scan.array) else np.float32(0)


def minus(scan: Volume, zero: np.float32) -> Volume:
    """The scan with `zero` subtracted from its intensities."""
    return scan if zero == 0 else Volume.on(scan.grid, scan.array - zero, scan.name, scan.metadata)
