"""Variants of the reference: as given, degraded, absent, or wrong in ways that occur in practice."""

from __future__ import annotations

import numpy as np

from ...acquisition.degrade import degrade
from ...image.grid import Grid
from ...image.volume import Volume
from .case import Case
from .scales import Scale

SHIFT = 3.0  # pixels of the truth
FULL, NONE, DEGRADED = "full", "none", "low"
REFERENCES: dict[str, str] = {
    FULL: "as given",
    DEGRADED: "degraded like the target",
    NONE: "none",
    "blank": "zero everywhere",
    "reversed": "of other anatomy: its slices in reverse order",
    "shifted": f"moved by {SHIFT:g} pixels of the truth along its columns axis, registered only if requested",
    "half": "acquired over one half of the columns only",
}


def reference_variant(reference: Volume, kind: str, case: Case, scale: Scale) -> Volume | None:
    """`reference` as one of `REFERENCES`, for the truth of `case` degraded by `scale`; None for "none"."""
    if kind == NONE:
        return None
    if kind == DEGRADED:
        factors = case.scale_per_axis(scale)
        own = [factors[axis] for axis in _nearest_axes(reference.grid, case.truth.grid)]
        return degrade(reference, case.protocol.degradation, own)
    if kind == "blank":
        return Volume.on(reference.grid, np.zeros(reference.shape, np.float32), reference.name)
    axes = _nearest_axes(reference.grid, case.truth.grid)
    if kind == "reversed":
        return Volume(np.flip(reference.array, axes.index(case.slice_axis)), reference.affine, reference.name)
    if kind == "shifted":
        move = np.eye(4)
        move[:3, 3] = SHIFT * case.truth.affine[:3, 0]
        return reference.moved(move)
    if kind == "half":
        start, stop = [0, 0, 0], list(reference.shape)
        along = axes.index(2)
        stop[along] = max(1, stop[along] // 2)
        box = tuple(slice(0, n) for n in stop)
        return Volume.on(reference.grid.crop(start, stop), reference.array[box].copy(), reference.name)
    return reference


def _nearest_axes(grid: Grid, other: Grid) -> list[int]:
    """Per array axis of `grid`, the array axis of `other` that is most parallel to it; each is taken once."""
    own, others = (g.affine[:3, :3] / np.linalg.norm(g.affine[:3, :3], axis=0) for g in (grid, other))
    cosines = np.abs(own.T @ others)[::-1, ::-1]
    found = [0, 0, 0]
    for _ in range(3):
        a, b = np.unravel_index(int(np.argmax(cosines)), (3, 3))
        found[a] = int(b)
        cosines[a], cosines[:, b] = -1, -1
    return found
