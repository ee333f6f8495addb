"""A head phantom in several contrasts, defined at every point of space.

The image is a function of position in mm (RAS, origin at the centre of the head): nested and folded ellipsoids with
edges about 1 mm wide. Sampling the function gives the ground truth on any grid, and contrasts are exactly aligned.
Shapes and grey values are invented; they resemble a head with multiple-sclerosis lesions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..core.errors import UnknownNameError
from ..image.grid import Grid
from ..image.volume import Volume

CONTRASTS: dict[str, dict[str, float]] = {
    "T1": {"fat": 230, "bone": 25, "fluid": 40, "grey": 120, "white": 185, "deep": 145, "lesion": 115},
    "T2": {"fat": 170, "bone": 20, "fluid": 260, "grey": 145, "white": 100, "deep": 112, "lesion": 190},
    "FLAIR": {"fat": 160, "bone": 20, "fluid": 35, "grey": 150, "white": 118, "deep": 135, "lesion": 235},
}
_EDGE = 0.5  # mm: an edge goes from 12 % to 88 % within ± this


@dataclass(frozen=True)
class _Ellipsoid:
    """One tissue region; `folds` is the depth in mm of the sulci in its surface."""

    tissue: str
    center: tuple[float, float, float]
    axes: tuple[float, float, float]
    folds: float = 0.0

    def depth(self, position: np.ndarray) -> np.ndarray:
        """Depth below the surface in mm (negative outside), to first order; position (…, 3)."""
        offset = position - self.center
        scaled = offset / self.axes
        radius = np.sqrt((scaled**2).sum(axis=-1)) + 1e-6
        steepness = np.sqrt(((scaled / self.axes) ** 2).sum(axis=-1)) / radius + 1e-6
        depth = (1.0 - radius) / steepness
        return depth - self.folds * _sulci(position) if self.folds else depth

    def reach(self) -> float:
        """Distance from the centre in mm beyond which its contribution is negligible."""
        return max(self.axes) + 8 * _EDGE


def _sulci(position: np.ndarray) -> np.ndarray:
    """0 on the gyri, 1 in the narrow sulci between them, 5 to 20 mm apart; position (…, 3) in mm."""
    x, y, z = np.moveaxis(position, -1, 0)
    waves = np.sin(x / 4.2 + 1.5 * np.sin(y / 9.7) + 1.1 * np.sin(z / 10.3))
    waves += np.sin(y / 4.6 + 1.4 * np.sin(z / 11.1) + 1.2 * np.sin(x / 9.1))
    waves += np.sin(z / 4.4 + 1.3 * np.sin(x / 10.7) + 1.2 * np.sin(y / 11.9))
    return np.exp(-((waves / 0.6) ** 2))


def _both_sides(tissue: str, center: tuple[float, float, float], axes: tuple[float, float, float]) -> list[_Ellipsoid]:
    x, y, z = center
    return [_Ellipsoid(tissue, (side * x, y, z), axes) for side in (1, -1)]


def _lesions(count: int = 14) -> list[_Ellipsoid]:
    """Ellipsoids of 1.5 to 5 mm radius around the ventricles; the same in every call."""
    rng = np.random.default_rng(2026)
    spots = []
    for number in range(count):
        center = ((-1) ** number * rng.uniform(17, 32), rng.uniform(-42, 38), rng.uniform(10, 38))
        axes = rng.uniform(1.5, 5.0) * rng.uniform(0.7, 1.0, 3)
        spots.append(_Ellipsoid("lesion", center, tuple(axes)))
    return spots


LESIONS = _lesions()
_HEAD = [  # later ones cover earlier ones
    # folded shells: smooth ones of constant thickness leave gaps in the spectrum that no real head has
    _Ellipsoid("fat", (0, 0, 0), (74.5, 94.5, 90), folds=1.5),
    _Ellipsoid("bone", (0.8, 1.9, 0), (69, 88, 85), folds=2.5),
    _Ellipsoid("fluid", (0.4, 0.5, 0), (65, 84.5, 81), folds=2.0),
    _Ellipsoid("grey", (0, 0, 0), (63, 83, 79), folds=11.0),
    _Ellipsoid("white", (0, 0, 0), (59.5, 79.5, 75.5), folds=17.0),
    *_both_sides("deep", (25, 4, 0), (6, 17, 10)),
    *_both_sides("deep", (11, -11, 2), (7, 12, 9)),
    *_both_sides("fluid", (10, 6, 12), (5.5, 27, 8)),
    _Ellipsoid("fluid", (0, -8, 2), (1.8, 11, 9)),
    *LESIONS,
]


def head_phantom(
    contrast: str = "T2", grid: Grid | None = None, *, noise: float = 0.0, bias: float = 0.0, seed: int = 0
) -> Volume:
    """The head in one contrast on any grid.

    Args:
        contrast: "T1", "T2" or "FLAIR".
        grid: default axial slices of 3 mm, 0.75 mm in plane.
        noise: standard deviation, in the image's units (white matter is 100 to 185), of the noise in both channels of
            a magnitude image (Rician).
        bias: strength of a smooth multiplicative bias field, 0.2 for ± 20 %.
        seed: of the noise.

    Raises:
        UnknownNameError: no such contrast.

    >>> head_phantom("T1", Grid((3, 40, 32), np.diag([5.0, 5.0, 40.0, 1.0])))
    Volume('T1', shape=(3, 40, 32), spacing (k, j, i)=40 × 5 × 5 mm)
    """
    if contrast not in CONTRASTS:
        raise UnknownNameError(f"Unknown contrast {contrast!r}; expected one of {', '.join(CONTRASTS)}.")
    grid = default_grid() if grid is None else grid
    values = CONTRASTS[contrast]

    def image(position: np.ndarray) -> np.ndarray:
        return _paint(position, _HEAD, values) * (1 + bias * _bias_field(position))

    array = _on_grid(grid, image)
    if noise > 0:
        channels = np.random.default_rng(seed).normal(0.0, noise, (2, *grid.shape))
        array = np.hypot(array + channels[0], channels[1])
    return Volume.on(grid, array.astype(np.float32), contrast)


def lesion_mask(grid: Grid | None = None) -> Volume:
    """1 in the lesions of `head_phantom` on the same grid, else 0."""
    grid = default_grid() if grid is None else grid
    array = _on_grid(grid, lambda position: _paint(position, LESIONS, {"lesion": 1.0}))
    return Volume.on(grid, (array > 0.5).astype(np.float32), "lesions")


def default_grid(spacing: tuple[float, float, float] = (3.0, 0.75, 0.75)) -> Grid:
    """Axial slices over the brain at `spacing` mm (k, j, i); left-posterior-superior axes, as scanners store them."""
    extent = np.array((96.0, 204.0, 168.0))
    shape = np.maximum(1, np.round(extent / spacing)).astype(int)
    affine = np.diag([-spacing[2], -spacing[1], spacing[0], 1.0])
    middle = (shape[::-1] - 1) / 2
    affine[:3, 3] = -affine[:3, :3] @ middle + (0, 0, 12)
    return Grid(tuple(shape), affine)


def _on_grid(grid: Grid, image: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """`image` at every sample, one slice at a time."""
    rows, columns = np.meshgrid(*[np.arange(n) for n in grid.shape[1:]], indexing="ij")
    slices = [grid.positions(np.stack([np.full_like(rows, k), rows, columns], axis=-1)) for k in range(grid.shape[0])]
    return np.stack([image(positions) for positions in slices])


def _paint(position: np.ndarray, regions: list[_Ellipsoid], values: dict[str, float]) -> np.ndarray:
    """The regions in order, later ones over earlier ones, with soft edges; air is 0."""
    painted = np.zeros(position.shape[:-1])
    for region in regions:
        near = ((position - region.center) ** 2).sum(axis=-1) < region.reach() ** 2
        share = 0.5 + 0.5 * np.tanh(region.depth(position[near]) / _EDGE)
        painted[near] += share * (values[region.tissue] - painted[near])
    return painted


def _bias_field(position: np.ndarray) -> np.ndarray:
    x, y, z = np.moveaxis(position, -1, 0)
    return np.sin(x / 70 + 0.4) * np.cos(y / 90) * np.cos(z / 80 - 0.3)
