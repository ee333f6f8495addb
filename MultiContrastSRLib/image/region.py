"""A region of interest: a box in the patient, and the samples of a grid that lie in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..core.errors import InputError
from .grid import Grid

_ON_EDGE = 1e-6  # of a voxel; a voxel that the box only touches lies outside


@dataclass(frozen=True)
class Region:
    """A box in the patient, in any orientation.

    Attributes:
        center: RAS mm.
        edges: 3×3, the vectors along the three edges of the box (rows), RAS mm; their lengths are the box's.

    >>> region = Region.of((0, 0, 30), 20)
    >>> region.crop(Grid((20, 64, 64), np.diag([1.0, 1.0, 3.0, 1.0])))
    ((7, 0, 0), (14, 11, 11))
    """

    center: tuple[float, float, float]
    edges: tuple[tuple[float, float, float], ...]

    @classmethod
    def of(
        cls, center: Sequence[float], size: float | Sequence[float], axes: Sequence[Sequence[float]] | None = None
    ) -> Region:
        """A box by its centre and the lengths of its edges.

        Args:
            center: RAS mm.
            size: mm along the three axes, or one number for a cube.
            axes: 3×3, the directions of the edges (rows, any length) in RAS; default right, anterior, superior.

        Raises:
            InputError: numbers that give no box.
        """
        try:
            middle = np.array(center, dtype=np.float64)
            lengths = np.broadcast_to(np.asarray(size, dtype=np.float64), (3,))
            directions = np.eye(3) if axes is None else np.array(axes, dtype=np.float64)
        except (TypeError, ValueError):
            middle = lengths = directions = np.full(1, np.nan)
        numbers = np.concatenate([middle.ravel(), lengths.ravel(), directions.ravel()])
        if middle.shape != (3,) or directions.shape != (3, 3) or not np.isfinite(numbers).all() or (lengths <= 0).any():
            raise InputError(
                f"Region has the centre {center!r} and the size {size!r}; expected three RAS coordinates in mm, and "
                "one edge length or three in mm above 0."
            )
        norms = np.linalg.norm(directions, axis=1, keepdims=True)
        if (norms == 0).any():
            raise InputError(f"Region has edges along {axes!r}; expected three directions of a length above 0.")
        edges = directions / norms * lengths[:, None]
        return cls(tuple(middle.tolist()), tuple(tuple(edge) for edge in edges.tolist()))

    @classmethod
    def of_samples(cls, grid: Grid, start: Sequence[float], stop: Sequence[float]) -> Region:
        """The box around the voxels start…stop−1 per axis (k, j, i) of `grid`; fractions count."""
        first, last = np.asarray(start, dtype=np.float64), np.asarray(stop, dtype=np.float64)
        edges = (last - first)[:, None] * grid.affine[:3, 2::-1].T  # rows: along k, j, i
        return cls.of(grid.positions((first + last - 1) / 2).tolist(), np.linalg.norm(edges, axis=1), edges)

    def __str__(self) -> str:
        size = " × ".join(f"{np.linalg.norm(edge):.4g}" for edge in self.edges)
        return f"a box of {size} mm around RAS ({', '.join(f'{x:.4g}' for x in self.center)}) mm"

    @property
    def corners(self) -> np.ndarray:
        """RAS mm of the eight corners, shape (8, 3)."""
        signs = np.array(np.meshgrid(*[(-0.5, 0.5)] * 3, indexing="ij")).reshape(3, 8).T
        return np.array(self.center) + signs @ np.array(self.edges)

    def extent_in(self, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
        """The smallest and largest fractional indices (k, j, i) of `grid` in the box; voxels reach half a unit."""
        indices = grid.indices(self.corners)
        return indices.min(axis=0), indices.max(axis=0)

    def crop(self, grid: Grid) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """(start, stop), (k, j, i): the smallest block of samples of `grid` whose voxels cover the box, inside `grid`.

        Raises:
            InputError: none of them does.
        """
        low, high = self.extent_in(grid)
        start = np.clip(np.floor(low + 0.5 + _ON_EDGE), 0, None).astype(int)
        stop = np.clip(np.ceil(high + 0.5 - _ON_EDGE), None, grid.shape).astype(int)
        if (stop <= start).any():
            middle = ", ".join(f"{x:.4g}" for x in grid.center)
            raise InputError(
                f"The region of interest is {self}, outside the scan, whose centre is RAS ({middle}) mm; expected one "
                "that overlaps the scan. Move the region onto it."
            )
        return tuple(start.tolist()), tuple(stop.tolist())
