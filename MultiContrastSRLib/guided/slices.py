"""Guided super-resolution of batches of slices in torch: the base image that networks correct."""

from __future__ import annotations

from torch import Tensor

from ..acquisition.slices import ACROSS, SliceAcquisition
from .level import Level
from .regression import learn, transfer


def guided(acquisition: SliceAcquisition, target: Tensor, reference: Tensor) -> Tensor:
    """The guided image of every slice, before data consistency.

    Args:
        acquisition: of the slices.
        target: (B, h, w) as acquired.
        reference: (B, H, W) on the grid of the high-resolution slices.

    Returns:
        (B, H, W); the zero-filled image where the reference explains nothing.
    """
    image = acquisition.zero_filled(target)
    rows, columns = (n > axis.samples for axis, n in zip(acquisition.axes, acquisition.fine, strict=True))
    if not (rows or columns):
        return image
    level = Level((ACROSS, *acquisition.axes), (1, *acquisition.fine), (False, rows, columns), per_slice=True)
    model = learn(level, target, reference)
    return image + transfer(level, model, target, reference) if model.helps else image
