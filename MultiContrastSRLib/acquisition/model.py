"""Forward models of a scan: they degrade volumes, and data consistency enforces them.

Each array axis has its own model (`axis.AxisModel`). In plane, MRI measures a central block of k-space (`kspace`);
across the slices of a 2-D acquisition it averages over a slab (`slab`). Both are small matrices, applied separably.

Positions. After a centred k-space crop from n to m samples, LR sample ⌊m/2⌋ coincides with HR sample ⌊n/2⌋ and the
spacing grows by n/m, with the rounded m. The outer voxel edges do not coincide. Slabs tile the field of
view from edge to edge.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from weakref import WeakKeyDictionary

import numpy as np

from ..core.errors import InputError
from ..core.progress import Monitor
from ..image import kernels
from ..image.grid import Grid, PerAxis
from ..image.sampling import apply_separable
from ..image.volume import Volume
from .axis import AxisModel
from .operators import apply_operator, weigh
from .support import Support, estimate_support

DEGRADATIONS = ("kspace", "slab", "spline", "subsample")
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
        if known is not None and tuple(axis.samples for axis in known) == volume.shape:
            return cls(volume.grid, known)
        matrix = volume.metadata.get("acquisition_matrix")
        assumptions = []
        axes = []
        for axis, (samples, spacing) in enumerate(zip(volume.shape, volume.spacing, strict=True)):
            if axis != volume.grid.slice_axis:
                support = estimate_support(volume.array, axis)
                if matrix is not None and axis > 0:
                    support = _narrower(support, matrix, axis, samples)
                axes.append(AxisModel("kspace", samples, spacing, support=support))
                continue
            stated = volume.metadata.get("slice_thickness")
            if not stated and samples > 1:
                assumptions.append(f"Slice thickness is not stated; assumed to be the slice spacing, {spacing:.3g} mm.")
            axes.append(AxisModel("slab", samples, spacing, float(stated) if stated else spacing))
        return cls(volume.grid, tuple(axes), tuple(assumptions))

    def lattice(self, samples: Sequence[int]) -> Grid:
        """A lattice of `samples` (k, j, i) over the acquired field of view, aligned as a reconstruction is."""
        steps, offsets = zip(
            *[axis.lattice_positions(n) for axis, n in zip(self.axes, samples, strict=True)], strict=True
        )
        return self.grid.remapped(samples, np.array(steps), np.array(offsets))

    def independent_axis(self, samples: Sequence[int]) -> int | None:
        """The axis (k, j, i) along which slices of a lattice of `samples` are independent of each other, or None."""
        for number, (axis, n) in enumerate(zip(self.axes, samples, strict=True)):
            if axis.kind == "slab":
                return number if n == axis.samples and axis.weight() is None else None
        return None

    def refining(self, axes: Sequence[bool]) -> AcquisitionModel:
        """The model for images that are super-resolved along `axes` (k, j, i) only.

        Along the other in-plane axes all of k-space counts as measured, as nothing is added outside its measured part.
        """
        models = tuple(
            axis if refined or axis.kind == "slab" else replace(axis, support=Support())
            for axis, refined in zip(self.axes, axes, strict=True)
        )
        return AcquisitionModel(self.grid, models, self.assumptions)

    def of_slices(self, axis: int, start: int, stop: int) -> AcquisitionModel:
        """The model of slices start…stop−1 along `axis`, which must be `independent_axis`."""
        first, last = [0, 0, 0], list(self.grid.shape)
        first[axis], last[axis] = start, stop
        axes = tuple(replace(a, samples=stop - start) if n == axis else a for n, a in enumerate(self.axes))
        return AcquisitionModel(self.grid.crop(first, last), axes)

    def acquire(self, image: np.ndarray, monitor: Monitor | None = None) -> np.ndarray:
        """The acquisition of `image` [k, j, i] on a lattice of this model: an array of the acquired shape."""
        return apply_operator(self.axes, "forward", image, image.shape, monitor)

    def weigh(self, acquired: np.ndarray) -> np.ndarray:
        """`acquired` without frequencies outside the measured part of its spectrum."""
        return weigh(self.axes, acquired)

    def spread(self, residual: np.ndarray, samples: Sequence[int], monitor: Monitor | None = None) -> np.ndarray:
        """The smoothest image on a lattice of `samples` that is acquired as `residual`; a new array."""
        return apply_operator(self.axes, "spread", residual, samples, monitor)

    @property
    def trust(self) -> str:
        """Mode of data consistency: "exact" where all frequencies were measured, else "support"."""
        return "exact" if all(axis.weight() is None for axis in self.axes) else "support"

    @property
    def resolution(self) -> tuple[float, float, float]:
        """Effective resolution in mm, (k, j, i)."""
        return tuple(axis.resolution for axis in self.axes)

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
    return tuple(float(1 / np.linalg.norm(resolved[:, axis])) for axis in range(3))


_ESTIMATES: WeakKeyDictionary[Volume, AcquisitionModel] = WeakKeyDictionary()


def _narrower(support: Support, matrix: Sequence[float], axis: int, samples: int) -> Support:
    """`support`, or what DICOM's AcquisitionMatrix (frequency rows, columns, phase rows, columns) leaves of it."""
    acquired = max(matrix[axis - 1], matrix[axis + 1]) if len(matrix) == 4 else 0
    edge = acquired / samples
    return Support(edge) if 0 < edge < min(0.98, support.edge) else support


def degrade(
    volume: Volume, kind: str, scale: PerAxis, axis: int | str | None = None, *, magnitude: bool = False
) -> Volume:
    """The volume as a coarser acquisition would have recorded it, at the right place in the patient.

    Kinds:
        - "kspace": the central 1/scale of the frequencies (centred FFT crop, real part);
        - "slab": means over slabs of `scale` voxels that tile the field of view;
        - "spline": values of the interpolating cubic spline at the centres of those slabs, that is, slices of no
          thickness. For even scales they lie between voxels;
        - "subsample": every `scale`-th voxel, as McGinnis et al. 2023 simulate thick slices: round(n / scale) samples
          `scale` voxels apart, the middle one, ⌊(m−1)/2⌋, at the middle voxel, ⌊(n−1)/2⌋; those beyond the last voxel
          are left out. ×4 of 240 voxels keeps voxels 3, 7, 11 … 239. Scales that are no whole numbers read the cubic
          spline between voxels.

    Args:
        volume: the truth.
        kind: one of `DEGRADATIONS`.
        scale: any real factor ≥ 1, or three in the order (k, j, i). The effective factor is n / round(n / scale), for
            "subsample" exactly `scale`.
        axis: the one array axis to degrade (0, 1, 2 or "k", "j", "i"). Default: in plane for "kspace" (the slices of an
            isotropic volume being its k planes), across the slices for the other kinds.
        magnitude: take the absolute value at the end, as a scanner does. k-space consistency is then approximate.

    Returns:
        The coarser volume. Its metadata hold the exact acquisition model of the degraded axes, which
        `AcquisitionModel.estimate` reads.

    Raises:
        InputError: unknown kind or axis, or a scale below 1 or above the size.

    >>> volume = Volume(np.ones((4, 30, 31)), np.eye(4))
    >>> degrade(volume, "kspace", 2).shape, degrade(volume, "slab", 2).shape
    ((4, 15, 16), (2, 30, 31))
    """
    if kind not in DEGRADATIONS:
        raise InputError(f"Degradation is {kind!r}; expected one of {', '.join(DEGRADATIONS)}.")
    factors = _degradation_factors(volume.grid, kind, scale, axis)
    samples, steps, offsets, operators = list(volume.shape), np.ones(3), np.zeros(3), [None, None, None]
    for a, (n, factor) in enumerate(zip(volume.shape, factors, strict=True)):
        found = _degraded_axis(kind, n, factor)
        if found is not None:
            positions, steps[a], operators[a] = found
            samples[a], offsets[a] = len(positions), positions[0]
    array = apply_separable(volume.array, operators)
    if magnitude:
        array = np.abs(array)
    grid = volume.grid.remapped(samples, steps, offsets)
    stale = ("slice_thickness", "spacing_between_slices", "acquisition_matrix")
    metadata = {k: v for k, v in volume.metadata.items() if k not in stale}
    metadata[SIMULATED] = _simulated(volume, grid, kind)
    return Volume.on(grid, array, volume.name, metadata)


def _degraded_axis(kind: str, n: int, scale: float) -> tuple[np.ndarray, float, np.ndarray] | None:
    """(sample positions in voxels, their distance, matrix (samples, n)) of one axis; None where it stays as it is."""
    m = max(1, int(np.rint(n / scale) if kind == "subsample" else np.floor(n / scale + 0.5)))
    if m == n:
        return None
    if kind == "subsample":
        positions = (n - 1) // 2 + scale * (np.arange(m) - (m - 1) // 2)
        positions = positions[(positions >= 0) & (positions <= n - 1)]
        return positions, scale, kernels.bspline(n, positions).astype(np.float32)
    model = AxisModel("kspace" if kind == "kspace" else "slab", m, 1.0, 1.0)
    positions = model.positions(n)
    matrix = kernels.bspline(n, positions).astype(np.float32) if kind == "spline" else model.forward(n)
    return positions, n / m, matrix


def _simulated(truth: Volume, grid: Grid, kind: str) -> tuple[AxisModel, ...]:
    """The acquisition of a volume degraded by ourselves: that of the truth, but for the degraded axes."""
    axes = []
    known = AcquisitionModel.estimate(truth).axes
    for number, (axis, n, spacing) in enumerate(zip(known, grid.shape, grid.spacing, strict=True)):
        if n == axis.samples:
            # what becomes the slice axis is taken for one, as it would be if the volume came from a file
            slices = number == grid.slice_axis and axis.kind == "kspace"
            axes.append(AxisModel("slab", n, spacing, spacing) if slices else axis)
        elif kind == "kspace":
            measured = min(1.0, axis.support.edge * axis.samples / n)
            axes.append(AxisModel("kspace", n, spacing, support=Support(measured) if measured < 0.99 else Support()))
        else:
            axes.append(AxisModel("slab", n, spacing, spacing if kind == "slab" else 0.0))
    return tuple(axes)


def _degradation_factors(grid: Grid, kind: str, scale: PerAxis, axis: int | str | None) -> tuple[float, ...]:
    across = 0 if grid.slice_axis is None else grid.slice_axis
    if axis is not None:
        index = {"k": 0, "j": 1, "i": 2}.get(axis, axis) if isinstance(axis, str) else axis
        if index not in (0, 1, 2) or np.ndim(scale) != 0:
            raise InputError(
                f"Axis is {axis!r} with scale {scale!r}; expected 0, 1, 2 or k, j, i, with one number as the scale."
            )
        factors = [1.0, 1.0, 1.0]
        factors[index] = scale
    elif np.ndim(scale) == 0:
        factors = [scale if (a == across) == (kind != "kspace") else 1.0 for a in range(3)]
    else:
        factors = list(scale)
    checked = grid.scale_per_axis(factors)
    for n, s in zip(grid.shape, checked, strict=True):
        if s < 1 or s > n:
            raise InputError(f"Degradation scale is {s:g} for an axis of {n} samples; expected 1 to {n}.")
    return checked
