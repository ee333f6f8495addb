"""What a slice view shows: its pixels as a grid, and the grids that are likely to be requested next."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..acquisition.lattice import sampled_along
from ..core.errors import GeometryError
from ..image.grid import Grid, spacing_along

_PROBES = 65  # places along a view's edge at which it is asked whether the target is there


@dataclass(frozen=True)
class Rectangle:
    """Pixels of a view: columns left…right−1 and rows bottom…top−1, counted from the lower left as views do."""

    left: int
    right: int
    bottom: int
    top: int

    @property
    def empty(self) -> bool:
        """Whether it holds no pixel."""
        return self.right <= self.left or self.top <= self.bottom

    def within(self, width: int, height: int) -> Rectangle:
        """The part inside a view of that size."""
        return Rectangle(max(self.left, 0), min(self.right, width), max(self.bottom, 0), min(self.top, height))

    @classmethod
    def around(cls, x: float, y: float, side: int) -> Rectangle:
        """A square of `side` pixels with its centre at (x, y)."""
        left, bottom = round(x) - side // 2, round(y) - side // 2
        return cls(left, left + side, bottom, bottom + side)


def view_grid(xy_to_ras: np.ndarray, width: int, height: int, target: Grid) -> Grid:
    """The pixels of a slice view, shape (1, height, width); rows grow upwards, as in the view.

    Args:
        xy_to_ras: 4×4, view pixel (x, y, 0, 1) to RAS mm, any orientation; pixels may be sheared with the view.
        target: what is shown. A pixel is as thick as a slice where the view looks along the slices, else a cube. So
            views are crops of the volumes that `pipeline.super_resolve` makes with one scale, or with one spacing.

    Raises:
        GeometryError: a view without pixels, or a singular matrix.
    """
    if width < 1 or height < 1:
        raise GeometryError(f"The view has {width} × {height} pixels; expected at least one.")
    affine = np.array(xy_to_ras, dtype=np.float64)
    normal = np.cross(affine[:3, 0], affine[:3, 1])
    affine[:3, 2] = normal / max(float(np.linalg.norm(normal)), 1e-300)
    plane = Grid((1, height, width), affine)
    across, axis = sampled_along(target, plane)[0], target.slice_axis
    along_slices = axis is not None and across == target.spacing[axis]
    affine[:3, 2] *= across if along_slices else min(plane.spacing[1:])
    return Grid((1, height, width), affine)


def seen_of(target: Grid, grid: Grid) -> Rectangle:
    """The smallest rectangle of a view's pixels that contains all of the target's field of view."""
    _, rows, columns = grid.shape
    j, i = (np.unique(np.linspace(0, n - 1, min(n, _PROBES)).round().astype(int)) for n in (rows, columns))
    matrix, offset = grid.index_map_to(target)
    index = np.stack(np.meshgrid(j, i, indexing="ij")).reshape(2, -1)
    positions = matrix[:, 1:] @ index + offset[:, None]
    edge = np.array(target.shape)[:, None] - 0.5
    inside = ((positions >= -0.5 - 1e-3) & (positions <= edge + 1e-3)).all(axis=0).reshape(len(j), len(i))
    if not inside.any():
        return Rectangle(0, 0, 0, 0)
    (seen_j,), (seen_i,) = np.nonzero(inside.any(axis=1)), np.nonzero(inside.any(axis=0))

    def reach(probes: np.ndarray, first: int, last: int, n: int) -> tuple[int, int]:
        start = 0 if first == 0 else int(probes[first - 1])
        return start, n if last == len(probes) - 1 else int(probes[last + 1]) + 1

    left, right = reach(i, seen_i[0], seen_i[-1], columns)
    bottom, top = reach(j, seen_j[0], seen_j[-1], rows)
    return Rectangle(left, right, bottom, top)


def part_of(grid: Grid, part: Rectangle) -> Grid:
    """The pixels `part` of a view's grid."""
    return grid.crop((0, part.bottom, part.left), (1, part.top, part.right))


def coarser(grid: Grid, factor: int) -> Grid:
    """A view's grid with pixels `factor` times as large over the same field of view."""
    _, rows, columns = grid.shape
    return grid.resized((1, max(1, round(rows / factor)), max(1, round(columns / factor))))


def moved(grid: Grid, distance: float) -> Grid:
    """A view's grid `distance` mm along its normal: a neighbouring slice at the same place and zoom."""
    affine = np.array(grid.affine)
    affine[:3, 3] += distance * affine[:3, 2] / np.linalg.norm(affine[:3, 2])
    return Grid(grid.shape, affine)


def neighbours(grid: Grid, step: float, count: int = 2) -> tuple[Grid, ...]:
    """Views of the `count` next slices on either side, nearest first; `step` in mm."""
    return tuple(moved(grid, sign * number * step) for number in range(1, count + 1) for sign in (1, -1))


def same_plane(one: Grid, other: Grid, tolerance: float = 1e-3) -> bool:
    """Whether two views show the same plane of the patient (within `tolerance` mm over the second's pixels)."""
    normal = one.affine[:3, 2] / np.linalg.norm(one.affine[:3, 2])
    _, rows, columns = other.shape
    corners = other.positions(np.array([(0, j, i) for j in (0, rows - 1) for i in (0, columns - 1)]))
    return bool(np.abs((corners - one.affine[:3, 3]) @ normal).max() <= tolerance)


def key_of(grid: Grid) -> tuple[tuple[int, int, int], tuple[int, ...]]:
    """Equal for grids that are the same but for rounding (0.0001 mm)."""
    return grid.shape, tuple(np.round(np.array(grid.affine[:3]).ravel() * 1e4).astype(np.int64))


def effective_scale(target: Grid, grid: Grid) -> float:
    """How many of the view's pixels lie in one pixel of the target (along its finer axes)."""
    lengths = spacing_along(target, grid)[1:]
    return float(min(lengths) / max(grid.spacing[1:]))
