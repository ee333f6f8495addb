"""The grid that is rendered for a scale factor or a spacing."""

from __future__ import annotations

from ..core.errors import InputError
from ..image.grid import Grid, PerAxis
from ..image.region import Region
from ..image.volume import Volume
from ..methods.contract import Method

DEFAULT_SCALE = 2.0
_AXES = ("slices", "rows", "columns")


def output_grid(
    target: Volume | Grid, scale: PerAxis | None = None, spacing: float | None = None, region: Region | None = None
) -> Grid:
    """The grid that `super_resolve` renders: `scale` (default 2) or isotropic `spacing` in mm, cropped to `region`.

    Raises:
        InputError: both are given, the value is no positive number, or the region lies outside the target.

    >>> output_grid(Grid((10, 64, 64), np.diag([1.0, 1.0, 3.0, 1.0])), scale=2).shape
    (10, 128, 128)
    """
    grid = target.grid if isinstance(target, Volume) else target
    if scale is not None and spacing is not None:
        raise InputError(f"Both scale ({scale!r}) and spacing ({spacing!r} mm) are given; expected one of them.")
    factors = DEFAULT_SCALE if scale is None else scale
    whole = grid.scaled(factors) if spacing is None else grid.isotropic(spacing)
    return _within(whole, region)


def checked_output_grid(
    method: Method, target: Volume, scale: PerAxis | None, spacing: float | None, region: Region | None = None
) -> Grid:
    """`output_grid`, within the scale factors that `method` supports.

    Raises:
        InputError: a factor outside the method's range, or refinement along an axis of one sample.
    """
    grid = output_grid(target, scale, spacing)
    low, high = method.scale_range
    if spacing is not None:
        low = 1 / high  # isotropic voxels may be coarser than the target in plane
    for axis, (n, wanted) in enumerate(zip(target.shape, grid.shape, strict=True)):
        factor = wanted / n
        if n == 1 and wanted > 1:
            raise InputError(
                f"Target has 1 sample along its {_AXES[axis]}; super-resolution along them needs at least 2. "
                "Scale in plane only, for example scale=2."
            )
        # rounding to whole samples may exceed the limit by half a sample
        if factor > high + 0.5 / n or factor < low - 0.5 / n:
            raise InputError(
                f"Scale along the {_AXES[axis]} is {factor:.4g}; expected {low:.4g} to {high:.4g} "
                f"for method {method.name!r}."
            )
    return _within(grid, region)


def _within(grid: Grid, region: Region | None) -> Grid:
    if region is None:
        return grid
    if not isinstance(region, Region):
        raise InputError(
            f"Region is {region!r}; expected a Region. Make one: Region.of((R, A, S), edge), centre and edge in mm."
        )
    return grid.crop(*region.crop(grid))
