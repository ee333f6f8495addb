"""Networks of slices made three-dimensional: which axes are refined together, and in which planes.

Within slices a network sees the slices as they were acquired. Across slices it sees orthogonal reformats, the two
planes that hold that axis, refined along it alone, and the mean of both is taken. Several passes follow each other,
each on the volume that the one before made, slices first: they are fewest then.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..acquisition.axis import AxisModel
from ..acquisition.lattice import MAX_LATTICE_SCALE, through_plane_factor
from ..acquisition.model import AcquisitionModel
from ..image.grid import spacing_along
from ..image.volume import Volume

_WITHOUT = 2.0  # lattice samples a pixel where no reference says how fine detail can be
_FINER = 1.5  # a reference by which the lattice is not at least this much finer does not say it either


@dataclass(frozen=True)
class Pass:
    """One step: the axes (k, j, i) refined together, and the axes along which slices are stacked, one a plane."""

    axes: tuple[int, ...]
    stacks: tuple[int, ...]


def plan(model: AcquisitionModel, active: tuple[bool, bool, bool]) -> list[Pass]:
    """The passes that refine the axes of `active`.

    >>> volume = Volume(np.random.default_rng(0).random((8, 32, 32)), np.diag([1, 1, 4, 1]))
    >>> plan(AcquisitionModel.estimate(volume), (True, True, True))
    [Pass(axes=(0,), stacks=(1, 2)), Pass(axes=(1, 2), stacks=(0,))]
    """
    across = next((n for n, axis in enumerate(model.axes) if axis.kind == "slab"), None)
    rest = [n for n in range(3) if active[n] and n != across]
    first = [across] if across is not None and active[across] else rest[:1] if len(rest) == 3 else []
    rest = [n for n in rest if n not in first]
    passes = [Pass((axis,), _others((axis,))) for axis in first]
    if rest:
        lone = len(rest) == 1 and across is not None
        passes.append(Pass(tuple(rest), (across,) if lone else _others(tuple(rest))))
    return passes


def _others(axes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(n for n in range(3) if n not in axes)


def measured_axes(model: AcquisitionModel, refined: tuple[bool, ...]) -> tuple[AxisModel, ...]:
    """The model's axes, with what a zero-filled matrix really holds: networks were trained on images that are sharp."""
    axes = []
    for axis, refine in zip(model.axes, refined, strict=True):
        if refine and axis.kind == "kspace" and not axis.support.full:
            samples = max(1, round(axis.samples * axis.support.edge))
            axis = AxisModel("kspace", samples, axis.spacing * axis.samples / samples)
        axes.append(axis)
    return tuple(axes)


def lattice_factors(
    model: AcquisitionModel,
    reference: Volume | None,
    refined: tuple[bool, ...],
    finest: float = MAX_LATTICE_SCALE,
) -> tuple[float, ...]:
    """Lattice samples an acquired sample, along each axis; 1 where nothing is refined, at most `finest` in plane."""
    seen = (np.inf,) * 3 if reference is None else spacing_along(reference.grid, model.grid)
    factors = []
    for axis, spacing, refine in zip(model.axes, seen, refined, strict=True):
        slab = axis.kind == "slab"
        factor = min(axis.spacing / spacing, MAX_LATTICE_SCALE if slab else finest)
        if factor < (1.02 if slab else _FINER):
            factor = through_plane_factor(model.grid) if slab else _WITHOUT
        factors.append(factor if refine and axis.samples > 1 and factor > 1.02 else 1.0)
    return tuple(factors)
