"""An image computed once on a method's canonical lattice, and read anywhere from there."""

from __future__ import annotations

import numpy as np

from ..core.progress import Monitor
from ..image import kernels
from ..image.grid import REVERSE, Grid, spacing_along
from ..image.oblique import ObliqueReader, is_oblique_plane, kernel_is_spline
from ..image.prepared import Prepared
from ..image.sampling import sample
from ..image.volume import Volume
from .model import AcquisitionModel

MAX_LATTICE_SCALE = 8.0  # finer lattices only interpolate
_STRAIGHT = np.cos(np.radians(20.0))  # axes tilted less count as parallel: scans hardly ever lie straight in a patient


def default_refinement(grid: Grid) -> tuple[bool, bool, bool]:
    """Which axes super-resolution means without further word: in plane for a 2-D acquisition, else all."""
    return tuple(axis != grid.slice_axis for axis in range(3))


def refinement_for(target: Grid, grid: Grid) -> tuple[bool, bool, bool]:
    """Which of the target's axes `grid` samples finer than the target does (by 2 % at least).

    The shape of `grid` plays no part, so that a crop, a viewport for one, is prepared for like the whole.
    """
    steps = sampled_along(grid, target)
    return tuple(n > 1 and s < 0.98 * t for n, s, t in zip(target.shape, steps, target.spacing, strict=True))


def sampled_along(grid: Grid, other: Grid) -> tuple[float, float, float]:
    """mm between samples of `grid` along the axes (k, j, i) of `other`.

    Where an axis of `grid` is tilted less than 20° against one of those, its own spacing: what is a little oblique to
    thick slices is still shown from what is known within them.
    """
    mine, theirs = (a / np.linalg.norm(a, axis=0) for a in (grid.affine[:3, :3], other.affine[:3, :3]))
    cosines = np.abs(theirs.T @ mine)[np.ix_(REVERSE, REVERSE)]
    return tuple(
        grid.spacing[int(np.argmax(row))] if row.max() > _STRAIGHT else oblique
        for row, oblique in zip(cosines, spacing_along(grid, other), strict=True)
    )


def refinement_of(target: Grid, grid: Grid | None) -> tuple[bool, bool, bool]:
    """The axes to super-resolve for `grid`: those it samples finer, else what super-resolution means by itself."""
    finer = (False,) * 3 if grid is None else refinement_for(target, grid)
    return finer if any(finer) else default_refinement(target)


def through_plane_factor(grid: Grid) -> int:
    """How many lattice samples a slice needs to be as fine as the pixels in it (at most 8)."""
    if grid.slice_axis is None:
        return 1
    spacing = list(grid.spacing)
    thick = spacing.pop(grid.slice_axis)
    return int(np.clip(np.ceil(thick / min(spacing) - 0.05), 1, MAX_LATTICE_SCALE))


def lattice_samples(model: AcquisitionModel, reference: Grid, refined: tuple[bool, ...]) -> list[int]:
    """Samples per axis (k, j, i) of a lattice with the reference's spacing along refined axes, at most 8-fold."""
    samples = []
    for axis, spacing, refine in zip(model.axes, spacing_along(reference, model.grid), refined, strict=True):
        factor = min(axis.spacing / spacing, MAX_LATTICE_SCALE)
        finer = refine and factor > 1.02 and axis.samples > 1
        samples.append(int(np.floor(axis.samples * factor + 0.5)) if finer else axis.samples)
    return samples


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

    def __init__(
        self,
        target: Volume,
        model: AcquisitionModel,
        array: np.ndarray,
        notes: tuple[str, ...] = (),
        warnings: tuple[str, ...] = (),
    ) -> None:
        self.target, self.model, self.notes, self.warnings = target, model, notes, warnings
        self.array = array
        self.lattice = model.lattice(array.shape)
        self._oblique: ObliqueReader | None = None

    @property
    def nbytes(self) -> int:
        """Memory that it holds: the array, and what oblique views needed beside it."""
        return self.array.nbytes + (0 if self._oblique is None else self._oblique.nbytes)

    def render(self, grid: Grid, monitor: Monitor | None = None) -> Volume:
        """See `Prepared.render`. Planes oblique to the lattice are read from a finer copy, made for the first."""
        fill, domain = fill_value(self.target), lattice_domain(self.model, self.array.shape)
        monitor = monitor or Monitor(stage="render")
        if is_oblique_plane(grid, self.lattice):
            self.make_ready(grid, monitor.part(0.0, 0.9))
            array = self._oblique.read(grid, fill, domain, monitor.part(0.9, 1.0))
        else:
            ways = lattice_kernels(self.model)
            array = sample(self.array, self.lattice, grid, ways, fill=fill, domain=domain, monitor=monitor)
        return Volume.on(grid, array, self.target.name)

    def ready_for(self, grid: Grid) -> bool:
        """Whether `render` need not make the finer copy first."""
        return self._oblique is not None or not is_oblique_plane(grid, self.lattice)

    def make_ready(self, grid: Grid, monitor: Monitor) -> None:
        """Make what `render` needs for planes in the orientation of `grid`, once."""
        if not self.ready_for(grid):
            ways = lattice_kernels(self.model)
            fine = [not kernel_is_spline(way) for way in ways]
            self._oblique = ObliqueReader(self.array, self.lattice, ways, fine, monitor)


def lattice_kernels(model: AcquisitionModel) -> list[kernels.Kernel]:
    """How an image on a lattice of `model` is read along each axis (k, j, i)."""
    return [kernels.anti_aliased_sinc if axis.kind == "kspace" else kernels.anti_aliased_spline for axis in model.axes]


def lattice_domain(model: AcquisitionModel, samples: tuple[int, ...]) -> list[tuple[float, float]]:
    """The acquisition's field of view in lattice indices, per axis."""
    ranges = []
    for axis, n, (low, high) in zip(model.axes, samples, model.domain, strict=True):
        step, offset = axis.lattice_positions(n)
        ranges.append(((low - offset) / step, (high - offset) / step))
    return ranges
