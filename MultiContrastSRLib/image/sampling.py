"""Interpolation of a sampled image at any positions in the patient.

Where the axes of the two grids are parallel (in any order, flipped or not), interpolation is three matrix products, see
`kernels`. Otherwise the kernels first resample the region to half the spacing, and a quintic spline interpolates that
copy at the oblique positions.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import scipy

from ..core.progress import Monitor
from ..core.threads import in_threads
from . import kernels
from .grid import Grid
from .kernels import Kernel

if TYPE_CHECKING:
    import torch

Array = TypeVar("Array", np.ndarray, "torch.Tensor")  # functions of it take either and return the same

# spline order by which scipy evaluates a kernel directly at scattered positions
_DIRECT_ORDER = {kernels.nearest: 0, kernels.linear: 1, kernels.bspline: 3, kernels.quintic: 5}
_CHUNK = 1 << 20  # output samples processed at once
UNSEEN = 1e-7  # source samples whose weights are all below this are left out
_MARGIN = 8  # source samples kept around an oblique region, enough for the quintic prefilter to settle


def parallel_axes(matrix: np.ndarray, shape: Sequence[int]) -> list[int] | None:
    """For each source axis the output axis parallel to it, or None when the grids are oblique to each other.

    `matrix` maps output to source indices (k, j, i); parallel to 0.001 voxel over the whole grid.
    """
    deviation = np.abs(matrix) * (np.maximum(np.asarray(shape), 2) - 1)
    order = [int(np.argmax(np.abs(row))) for row in matrix]
    for row, column in enumerate(order):
        deviation[row, column] = 0.0
    if len(set(order)) < 3:
        # the direction of an output axis of one sample does not matter, but every row needs an axis of its own
        return None
    return order if deviation.max() < 1e-3 else None


def sample(
    array: np.ndarray,
    source: Grid,
    grid: Grid,
    axis_kernels: Sequence[Kernel],
    *,
    fill: float = 0.0,
    domain: Sequence[tuple[float, float]] | None = None,
    monitor: Monitor | None = None,
) -> np.ndarray:
    """The image `array` on `source`, evaluated on `grid`.

    Args:
        array: [k, j, i] float32.
        axis_kernels: one kernel per source axis.
        fill: value of samples outside the field of view.
        domain: per source axis, the lowest and highest source index inside the field of view; default the voxel edges.

    Returns:
        float32 array of `grid.shape`.
    """
    monitor = monitor or Monitor()
    matrix, offset = grid.index_map_to(source)
    order = parallel_axes(matrix, grid.shape)
    if domain is None:
        domain = [(-0.5, n - 0.5) for n in array.shape]
    bounds = np.add(domain, (-1e-3, 1e-3))  # samples on the edge are inside in spite of rounding
    if order is not None:
        return _parallel(array, matrix, offset, order, grid.shape, axis_kernels, fill, bounds, monitor)
    return _oblique(array, matrix, offset, grid.shape, axis_kernels, fill, bounds, monitor)


def _parallel(
    array: np.ndarray,
    matrix: np.ndarray,
    offset: np.ndarray,
    order: Sequence[int],
    shape: Sequence[int],
    axis_kernels: Sequence[Kernel],
    fill: float,
    bounds: np.ndarray,
    monitor: Monitor,
) -> np.ndarray:
    operators, inside, sines = [], [], {}
    for axis, out in enumerate(order):
        positions = offset[axis] + matrix[axis, out] * np.arange(shape[out])
        # positions fall or rise, so those inside the field of view are one run
        (found,) = np.nonzero((positions >= bounds[axis, 0]) & (positions <= bounds[axis, 1]))
        run = slice(found[0], found[-1] + 1) if len(found) else slice(0, 0)
        inside.append(run)
        arguments = array.shape[axis], positions[run], abs(matrix[axis, out])
        operators.append(axis_kernels[axis](*arguments).astype(np.float32))
        sine = kernels.nyquist_sine(*arguments) if axis_kernels[axis] is kernels.anti_aliased_sinc else None
        if sine is not None:
            sines[axis] = sine.astype(np.float32)
    result = np.full([shape[out] for out in order], fill, dtype=np.float32)
    if all(len(operator) for operator in operators):
        used, needed = _without_copies(*_without_unused(array, operators))
        apply_separable(used, needed, out=result[tuple(inside)], monitor=monitor)
        for pair in combinations(sines, 2):
            corner = [sines[axis] if axis in pair else operator for axis, operator in enumerate(operators)]
            result[tuple(inside)] -= apply_separable(array, corner)
    # result's axes follow the source's; bring them into the output's order
    return np.ascontiguousarray(np.transpose(result, [order.index(out) for out in range(3)]))


def _without_unused(array: np.ndarray, operators: list[np.ndarray]) -> tuple[np.ndarray, list[np.ndarray]]:
    """`array` and `operators` without samples that no output depends on: one slice needs few of its neighbours."""
    parts = []
    for operator in operators:
        (used,) = np.nonzero(np.abs(operator).max(axis=0) > UNSEEN)
        parts.append(slice(used[0], used[-1] + 1) if len(used) else slice(0, 1))
    return array[tuple(parts)], [operator[:, part] for operator, part in zip(operators, parts, strict=True)]


def _without_copies(array: np.ndarray, operators: Sequence[np.ndarray]) -> tuple[np.ndarray, list[np.ndarray | None]]:
    """`array` and `operators` without products along axes whose outputs are samples of the source, one by one."""
    copied = [_copied_samples(operator) for operator in operators]
    parts = tuple(slice(None) if part is None else part for part in copied)
    return array[parts], [operator if part is None else None for operator, part in zip(operators, copied, strict=True)]


def _copied_samples(operator: np.ndarray) -> slice | None:
    """The neighbouring samples of the source, forwards or backwards, that the outputs are; None where they are not."""
    if operator.max(axis=1).min() < 1 - UNSEEN:  # of nearly all views, which are not looked at further
        return None
    nearest = operator.argmax(axis=1)
    if np.abs(operator - (nearest[:, None] == np.arange(operator.shape[1]))).max() >= UNSEEN:
        return None
    first, last, steps = int(nearest[0]), int(nearest[-1]), set(np.diff(nearest).tolist())
    if steps <= {1}:
        return slice(first, last + 1)
    return slice(first, last - 1 if last else None, -1) if steps == {-1} else None


def apply_separable(
    array: Array,
    operators: Sequence[Array | None],
    *,
    out: np.ndarray | None = None,
    monitor: Monitor | None = None,
) -> Array:
    """One matrix per axis (None: identity) applied to a volume or to slices.

    Args:
        array: numpy [k, j, i], which is processed in chunks of slices, or a tensor (…, rows, columns), in one go.
        operators: matrices (out, in) for the last axes of `array`, of its type.
        out: where the result is written (numpy only).
        monitor: progress and cancel (numpy only).

    >>> apply_separable(np.ones((2, 3, 4), np.float32), [None, np.full((1, 3), 2, np.float32), None]).shape
    (2, 1, 4)
    """
    if not isinstance(array, np.ndarray):
        for axis, matrix in enumerate(operators, start=-len(operators)):
            if matrix is not None and axis == -1:
                array = array @ matrix.T
            elif matrix is not None:
                array = (matrix @ array.swapaxes(axis, -2)).swapaxes(axis, -2)
        return array
    over_k, over_j, over_i = (None,) * (3 - len(operators)) + tuple(operators)
    shape = tuple(n if op is None else len(op) for n, op in zip(array.shape, (over_k, over_j, over_i), strict=True))
    if out is None:
        out = np.empty(shape, dtype=np.float32)
    # in-plane first when it shrinks the data, the slice axis first when that does
    inplane_first = over_k is not None and len(over_k) > array.shape[0]
    source = array
    if inplane_first:
        first = monitor and monitor.part(0.0, 0.5)
        monitor = monitor and monitor.part(0.5, 1.0)
        source = apply_separable(array, [None, over_j, over_i], monitor=first)
        over_j = over_i = None
    depth = max(1, int(_CHUNK // max(shape[1] * shape[2], source.shape[1] * source.shape[2])))
    for start in range(0, shape[0], depth):
        stop = min(start + depth, shape[0])
        if monitor is not None:
            monitor.update(start / shape[0])
        part = source[start:stop] if over_k is None else np.tensordot(over_k[start:stop], source, axes=1)
        if over_j is not None:
            part = np.matmul(over_j, part)
        if over_i is not None:
            part = np.matmul(part, over_i.T)
        out[start:stop] = part
    return out


def _oblique(
    array: np.ndarray,
    matrix: np.ndarray,
    offset: np.ndarray,
    shape: Sequence[int],
    axis_kernels: Sequence[Kernel],
    fill: float,
    bounds: np.ndarray,
    monitor: Monitor,
) -> np.ndarray:
    order = {_DIRECT_ORDER.get(kernel) for kernel in axis_kernels}
    direct = order.pop() if len(order) == 1 else None
    result = np.full(shape, fill, dtype=np.float32)
    # distance between neighbouring output samples along each source axis; a single plane has no neighbours
    steps = np.linalg.norm(matrix[:, np.asarray(shape) > 1], axis=1)
    # blocks of a few rows of a few slices: their bounding box in the source stays small
    side = 96
    blocks = [
        (k, j, i) for k in range(0, shape[0], side) for j in range(0, shape[1], side) for i in range(0, shape[2], side)
    ]

    def evaluate(numbered: tuple[int, tuple[int, int, int]], monitor: Monitor) -> None:
        number, begin = numbered
        monitor.update(number / len(blocks))
        ends = [min(b + side, n) for b, n in zip(begin, shape, strict=True)]
        index = np.stack(
            np.meshgrid(*[np.arange(b, e) for b, e in zip(begin, ends, strict=True)], indexing="ij")
        ).reshape(3, -1)
        positions = matrix @ index + offset[:, None]
        mask = ((positions >= bounds[:, :1]) & (positions <= bounds[:, 1:])).all(axis=0)
        if not mask.any():
            return
        values = np.full(mask.shape, fill, dtype=np.float32)
        values[mask] = _scattered(array, positions[:, mask], axis_kernels, direct, steps)
        result[tuple(slice(b, e) for b, e in zip(begin, ends, strict=True))] = values.reshape(
            [e - b for b, e in zip(begin, ends, strict=True)]
        )

    in_threads(enumerate(blocks), evaluate, monitor)
    return result


def _scattered(
    array: np.ndarray, positions: np.ndarray, axis_kernels: Sequence[Kernel], direct: int | None, steps: np.ndarray
) -> np.ndarray:
    """Values at `positions` (3, p) inside the field of view, `steps` source samples apart along each source axis."""
    first = np.floor(positions.min(axis=1)).astype(int) - _MARGIN
    last = np.ceil(positions.max(axis=1)).astype(int) + _MARGIN
    if direct is not None:
        if direct < 2:
            return scipy.ndimage.map_coordinates(array, positions, order=direct, mode="nearest")
        first, last = np.maximum(first, 0), np.minimum(last, np.array(array.shape) - 1)
        region = array[tuple(slice(a, b + 1) for a, b in zip(first, last, strict=True))]
        return scipy.ndimage.map_coordinates(region, positions - first[:, None], order=direct, mode="reflect")
    # kernels extrapolate the image beyond its edge, so the fine copy may reach outside
    first, last = np.maximum(first, -_MARGIN), np.minimum(last, np.array(array.shape) - 1 + _MARGIN)
    operators = []
    for axis, kernel in enumerate(axis_kernels):
        fine = np.arange(first[axis], last[axis] + 0.25, 0.5)
        operators.append(kernel(array.shape[axis], fine, max(0.5, steps[axis])).astype(np.float32))
    region = apply_separable(array, operators)
    return scipy.ndimage.map_coordinates(region, (positions - first[:, None]) * 2, order=5, mode="reflect")
