"""An image computed once on a method's canonical lattice, and sampled from there on any grid."""

from __future__ import annotations

import numpy as np

from ..core.progress import Monitor
from ..image import kernels
from ..image.grid import REVERSE, Grid, per_axis, spacing_along
from ..image.oblique import ObliqueReader, is_oblique_plane, kernel_is_spline
from ..image.offset import subtracted
from ..image.prepared import Prepared
from ..image.sampling import sample
from ..image.volume import Volume
from .model import AcquisitionModel

MAX_LATTICE_SCALE = 8.0  # finer lattices only interpolate
_PARALLEL = np.cos(np.radians(20.0))  # axes tilted less count as parallel: few scans lie exactly straight in a patient


def default_refinement(grid: Grid) -> tuple[bool, bool, bool]:
    """The axes (k, j, i) that are super-resolved by default: in plane for a 2-D acquisition, else all."""
    return per_axis(axis != grid.slice_axis for axis in range(3))


def refinement_for(target: Grid, grid: Grid) -> tuple[bool, bool, bool]:
    """The axes (k, j, i) of `target` that `grid` samples finer than `target` does (by 2 % at least).

    The shape of `grid` plays no part, so that the same is prepared for a crop, such as a viewport, as for the whole.
    """
    steps = sampled_along(grid, target)
    return per_axis(n > 1 and s < 0.98 * t for n, s, t in zip(target.shape, steps, target.spacing, strict=True))


def sampled_along(grid: Grid, other: Grid) -> tuple[float, float, float]:
    """Spacing of `grid` in mm along the axes (k, j, i) of `other`.

    Where an axis of `grid` is tilted less than 20° against one of those, its own spacing: a plane that is slightly
    oblique to thick slices is still rendered from detail within them.
    """
    mine, theirs = (a / np.linalg.norm(a, axis=0) for a in (grid.affine[:3, :3], other.affine[:3, :3]))
    cosines = np.abs(theirs.T @ mine)[np.ix_(REVERSE, REVERSE)]
    return per_axis(
        grid.spacing[int(np.argmax(row))] if row.max() > _PARALLEL else oblique
        for row, oblique in zip(cosines, spacing_along(grid, other), strict=True)
    )


def refinement_of(target: Grid, grid: Grid | None) -> tuple[bool, bool, bool]:
    """The axes (k, j, i) to super-resolve for `grid`: those that it samples finer, else the default ones."""
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


def least_value(volume: Volume) -> float:
    """The least intensity that an image of `volume` may have: 0 where none of its voxels is negative, else −∞.

    Of a volume of `offset.near_zero`, the voxels of the scan itself count, and the 0 of the scan.
    """
    least = 0.0 - subtracted(volume)
    return least if volume.array.min() >= least else -np.inf


class LatticeImage(Prepared):
    """An array on a lattice of an acquisition model, as a continuous image.

    In plane it is sampled by periodic sinc, low-passed at the Nyquist frequency of the requested grid where that is
    coarser than the lattice; across slices by a cubic spline, or by the mean over each requested slice where that is
    thicker. So a rendering on the target's own grid equals its acquisition: consistent images return the target itself.
    Where the target has no negative voxels, a rendering has none.

    Args:
        target: the volume that was prepared.
        model: the model of its acquisition.
        array: the image on a lattice of `model`, [k, j, i].
        notes, warnings: see `Prepared`.
    """

    warnings: tuple[str, ...] = ()

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
        """Bytes of the array and of the finer copy for oblique planes."""
        return self.array.nbytes + (0 if self._oblique is None else self._oblique.nbytes)

    def lattice_array(self, monitor: Monitor | None = None) -> np.ndarray:
        """See `Prepared.lattice_array`."""
        return self.array

    def render(self, grid: Grid, monitor: Monitor | None = None) -> Volume:
        """See `Prepared.render`. Planes oblique to the lattice are sampled from a finer copy, which the first makes."""
        fill, domain = fill_value(self.target), lattice_domain(self.model, self.array.shape)
        monitor = monitor or Monitor(stage="render")
        if is_oblique_plane(grid, self.lattice):
            reader = self._reader(monitor.part(0.0, 0.9))
            array = reader.read(grid, fill, domain, monitor.part(0.9, 1.0))
        else:
            axis_kernels = lattice_kernels(self.model)
            array = sample(self.array, self.lattice, grid, axis_kernels, fill=fill, domain=domain, monitor=monitor)
        return Volume.on(grid, np.maximum(array, np.float32(least_value(self.target))), self.target.name)

    def ready_for(self, grid: Grid) -> bool:
        """Whether `render` need not make the finer copy for oblique planes first."""
        return self._oblique is not None or not is_oblique_plane(grid, self.lattice)

    def make_ready(self, grid: Grid, monitor: Monitor | None = None) -> None:
        """Make the finer copy if `grid` is an oblique plane."""
        if not self.ready_for(grid):
            self._reader(monitor)

    def _reader(self, monitor: Monitor | None = None) -> ObliqueReader:
        if self._oblique is None:
            axis_kernels = lattice_kernels(self.model)
            fine = [not kernel_is_spline(kernel) for kernel in axis_kernels]
            self._oblique = ObliqueReader(self.array, self.lattice, axis_kernels, fine, monitor)
        return self._oblique


def lattice_kernels(model: AcquisitionModel) -> list[kernels.Kernel]:
    """The kernels that sample an image on a lattice of `model`, one per axis (k, j, i)."""
    return [kernels.anti_aliased_sinc if axis.kind == "kspace" else kernels.anti_aliased_spline for axis in model.axes]


def lattice_domain(model: AcquisitionModel, samples: tuple[int, ...]) -> list[tuple[float, float]]:
    """The acquisition's field of view in lattice indices, per axis."""
    ranges = []
    for axis, n, (low, high) in zip(model.axes, samples, model.domain, strict=True):
        step, offset = axis.lattice_positions(n)
        ranges.append(((low - offset) / step, (high - offset) / step))
    return ranges
