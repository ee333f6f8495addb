"""Forward models of a scan: what data consistency enforces, and what `degrade` simulates.

Each array axis has its own model (`axis.AxisModel`). In plane, MRI measures a central block of k-space (`kspace`);
across the slices of a 2-D acquisition it averages over a slab (`slab`). Both are small matrices, applied separably.

Positions. After a centred k-space crop from n to m samples, LR sample ⌊m/2⌋ coincides with HR sample ⌊n/2⌋ and the
spacing grows by n/m, with the rounded m. The outer voxel edges do not coincide. Slabs tile the field of
view from edge to edge.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import SupportsFloat
from weakref import WeakKeyDictionary

import numpy as np

from ..core.progress import Monitor
from ..image.grid import Grid, per_axis
from ..image.sampling import Array
from ..image.volume import Volume
from .axis import AxisModel
from .operators import apply_operator, weigh
from .support import Support, estimate_support

SIMULATED = "simulated_acquisition"  # key of the metadata that `degrade` leaves: the exact model


@dataclass(frozen=True)
class AcquisitionModel:
    """One `AxisModel` per array axis (k, j, i), for the volume it was estimated from."""

    grid: Grid
    axes: tuple[AxisModel, AxisModel, AxisModel]
    assumptions: tuple[str, ...] = ()

    @classmethod
    def estimate(cls, volume: Volume) -> AcquisitionModel:
        """The model that explains `volume`: slabs across the slices of a 2-D acquisition, k-space along the others.

        The measured part of each k-space axis is estimated from the spectrum (see `support`). The slab thickness comes
        from the metadata (DICOM); without it, it is assumed to be the slice spacing, which `assumptions` then states.
        The result is cached as long as the volume exists.
        """
        if volume not in _ESTIMATES:
            _ESTIMATES[volume] = cls._estimate(volume)
        return _ESTIMATES[volume]

    @classmethod
    def _estimate(cls, volume: Volume) -> AcquisitionModel:
        known = volume.metadata.get(SIMULATED)
        # a volume that was cropped since it was degraded no longer has that model
        if isinstance(known, tuple) and tuple(axis.samples for axis in known) == volume.shape:
            return cls(volume.grid, per_axis(known))
        matrix = volume.metadata.get("acquisition_matrix")
        assumptions = []
        axes = []
        for axis, (samples, spacing) in enumerate(zip(volume.shape, volume.spacing, strict=True)):
            if axis != volume.grid.slice_axis:
                support = estimate_support(volume.array, axis)
                if isinstance(matrix, (Sequence, np.ndarray)) and axis > 0:
                    support = _narrower(support, matrix, axis, samples)
                axes.append(AxisModel("kspace", samples, spacing, support=support))
                continue
            stated = volume.metadata.get("slice_thickness")
            thickness = float(stated) if isinstance(stated, (SupportsFloat, str)) and stated else spacing
            if not stated and samples > 1:
                assumptions.append(f"Slice thickness is not stated; assumed to be the slice spacing, {spacing:.3g} mm.")
            axes.append(AxisModel("slab", samples, spacing, thickness))
        return cls(volume.grid, per_axis(axes), tuple(assumptions))

    def lattice(self, samples: Sequence[int]) -> Grid:
        """A lattice of `samples` (k, j, i) over the acquired field of view, aligned as a reconstruction is."""
        steps, offsets = zip(
            *[axis.lattice_positions(n) for axis, n in zip(self.axes, samples, strict=True)], strict=True
        )
        return self.grid.remapped(samples, np.array(steps), np.array(offsets))

    def independent_axis(self, samples: Sequence[int]) -> int | None:
        """The axis (k, j, i) along which slices of a lattice of `samples` are independent of each other, or None.

        It is the slice axis, or without one the only axis that is not refined.
        """
        slabs = [number for number, axis in enumerate(self.axes) if axis.kind == "slab"]
        kept = [
            number
            for number, (axis, n) in enumerate(zip(self.axes, samples, strict=True))
            if n == axis.samples and axis.weight() is None
        ]
        candidates = [number for number in kept if number in slabs] if slabs else kept
        return candidates[0] if len(candidates) == 1 else None

    def refining(self, axes: Sequence[bool]) -> AcquisitionModel:
        """The model for images that are super-resolved along `axes` (k, j, i) only.

        Along the other in-plane axes all of k-space counts as measured, as nothing is added outside its measured part.
        """
        models = per_axis(
            axis if refined or axis.kind == "slab" else replace(axis, support=Support())
            for axis, refined in zip(self.axes, axes, strict=True)
        )
        return AcquisitionModel(self.grid, models, self.assumptions)

    def of_slices(self, axis: int, start: int, stop: int) -> AcquisitionModel:
        """The model of slices start…stop−1 along `axis`, which must be `independent_axis`."""
        first, last = [0, 0, 0], list(self.grid.shape)
        first[axis], last[axis] = start, stop
        axes = per_axis(replace(a, samples=stop - start) if n == axis else a for n, a in enumerate(self.axes))
        return AcquisitionModel(self.grid.crop(first, last), axes)

    def acquire(self, image: Array, monitor: Monitor | None = None) -> Array:
        """The acquisition of `image` [k, j, i] on a lattice of this model: an array of the acquired shape."""
        return apply_operator(self.axes, "forward", image, image.shape, monitor)

    def weigh(self, acquired: Array) -> Array:
        """`acquired` without frequencies outside the measured part of its spectrum."""
        return weigh(self.axes, acquired)

    def spread(self, residual: Array, samples: Sequence[int], monitor: Monitor | None = None) -> Array:
        """The smoothest image on a lattice of `samples` that is acquired as `residual`; a new array."""
        return apply_operator(self.axes, "spread", residual, samples, monitor)

    def zero_fill(self, acquired: Array, samples: Sequence[int], monitor: Monitor | None = None) -> Array:
        """`acquired` interpolated on a lattice of `samples`: zero-filled in plane, by cubic spline across slices."""
        return apply_operator(self.axes, "zero_fill", acquired, samples, monitor)

    @property
    def trust(self) -> str:
        """Mode of data consistency: "exact" where all frequencies were measured, else "support"."""
        return "exact" if all(axis.weight() is None for axis in self.axes) else "support"

    @property
    def resolution(self) -> tuple[float, float, float]:
        """Effective resolution in mm, (k, j, i)."""
        return per_axis(axis.resolution for axis in self.axes)

    @property
    def domain(self) -> tuple[tuple[float, float], ...]:
        """Per axis (k, j, i), the lowest and highest fractional index that the scan covers.

        Across slices these are the voxel edges. In plane the image is periodic: a finer grid of the same scan may begin
        or end up to one sample outside, depending on the centres of both sizes.
        """
        return tuple(
            (-0.5, axis.samples - 0.5) if axis.kind == "slab" else (-1.0, float(axis.samples)) for axis in self.axes
        )


def resolution_along(volume: Volume, grid: Grid) -> tuple[float, float, float]:
    """Effective resolution of `volume` in mm along the axes (k, j, i) of `grid`."""
    resolution = np.array(AcquisitionModel.estimate(volume).resolution)
    own = volume.affine[:3, :3] / np.linalg.norm(volume.affine[:3, :3], axis=0)
    other = grid.affine[:3, :3] / np.linalg.norm(grid.affine[:3, :3], axis=0)
    # cycles per mm that each axis of the volume resolves, along the axes of `grid`
    resolved = np.linalg.solve(own, other)[::-1, ::-1] / resolution[:, None]
    return per_axis(float(1 / np.linalg.norm(resolved[:, axis])) for axis in range(3))


_ESTIMATES: WeakKeyDictionary[Volume, AcquisitionModel] = WeakKeyDictionary()


def _narrower(support: Support, matrix: Sequence[float] | np.ndarray, axis: int, samples: int) -> Support:
    """`support`, or what DICOM's AcquisitionMatrix (frequency rows, columns, phase rows, columns) leaves of it."""
    acquired = max(matrix[axis - 1], matrix[axis + 1]) if len(matrix) == 4 else 0
    edge = acquired / samples
    return Support(edge) if 0 < edge < min(0.98, support.edge) else support
