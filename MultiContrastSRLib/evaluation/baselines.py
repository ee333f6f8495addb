"""What methods are compared with: the baseline, and the gain that a mask shared by both contrasts gives away."""

from __future__ import annotations

import numpy as np

from ..acquisition.axis import AxisModel
from ..acquisition.degrade import degrade
from ..acquisition.model import AcquisitionModel
from ..image import kernels
from ..image.grid import Grid
from ..image.sampling import sample
from ..image.volume import Volume

BASELINE = "sinc"
BETTER = "the better of sinc and guided"
MASK_TRICK = "sinc × mask"


def masked_sinc(low: Volume, sinc: np.ndarray, mask: np.ndarray, grid: Grid, degradation: str) -> np.ndarray:
    """`sinc` × `mask`, made consistent with the degraded volume: the gain that skull-stripping by one mask gives away.

    Contrasts that were skull-stripped by one mask share their zeros, so the reference shows where the truth is zero. A
    method is to be judged by what it adds to this row (`MASK_TRICK`).

    Args:
        low: the degraded target.
        sinc: its sinc interpolation on the truth's grid.
        mask: bool, (reference > 0) on the truth's grid, its holes filled (interpolation leaves dark tissue below zero).
        grid: the truth's.
        degradation: how `low` was made. Consistency is exact but for "spline", which gets one correction.

    Returns:
        float32 array on the truth's grid.
    """
    masked = (sinc * mask).astype(np.float32)
    if degradation in ("spline", "subsample"):
        scale = tuple(coarse / fine for coarse, fine in zip(low.spacing, grid.spacing, strict=True))
        residual = low.array - degrade(Volume(masked, grid.affine), degradation, scale).array
        return masked + sample(residual, low.grid, grid, [kernels.bspline] * 3)
    model = AcquisitionModel(low.grid, tuple(AxisModel(degradation, samples, 1.0, 1.0) for samples in low.shape))
    return masked + model.spread(low.array - model.acquire(masked), masked.shape)
