"""Volumes as a coarser acquisition records them: simulated low resolution with the truth at hand."""

from __future__ import annotations

import numpy as np

from ..core.errors import InputError
from ..image import kernels
from ..image.grid import AXES, Grid, PerAxis
from ..image.sampling import apply_separable
from ..image.volume import Volume
from .axis import AxisModel
from .model import SIMULATED, AcquisitionModel
from .operators import apply_operator
from .support import Support

DEGRADATIONS = ("kspace", "slab", "spline", "subsample")


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
    samples, steps, offsets = list(volume.shape), np.ones(3), np.zeros(3)
    positions: list[np.ndarray | None] = [None, None, None]
    for a, (n, factor) in enumerate(zip(volume.shape, factors, strict=True)):
        found = _degraded_axis(kind, n, factor)
        if found is not None:
            positions[a], steps[a] = found
            samples[a], offsets[a] = len(found[0]), found[0][0]
    if kind in ("kspace", "slab"):
        axes = [_acquired_axis(kind, n) for n in samples]
        array = apply_operator(axes, "forward", volume.array, volume.shape)
    else:
        read = [None if x is None else kernels.bspline(n, x) for n, x in zip(volume.shape, positions, strict=True)]
        array = apply_separable(volume.array, [None if x is None else x.astype(np.float32) for x in read])
    if magnitude:
        array = np.abs(array)
    grid = volume.grid.remapped(samples, steps, offsets)
    stale = ("slice_thickness", "spacing_between_slices", "acquisition_matrix")
    metadata = {k: v for k, v in volume.metadata.items() if k not in stale}
    metadata[SIMULATED] = _simulated(volume, grid, kind)
    return Volume.on(grid, array, volume.name, metadata)


def _degraded_axis(kind: str, n: int, scale: float) -> tuple[np.ndarray, float] | None:
    """(sample positions in voxels, their distance) of one axis; None where it stays as it is."""
    m = max(1, int(np.rint(n / scale) if kind == "subsample" else np.floor(n / scale + 0.5)))
    if m == n:
        return None
    if kind == "subsample":
        positions = (n - 1) // 2 + scale * (np.arange(m) - (m - 1) // 2)
        return positions[(positions >= 0) & (positions <= n - 1)], scale
    return _acquired_axis(kind, m).positions(n), n / m


def _acquired_axis(kind: str, samples: int) -> AxisModel:
    return AxisModel("kspace" if kind == "kspace" else "slab", samples, 1.0, 1.0)


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
    if axis is None:
        degraded = [(a == across) == (kind != "kspace") for a in range(3)]
    else:
        if str(axis) not in AXES or np.ndim(scale) != 0:
            raise InputError(
                f"Axis is {axis!r} with scale {scale!r}; expected 0, 1, 2 or k, j, i, with one number as the scale."
            )
        degraded = [a == AXES[str(axis)] for a in range(3)]
    checked = grid.scale_per_axis(np.where(degraded, scale, 1.0).tolist() if np.ndim(scale) == 0 else scale)
    for n, s in zip(grid.shape, checked, strict=True):
        if s < 1 or s > n:
            raise InputError(f"Degradation scale is {s:g} for an axis of {n} samples; expected 1 to {n}.")
    return checked
