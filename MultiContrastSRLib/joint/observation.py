"""A scan as linear measurements of an image on the lattice that all contrasts and views share.

A scan is A u plus noise. Along each axis of the lattice A is the small matrix of the scan's acquisition: slab means,
or a central block of k-space. Its singular vectors V, gains s and U (A = U s Vᵀ, axis by axis) turn the scan into
coefficients Uᵀ y, each of which measures one direction of the image, independently of the others:

    Uᵀ y = s · (Vᵀ u) + noise

The model is exact for scans whose axes are parallel to the lattice's, in any order and direction, at any position: so
for orthogonal views of one frame. A scan that is turned against the lattice is first resampled onto samples of its own
size that are parallel to it, which neglects the turn of its slabs: some tenths of a voxel for the few degrees between
scans of one session.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import permutations

import numpy as np

from ..acquisition.axis import AxisModel
from ..acquisition.model import AcquisitionModel
from ..core.progress import Monitor
from ..image import kernels
from ..image.grid import Grid
from ..image.resample import resample_reference
from ..image.sampling import apply_separable, sample
from ..image.volume import Volume

_WEAK = 1e-3  # singular values below this fraction of the largest are dropped
_FINER = 0.98  # a scan whose spacing is below this fraction of the lattice's is resampled to the lattice


@dataclass(frozen=True)
class Observation:
    """The measurements of one scan, as numpy arrays, or as tensors where those of slices are on a device.

    Attributes:
        bases: per axis (k, j, i), the right singular vectors V (n, r) of the acquisition; None for the identity.
        gains: product of the singular values, (r, r, r), 1 where the basis is None.
        coefficients: Uᵀ y, (r, r, r), r = n where the basis is None.
        interpolated: the scan interpolated on the lattice, (n, n, n): where a solver begins.
        left: per axis, the left singular vectors U (m, r); None for the identity.
        measured: boolean, (m, m, m): which of the samples were measured; None when all were.
    """

    bases: tuple[np.ndarray | None, np.ndarray | None, np.ndarray | None]
    gains: np.ndarray
    coefficients: np.ndarray
    interpolated: np.ndarray
    left: tuple[np.ndarray | None, np.ndarray | None, np.ndarray | None]
    measured: np.ndarray | None = None

    @classmethod
    def from_operators(
        cls, samples: np.ndarray, operators: tuple, interpolated: np.ndarray, measured: np.ndarray | None = None
    ) -> Observation:
        """The observation of `samples` (m, m, m) acquired by `operators`, per axis (m, n) or None for the identity."""
        decomposed = [None if operator is None else decompose(operator) for operator in operators]
        return cls.from_decomposed(decomposed, samples, interpolated, measured)

    @classmethod
    def from_decomposed(
        cls,
        decomposed: Sequence[tuple | None],
        samples: np.ndarray,
        interpolated: np.ndarray,
        measured: np.ndarray | None = None,
    ) -> Observation:
        """The observation of `samples` by operators whose singular value decompositions (`decompose`) are given."""
        left, values, right = zip(*[(None, np.ones(1), None) if d is None else d for d in decomposed], strict=True)
        gains = values[0][:, None, None] * values[1][:, None] * values[2]
        coefficients = apply_separable(samples, [None if u is None else np.ascontiguousarray(u.T) for u in left])
        return cls(right, gains.astype(np.float32), coefficients, interpolated, left, measured)

    def slices(self, part: tuple[slice, slice, slice]) -> Observation:
        """The observation of some slices, along an axis whose operator is the identity."""
        return replace(
            self,
            coefficients=self.coefficients[part],
            interpolated=self.interpolated[part],
            measured=None if self.measured is None else self.measured[part],
        )


def observe_target(target: Volume, model: AcquisitionModel, lattice: Grid, monitor: Monitor) -> Observation:
    """The observation of the scan that the lattice belongs to (`lattice` is `model.lattice(samples)`)."""
    operators, inverse = [], []
    for axis, n in zip(model.axes, lattice.shape, strict=True):
        forward, weight = axis.forward(n), axis.weight()
        operators.append(forward if weight is None else weight if forward is None else weight @ forward)
        inverse.append(axis.spread(n) if axis.kind == "kspace" else axis.interpolate(n))
    interpolated = apply_separable(target.array, inverse, monitor=monitor.silent)
    return Observation.from_operators(model.weigh(target.array), tuple(operators), interpolated)


def observe(scan: Volume, lattice: Grid, across: int | None, monitor: Monitor) -> Observation | None:
    """The observation of a scan on any grid; None when their fields of view do not overlap.

    Args:
        across: lattice axis along which samples must be the lattice's, for slices that are reconstructed independently.
    """
    aligned = aligned_grid(scan, lattice, across)
    if aligned is None:
        return None
    grid, operators = aligned
    samples, covered = resample_reference(scan, grid, grid, monitor)
    measured = covered > 0.5
    if not measured.any():
        return None
    # a mirrored spline continues the scan beyond its edge, where the other contrasts and the regulariser decide
    everywhere = [(-np.inf, np.inf)] * 3
    interpolated = sample(samples, grid, lattice, (kernels.bspline,) * 3, domain=everywhere, monitor=monitor.silent)
    return Observation.from_operators(samples, operators, interpolated, None if measured.all() else measured)


def aligned_grid(scan: Volume, lattice: Grid, across: int | None = None) -> tuple[Grid, tuple] | None:
    """(samples of `scan`'s own size parallel to `lattice`, per axis the matrix that acquires them from it).

    Where the scan is finer than the lattice, samples are the lattice's; a matrix that would be the identity is None.
    Samples that reach outside the lattice are left out; None when none is left.
    """
    model = AcquisitionModel.estimate(scan)
    matrix, offset = scan.grid.index_map_to(lattice)  # scan index → lattice index, (k, j, i)
    steps = np.linalg.norm(matrix * np.array(lattice.spacing)[:, None], axis=0)  # mm between the scan's samples
    cosines = np.abs(matrix * np.array(lattice.spacing)[:, None]) / steps
    order = max(permutations(range(3)), key=lambda p: np.prod([cosines[axis, p[axis]] for axis in range(3)]))
    middle = matrix @ ((np.array(scan.shape) - 1) / 2) + offset
    found = []
    for axis, n in enumerate(lattice.shape):
        acquired, step = model.axes[order[axis]], float(steps[order[axis]] / lattice.spacing[axis])
        first = middle[axis] - step * (acquired.samples - 1) / 2
        if axis == across:
            found.append((np.arange(n, dtype=float), 1.0, None))
        elif step < _FINER:
            edges = first - step / 2, first + step * (acquired.samples - 0.5)
            inside = np.array([x for x in range(n) if edges[0] - 1e-3 <= x <= edges[1] + 1e-3], dtype=int)
            found.append((inside, 1.0, None if len(inside) == n else np.eye(n, dtype=np.float32)[inside]))
        else:
            positions = first + step * np.arange(acquired.samples)
            positions = positions[_inside(acquired, positions, step, n)]
            found.append((positions, step, _acquisition(acquired, n, positions, step)))
        if len(found[-1][0]) == 0:
            return None
    shape, firsts = [len(p) for p, _, _ in found], [p[0] for p, _, _ in found]
    return lattice.remapped(shape, np.array([s for _, s, _ in found]), np.array(firsts)), tuple(m for _, _, m in found)


def _inside(axis: AxisModel, positions: np.ndarray, step: float, n: int) -> np.ndarray:
    """Which samples lie, with their slice profile, within a lattice of `n` samples, to half a lattice sample."""
    if _periodic(axis, positions, step, n):
        return np.ones(len(positions), dtype=bool)
    reach = max(0.0, axis.thickness / axis.spacing * step / 2 - 0.5) if axis.kind == "slab" else 0.0
    return (positions - reach > -0.51) & (positions + reach < n - 0.49)


def _periodic(axis: AxisModel, positions: np.ndarray, step: float, n: int) -> bool:
    """Whether the period of the scan's k-space sampling is the lattice's field of view."""
    same = abs(len(positions) * step - n) < 1e-3
    return axis.kind == "kspace" and same and len(positions) > 0 and abs(positions[0]) < step


def _acquisition(axis: AxisModel, n: int, positions: np.ndarray, step: float) -> np.ndarray | None:
    """The matrix (len(positions), n) that acquires samples at lattice `positions`, `step` apart; None: the identity."""
    edge = axis.support.edge if axis.kind == "kspace" else 1.0
    width = axis.thickness / axis.spacing * step
    identity = len(positions) == n and abs(step - 1) < 1e-6 and np.abs(positions - np.arange(n)).max() < 1e-3
    if identity and edge == 1.0 and (axis.kind == "kspace" or width <= 1):
        return None
    if axis.kind == "slab":
        matrix = kernels.box(n, positions, width) if width > 0 else kernels.bspline(n, positions)
    elif _periodic(axis, positions, step, n):
        matrix = kernels.dirichlet(n, positions, np.arange(n), n * edge / step)
    else:
        # another field of view: not periodic in the lattice's, so band-limited in the mirrored image
        index, band = np.arange(n), 2 * n * edge / step
        matrix = kernels.dirichlet(2 * n, positions, index, band)
        matrix += kernels.dirichlet(2 * n, positions, 2 * n - 1 - index, band)
    return matrix.astype(np.float32)


def decompose(operator: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(U, singular values, V) of a matrix, without singular values that are negligible."""
    left, values, right = np.linalg.svd(operator.astype(np.float64), full_matrices=False)
    kept = values > _WEAK * values[0]
    return left[:, kept].astype(np.float32), values[kept], np.ascontiguousarray(right[kept].T, dtype=np.float32)
