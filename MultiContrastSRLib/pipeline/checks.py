"""Input checks that belong to no single class: made before any work starts."""

from __future__ import annotations

import numpy as np

from ..acquisition.lattice import MAX_LATTICE_SCALE, refinement_of
from ..core.errors import InputError
from ..core.memory import check_memory
from ..image.grid import Grid, PerAxis, spacing_along
from ..image.volume import Volume
from ..methods.contract import Method

DEFAULT_SCALE = 2.0
_LATTICE_COPIES = 9.0  # arrays on the lattice that live at once while preparing; a test holds it above the real peak
_OUTPUT_COPIES = 2.0
_AXES = ("slices", "rows", "columns")


def check_volume(volume: Volume, role: str) -> None:
    """Refuse NaN and infinities.

    Raises:
        InputError: how many there are and what to do.
    """
    finite = np.isfinite(volume.array)
    if not finite.all():
        bad = int(finite.size - np.count_nonzero(finite))
        raise InputError(
            f"{role} {volume.name or 'volume'} holds {bad} NaN or infinite voxels of {finite.size}; "
            "expected finite values. Replace them first, for example by numpy.nan_to_num."
        )


def output_grid(target: Volume | Grid, scale: PerAxis | None = None, spacing: float | None = None) -> Grid:
    """The grid that `super_resolve` renders: `scale` (default 2) or isotropic `spacing` in mm.

    Raises:
        InputError: both are given, or the value is no positive number.
    """
    grid = target.grid if isinstance(target, Volume) else target
    if scale is not None and spacing is not None:
        raise InputError(f"Both scale ({scale!r}) and spacing ({spacing!r} mm) are given; expected one of them.")
    if spacing is not None:
        return grid.isotropic(spacing)
    return grid.scaled(DEFAULT_SCALE if scale is None else scale)


def check_scale(method: Method, target: Volume, scale: PerAxis | None, spacing: float | None) -> Grid:
    """The output grid, once it is known to make sense for `method` and `target`.

    Raises:
        InputError: a factor outside the method's range, or detail asked for along an axis of one sample.
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
        # rounding to whole samples may step over the limit by half a sample
        if factor > high + 0.5 / n or factor < low - 0.5 / n:
            raise InputError(
                f"Scale along the {_AXES[axis]} is {factor:.4g}; expected {low:.4g} to {high:.4g} "
                f"for method {method.name!r}."
            )
    return grid


def check_memory_for(method: Method, target: Volume, reference: Volume | None, grid: Grid) -> int:
    """Bytes that preparing and rendering will need at most.

    Raises:
        NotEnoughMemoryError: more than is free.
    """
    refined = refinement_of(target.grid, grid)
    spacing = (np.inf,) * 3 if reference is None else spacing_along(reference.grid, target.grid)
    finest = getattr(method, "oversampling", 2)
    lattice = [
        int(n * np.clip(mine / other, finest, MAX_LATTICE_SCALE)) if r and n > 1 else n
        for n, mine, other, r in zip(target.shape, target.spacing, spacing, refined, strict=True)
    ]
    remedy = "Choose a smaller scale or a coarser spacing, or crop the target."
    copies = _LATTICE_COPIES + _OUTPUT_COPIES * grid.size / float(np.prod(lattice, dtype=np.float64))
    check_memory("The output", grid.shape, _OUTPUT_COPIES, remedy)
    return check_memory("The working lattice", lattice, copies, remedy)
