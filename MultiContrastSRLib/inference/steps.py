"""Volumes with networks of slices: which axes are refined together, in which planes and on which lattice.

Within slices a network receives the slices as they were acquired. Across slices it receives orthogonal reformats, the
two planes that contain that axis, refined along it alone, and both results are averaged. Several steps follow each
other, each on the volume that the previous one computed; the direction across slices comes first, while the slices are
smallest.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..acquisition.axis import AxisModel
from ..acquisition.lattice import MAX_LATTICE_SCALE, through_plane_factor
from ..acquisition.model import AcquisitionModel
from ..image.grid import spacing_along
from ..image.volume import Volume

_WITHOUT_REFERENCE = 2.0  # lattice samples a pixel where no reference determines the finest detail
_FINER = 1.5  # a reference must be finer by this factor to determine it


@dataclass(frozen=True)
class RefinementStep:
    """The axes (k, j, i) that are refined together, and the axes along which slices are stacked, one for each plane."""

    axes: tuple[int, ...]
    stack_axes: tuple[int, ...]


def refinement_steps(model: AcquisitionModel, active: tuple[bool, bool, bool]) -> list[RefinementStep]:
    """The steps that refine the axes of `active`.

    >>> volume = Volume(np.random.default_rng(0).random((8, 32, 32)), np.diag([1, 1, 4, 1]))
    >>> refinement_steps(AcquisitionModel.estimate(volume), (True, True, True))
    [RefinementStep(axes=(0,), stack_axes=(1, 2)), RefinementStep(axes=(1, 2), stack_axes=(0,))]
    """
    across = next((n for n, axis in enumerate(model.axes) if axis.kind == "slab"), None)
    rest = [n for n in range(3) if active[n] and n != across]
    first = [across] if across is not None and active[across] else rest[:1] if len(rest) == 3 else []
    rest = [n for n in rest if n not in first]
    steps = [RefinementStep((axis,), _others((axis,))) for axis in first]
    if rest:
        lone = len(rest) == 1 and across is not None
        steps.append(RefinementStep(tuple(rest), (across,) if lone else _others(tuple(rest))))
    return steps


def _others(axes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(n for n in range(3) if n not in axes)


def measured_axes(model: AcquisitionModel, refined: tuple[bool, ...]) -> tuple[AxisModel, ...]:
    """The model's axes without the zero-filled part of k-space: networks are trained on images without zero-filling."""
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
    spacings = (np.inf,) * 3 if reference is None else spacing_along(reference.grid, model.grid)
    factors = []
    for axis, spacing, refine in zip(model.axes, spacings, refined, strict=True):
        slab = axis.kind == "slab"
        factor = min(axis.spacing / spacing, MAX_LATTICE_SCALE if slab else finest)
        if factor < (1.02 if slab else _FINER):
            factor = through_plane_factor(model.grid) if slab else _WITHOUT_REFERENCE
        factors.append(factor if refine and axis.samples > 1 and factor > 1.02 else 1.0)
    return tuple(factors)
