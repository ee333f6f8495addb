"""Where samples lie in the patient: a shape and an affine to RAS millimetres.

One order everywhere: tuples that have a value per axis (shape, scale, spacing, start, stop) are in array order
(k, j, i) = (slice, row, column), like the array they belong to. Only the affine, as in NIfTI and Slicer, maps
column vectors (i, j, k, 1).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from ..core.errors import GeometryError, InputError

if TYPE_CHECKING:
    from .volume import Volume

_T = TypeVar("_T")
PerAxis = float | Sequence[float]
REVERSE = (2, 1, 0)  # (i, j, k) <-> (k, j, i)
AXES = {"0": 0, "1": 1, "2": 2, "k": 0, "j": 1, "i": 2}  # array axes as users name them, numbers as text too


def per_axis(values: Iterable[_T]) -> tuple[_T, _T, _T]:
    """`values`, one for each axis (k, j, i), as a tuple of three.

    >>> per_axis(2 * n for n in (1, 2, 3))
    (2, 4, 6)
    """
    k, j, i = values
    return k, j, i


class Grid:
    """A regular lattice of sample positions in the patient. Immutable.

    Args:
        shape: number of samples, (k, j, i).
        affine: 4×4, maps index (i, j, k, 1) to RAS mm of the sample's centre. May be oblique, flipped, sheared.

    Raises:
        GeometryError: shape or affine is malformed, singular or not finite.

    >>> grid = Grid((10, 20, 30), np.diag([0.5, 0.5, 3.0, 1.0]))
    >>> grid.spacing
    (3.0, 0.5, 0.5)
    >>> grid.scaled(2).shape, grid.scaled((3, 1, 1)).shape   # one number: in plane, for thick slices
    ((10, 40, 60), (30, 20, 30))
    """

    __slots__ = ("affine", "shape")

    shape: tuple[int, int, int]
    affine: np.ndarray

    def __init__(self, shape: Sequence[int], affine: np.ndarray) -> None:
        if len(shape) != 3 or any(int(n) != n or n < 1 for n in shape):
            raise GeometryError(
                f"Grid shape is {tuple(shape)}; expected three whole numbers ≥ 1 in the order (k, j, i)."
            )
        matrix = np.array(affine, dtype=np.float64)
        if matrix.shape != (4, 4):
            raise GeometryError(f"Affine has shape {matrix.shape}; expected 4×4 (index (i, j, k, 1) to RAS mm).")
        if not np.isfinite(matrix).all():
            raise GeometryError(
                "Affine holds NaN or infinite values; expected finite millimetres. Repair the image header."
            )
        lengths = np.linalg.norm(matrix[:3, :3], axis=0)
        if (lengths <= 0).any():
            raise GeometryError(
                f"Voxel spacing (k, j, i) is {tuple(float(x) for x in lengths[::-1])} mm; expected values above 0. "
                "Repair the image header."
            )
        if abs(np.linalg.det(matrix[:3, :3] / lengths)) < 1e-6 or not np.allclose(matrix[3], (0, 0, 0, 1)):
            raise GeometryError("Affine is singular (its axes lie in one plane) or no affine; repair the image header.")
        # readers differ in the last bits of an affine; without them all give the same voxels, bit by bit
        matrix[:3, :3], matrix[:3, 3] = np.round(matrix[:3, :3], 10), np.round(matrix[:3, 3], 8)
        matrix.flags.writeable = False
        object.__setattr__(self, "shape", tuple(int(n) for n in shape))
        object.__setattr__(self, "affine", matrix)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"Grid is immutable; cannot set {name!r}. Make a new Grid instead.")

    def __reduce__(self) -> tuple[type[Grid], tuple[tuple[int, int, int], np.ndarray]]:
        return Grid, (self.shape, np.array(self.affine))

    def __repr__(self) -> str:
        spacing = " × ".join(f"{s:.4g}" for s in self.spacing)
        return f"Grid(shape={self.shape}, spacing (k, j, i)={spacing} mm)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Grid) and self.shape == other.shape and np.array_equal(self.affine, other.affine)

    def __hash__(self) -> int:
        return hash((self.shape, self.affine.tobytes()))

    # ------------------------------------------------------------------ what it is

    @classmethod
    def of(cls, volume: Volume) -> Grid:
        """The grid that `volume` is sampled on."""
        return volume.grid

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Distance between neighbouring samples in mm, (k, j, i)."""
        lengths = np.linalg.norm(self.affine[:3, :3], axis=0)
        return per_axis(float(lengths[c]) for c in REVERSE)

    @property
    def size(self) -> int:
        """Number of samples."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def slice_axis(self) -> int | None:
        """The array axis across the slices of a 2-D acquisition, or None when the grid is (nearly) isotropic.

        It is the odd one out: the axis whose spacing differs from the other two, thicker or thinner. An axis
        of a single sample is always it. Below a ratio of 1.2 the grid counts as isotropic.
        """
        single = [axis for axis, n in enumerate(self.shape) if n == 1]
        if single:
            return single[0]
        logs = np.log(self.spacing)
        if np.ptp(logs) < np.log(1.2):
            return None
        others = [abs(logs[(a + 1) % 3] - logs[(a + 2) % 3]) for a in range(3)]
        closest = min(others)
        # a tie (1:2:4, say) goes to the thickest axis
        return max((a for a in range(3) if others[a] <= closest + 1e-6), key=lambda a: (logs[a], -a))

    @property
    def center(self) -> np.ndarray:
        """RAS mm of the middle of the field of view."""
        return self.positions((np.array(self.shape) - 1) / 2)

    def positions(self, index: np.ndarray) -> np.ndarray:
        """RAS mm, shape (…, 3), of fractional array indices (k, j, i), shape (…, 3)."""
        return np.asarray(index, dtype=np.float64)[..., ::-1] @ self.affine[:3, :3].T + self.affine[:3, 3]

    def indices(self, positions: np.ndarray) -> np.ndarray:
        """Fractional array indices (k, j, i), shape (…, 3), of RAS mm positions, shape (…, 3)."""
        return (np.asarray(positions, dtype=np.float64) - self.affine[:3, 3]) @ np.linalg.inv(self.affine[:3, :3]).T[
            :, ::-1
        ]

    def index_map_to(self, source: Grid) -> tuple[np.ndarray, np.ndarray]:
        """(matrix 3×3, offset 3) with `source index = matrix @ my index + offset`, both in (k, j, i) order."""
        inverse = np.linalg.inv(source.affine)
        combined = inverse @ self.affine
        return combined[:3, :3][np.ix_(REVERSE, REVERSE)], combined[:3, 3][list(REVERSE)]

    def same_as(self, other: Grid, tolerance: float = 1e-3) -> bool:
        """Whether all samples coincide within `tolerance` of a voxel."""
        if self.shape != other.shape:
            return False
        matrix, offset = self.index_map_to(other)
        corners = np.array(np.meshgrid(*[(0, n - 1) for n in self.shape], indexing="ij")).reshape(3, -1)
        return bool(np.abs(matrix @ corners + offset[:, None] - corners).max() <= tolerance)

    def samples_of(self, other: Grid, axes: Sequence[int] = (0, 1, 2)) -> dict[int, range] | None:
        """By axis of `axes`, the samples of `other` at which this grid's lie (to 0.001 voxel); None for others.

        >>> whole = Grid((4, 64, 64), np.eye(4))
        >>> whole.crop((0, 3, 5), (4, 9, 8)).samples_of(whole)
        {0: range(0, 4), 1: range(3, 9), 2: range(5, 8)}
        """
        matrix, offset = self.index_map_to(other)
        corners = np.array(np.meshgrid(*[(0, n - 1) for n in self.shape], indexing="ij")).reshape(3, -1)
        there, found = matrix @ corners + offset[:, None], {}
        for axis in axes:
            first = round(float(there[axis].min()))
            found[axis] = range(first, first + self.shape[axis])
            elsewhere = np.abs(there[axis] - corners[axis] - first).max() > 1e-3
            if elsewhere or first < 0 or found[axis].stop > other.shape[axis]:
                return None
        return found

    # ------------------------------------------------------------------ new grids

    def scaled(self, scale: PerAxis) -> Grid:
        """A finer (or coarser) grid over the same voxel-edge field of view.

        Args:
            scale: one factor per axis (k, j, i), or one number. One number means in plane for a 2-D acquisition
                (see `slice_axis`) and all three axes for an isotropic grid.

        The shape is round(n·scale), at least 1; the effective scale is new n / old n, so that the outer voxel
        edges coincide exactly.

        Raises:
            InputError: a scale that is not a positive finite number.
        """
        factors = self.scale_per_axis(scale)
        shape = tuple(max(1, int(np.floor(n * s + 0.5))) for n, s in zip(self.shape, factors, strict=True))
        return self.resized(shape)

    def resized(self, shape: Sequence[int]) -> Grid:
        """A grid of `shape` (k, j, i) over the same voxel-edge field of view."""
        ratio = np.array(self.shape, dtype=np.float64) / np.array(shape, dtype=np.float64)  # old voxels per new voxel
        return self.remapped(shape, ratio, (ratio - 1) / 2)

    def remapped(self, shape: Sequence[int], step: np.ndarray, offset: np.ndarray) -> Grid:
        """Grid whose index x (k, j, i) lies at this grid's index step·x + offset."""
        local = np.eye(4)
        local[:3, :3] = np.diag(np.asarray(step, dtype=np.float64)[::-1])
        local[:3, 3] = np.asarray(offset, dtype=np.float64)[::-1]
        return Grid(shape, self.affine @ local)

    def scale_per_axis(self, scale: PerAxis) -> tuple[float, float, float]:
        """`scale` as one positive finite factor per axis (k, j, i); see `scaled` for one number."""
        try:
            values = np.array(scale, dtype=np.float64)
        except (TypeError, ValueError):
            values = np.array(np.nan)
        if values.ndim == 0:
            values = np.full(3, values)
            if self.slice_axis is not None and np.isfinite(values).all():
                values[self.slice_axis] = 1.0
        if values.shape != (3,) or not np.isfinite(values).all() or (values <= 0).any():
            raise InputError(
                f"Scale is {scale!r}; expected one number above 0, or three in the order (k, j, i), "
                "for example 2 or (1, 2, 2)."
            )
        return per_axis(float(v) for v in values)

    def isotropic(self, spacing: float) -> Grid:
        """A grid with (nearly) cubic voxels of `spacing` mm over the same voxel-edge field of view.

        The field of view is kept exactly, so the spacing per axis is the nearest that divides it.

        Raises:
            InputError: a spacing that is not a positive finite number.
        """
        try:
            size = float(spacing)
        except (TypeError, ValueError):
            size = np.nan
        if not np.isfinite(size) or size <= 0:
            raise InputError(f"Spacing is {spacing!r} mm; expected a number above 0, for example 1.0.")
        return self.scaled(tuple(s / size for s in self.spacing))

    def crop(self, start: Sequence[int], stop: Sequence[int]) -> Grid:
        """The samples start…stop−1 per axis (k, j, i), at their places in the patient."""
        first, last = np.array(start, dtype=int), np.array(stop, dtype=int)
        if (first < 0).any() or (last > self.shape).any() or (last <= first).any():
            raise InputError(f"Crop {tuple(start)}…{tuple(stop)} lies outside shape {self.shape} or is empty.")
        return self.remapped(last - first, np.ones(3), first)

    @classmethod
    def view(
        cls,
        origin: Sequence[float],
        right: Sequence[float],
        down: Sequence[float],
        pixel_size: float | Sequence[float],
        shape: Sequence[int],
        thickness: float | None = None,
    ) -> Grid:
        """One plane of pixels in any orientation.

        Args:
            origin: RAS mm of the centre of the upper left pixel.
            right, down: directions of the rows' and the columns' growth in RAS (any length).
            pixel_size: mm, one number or (down, right).
            shape: (rows, columns).
            thickness: mm across the plane that one pixel stands for; default the smaller pixel size. Give the
                target's slice thickness to see exactly what a full result in its own slices shows.
        """
        size_down, size_right = np.broadcast_to(np.asarray(pixel_size, dtype=np.float64), (2,))
        unit = [np.asarray(v, dtype=np.float64) / max(float(np.linalg.norm(v)), 1e-300) for v in (right, down)]
        normal = np.cross(unit[0], unit[1])
        if len(shape) != 2 or np.linalg.norm(normal) < 1e-6:
            raise GeometryError(
                f"View directions {tuple(right)}, {tuple(down)} or shape {tuple(shape)} do not span a plane of pixels."
            )
        affine = np.eye(4)
        affine[:3, 0], affine[:3, 1] = unit[0] * size_right, unit[1] * size_down
        affine[:3, 2] = (
            normal / np.linalg.norm(normal) * (min(size_down, size_right) if thickness is None else thickness)
        )
        affine[:3, 3] = origin
        return cls((1, *shape), affine)


def spacing_along(grid: Grid, other: Grid) -> tuple[float, float, float]:
    """Spacing of `grid` in mm along the axes (k, j, i) of `other`."""
    directions = other.affine[:3, :3] / np.linalg.norm(other.affine[:3, :3], axis=0)
    steps = np.linalg.norm(np.linalg.solve(grid.affine[:3, :3], directions), axis=0)  # samples a mm
    return per_axis(float(1 / steps[column]) for column in REVERSE)
