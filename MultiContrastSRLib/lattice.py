"""An image computed once on a method's canonical lattice, and read anywhere from there."""

from __future__ import annotations

import numpy as np

from . import kernels
from .acquisition import AcquisitionModel
from .grid import Grid
from .methods.base import Prepared
from .progress import CancelCallback, Monitor, ProgressCallback
from .sampling import sample
from .volume import Volume

MAX_LATTICE_SCALE = 8.0  # finer lattices only interpolate


def default_refinement(grid: Grid) -> tuple[bool, bool, bool]:
    """Which axes super-resolution means without further word: in plane for a 2-D acquisition, else all."""
    return tuple(axis != grid.slice_axis for axis in range(3))


def refinement_for(target: Grid, grid: Grid) -> tuple[bool, bool, bool]:
    """Which of the target's axes `grid` samples finer than the target does (by 2 % at least)."""
    matrix, _ = grid.index_map_to(target)
    steps = np.abs(matrix) + np.where(np.abs(matrix) < 1e-6, np.inf, 0.0)
    return tuple(bool(n > 1 and steps[axis].min() < 0.98) for axis, n in enumerate(target.shape))


def through_plane_factor(grid: Grid) -> int:
    """How many lattice samples a slice needs to be as fine as the pixels in it (at most 8)."""
    if grid.slice_axis is None:
        return 1
    spacing = list(grid.spacing)
    thick = spacing.pop(grid.slice_axis)
    return int(np.clip(np.ceil(thick / min(spacing) - 0.05), 1, MAX_LATTICE_SCALE))


def fill_value(volume: Volume) -> float:
    """The value outside the field of view: 0, or the minimum where 0 lies outside the volume's range."""
    low, high = float(volume.array.min()), float(volume.array.max())
    return 0.0 if low <= 0.0 <= high else low


class LatticeImage(Prepared):
    """An array on a lattice of an acquisition model, as a continuous image.

    In plane it is read by periodic sinc, cut off at the requested grid's Nyquist frequency where that grid is coarser
    than the lattice; across slices by a cubic spline, or the mean over each requested slice where that is thicker. So a
    rendering at the target's own grid is what the scanner would record: consistent results return the target itself.
    """

    def __init__(self, target: Volume, model: AcquisitionModel, array: np.ndarray, notes: tuple[str, ...] = ()) -> None:
        self.target, self.model, self.notes = target, model, notes
        self.array = array
        self.lattice = model.lattice(array.shape)

    def render(
        self, grid: Grid, *, progress: ProgressCallback | None = None, cancel: CancelCallback | None = None
    ) -> Volume:
        """See `Prepared.render`."""
        ways = [
            kernels.anti_aliased_sinc if axis.kind == "kspace" else kernels.anti_aliased_spline
            for axis in self.model.axes
        ]
        array = sample(
            self.array,
            self.lattice,
            grid,
            ways,
            fill=fill_value(self.target),
            domain=lattice_domain(self.model, self.array.shape),
            monitor=Monitor(progress, cancel, stage="render"),
        )
        return Volume.on(grid, array, self.target.name)


def lattice_domain(model: AcquisitionModel, samples: tuple[int, ...]) -> list[tuple[float, float]]:
    """The acquisition's field of view in lattice indices, per axis."""
    ranges = []
    for axis, n, (low, high) in zip(model.axes, samples, model.domain, strict=True):
        step, offset = axis.lattice_positions(n)
        ranges.append(((low - offset) / step, (high - offset) / step))
    return ranges
