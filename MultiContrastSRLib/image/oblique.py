"""A lattice image read on planes that are oblique to it: one prefiltered copy, then a few taps a pixel.

The kernels of a lattice (`sampling`) work along its axes and are matrices; oblique to them every pixel would need its
own. So the image is laid once on a grid twice as fine within the slices, where a cubic spline follows it closely (at
the lattice's highest frequency its error is 1 %, at half of it below 0.01 %), and the spline's coefficients are kept.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy

from ..core.progress import Monitor
from . import kernels
from .grid import Grid
from .kernels import Kernel
from .sampling import apply_separable

_MARGIN = 3  # lattice samples kept beyond the edge: the spline settles, and the field of view reaches one sample out
_LARGEST = 1 << 28  # samples of a fine copy; larger images are laid on no finer grid than their own
_CHUNK = 1 << 17  # output samples worked on at once
_SLICES = 8  # that are filtered at once
_ROWS = 64  # of all slices that are combined or filtered at once


class ObliqueReader:
    """`array` on `lattice`, ready to be read along planes in any orientation.

    Args:
        array: [k, j, i] float32.
        axis_kernels: the kernel of each axis, as in `sampling.sample`.
        fine: which axes are laid on a grid twice as fine (those whose kernel is not a spline already).
    """

    def __init__(
        self,
        array: np.ndarray,
        lattice: Grid,
        axis_kernels: Sequence[Kernel],
        fine: Sequence[bool],
        monitor: Monitor | None = None,
    ) -> None:
        monitor = monitor or Monitor()
        self.lattice = lattice
        twice = array.size * 2 ** sum(fine) <= _LARGEST
        self._steps = np.array([0.5 if twice and f else 1.0 for f in fine])
        operators = []
        for n, step, kernel in zip(array.shape, self._steps, axis_kernels, strict=True):
            positions = np.arange(-_MARGIN, n - 1 + _MARGIN + step / 2, step)
            operators.append(kernel(n, positions, step).astype(np.float32))
        across, *inside = operators
        slices = apply_separable(array, [None, *inside], monitor=monitor.part(0.0, 0.4))
        self._coefficients = np.empty((len(across), *slices.shape[1:]), np.float32)
        for start in range(0, slices.shape[1], _ROWS):  # a large product would hold Python's lock for long
            monitor.check()
            rows = slice(start, start + _ROWS)
            self._coefficients[:, rows] = np.tensordot(across, slices[:, rows], axes=1)
        del slices
        for start in range(0, len(self._coefficients), _SLICES):
            monitor.update(0.4 + 0.5 * start / len(self._coefficients))
            part = self._coefficients[start : start + _SLICES]
            for axis in (1, 2):
                scipy.ndimage.spline_filter1d(part, 3, axis, output=part)
        for start in range(0, self._coefficients.shape[1], _ROWS):
            monitor.update(0.9 + 0.1 * start / self._coefficients.shape[1])
            part = self._coefficients[:, start : start + _ROWS]
            part[...] = scipy.ndimage.spline_filter1d(part, 3, 0, output=np.float32)

    @property
    def nbytes(self) -> int:
        """Memory that it holds."""
        return self._coefficients.nbytes

    def read(
        self, grid: Grid, fill: float, domain: Sequence[tuple[float, float]], monitor: Monitor | None = None
    ) -> np.ndarray:
        """float32 of `grid.shape`.

        Where the pixels are coarser than the lattice each is the mean over its area (in the directions in which the
        grid has more than one sample), so that fine structure does not turn into moiré.

        Args:
            fill: value outside the field of view.
            domain: per axis, lowest and highest lattice index inside the field of view.
        """
        monitor = monitor or Monitor()
        matrix, offset = grid.index_map_to(self.lattice)
        several = np.array(grid.shape) > 1
        over = np.ones(3, int)
        over[several] = np.maximum(1, np.ceil(np.abs(matrix).max(axis=0) - 0.01).astype(int))[several]
        bounds = np.add(domain, (-1e-3, 1e-3))
        shifts = np.stack(np.meshgrid(*[(np.arange(m) + 0.5) / m - 0.5 for m in over], indexing="ij"), axis=-1).reshape(
            -1, 3
        )
        result = np.empty(grid.size, np.float32)
        for start in range(0, grid.size, _CHUNK):
            monitor.update(start / grid.size)
            index = np.stack(np.unravel_index(np.arange(start, min(start + _CHUNK, grid.size)), grid.shape))
            total = np.zeros(index.shape[1], np.float32)
            for shift in shifts:
                total += self._at(matrix @ (index + shift[:, None]) + offset[:, None], bounds, fill)
            result[start : start + _CHUNK] = total / len(shifts)
        return result.reshape(grid.shape)

    def _at(self, positions: np.ndarray, bounds: np.ndarray, fill: float) -> np.ndarray:
        inside = ((positions >= bounds[:, :1]) & (positions <= bounds[:, 1:])).all(axis=0)
        fine = (positions[:, inside] + _MARGIN) / self._steps[:, None]
        values = np.full(positions.shape[1], fill, np.float32)
        values[inside] = scipy.ndimage.map_coordinates(
            self._coefficients, fine, order=3, prefilter=False, mode="nearest", output=np.float32
        )
        return values


def is_oblique_plane(grid: Grid, lattice: Grid) -> bool:
    """Whether `grid` is one plane of pixels whose axes are not those of `lattice`."""
    from .sampling import parallel_axes

    return 1 in grid.shape and parallel_axes(grid.index_map_to(lattice)[0], grid.shape) is None


def kernel_is_spline(kernel: Kernel) -> bool:
    """Whether a cubic spline is the kernel itself, so that a finer grid would add nothing."""
    return kernel in (kernels.bspline, kernels.anti_aliased_spline)
