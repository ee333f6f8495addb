"""Checks of voxels and memory, made before any work starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..acquisition.lattice import MAX_LATTICE_SCALE, refinement_of
from ..core.devices import free_memory
from ..core.errors import InputError
from ..core.memory import check_memory
from ..image.grid import Grid, per_axis, spacing_along
from ..image.volume import Volume
from ..methods.contract import Method

_OUTPUT_COPIES = 2.0  # float32 arrays of the output's shape that exist at once


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
            "expected finite values. Have them replaced (super-resolve --replace-nan, or the box in the panel), or do "
            "so first, for example by numpy.nan_to_num."
        )


def check_memory_for(method: Method, target: Volume, reference: Volume | None, grid: Grid) -> int:
    """Bytes that preparing and rendering will need at most.

    Raises:
        NotEnoughMemoryError: more than is free.
    """
    lattice = working_lattice(method, target.grid, None if reference is None else reference.grid, grid)
    remedy = "Choose a smaller scale or a coarser spacing, or crop the target."
    copies = method.lattice_copies + _OUTPUT_COPIES * grid.size / float(np.prod(lattice, dtype=np.float64))
    check_memory("The output", grid.shape, _OUTPUT_COPIES, remedy)
    return check_memory("The working lattice", lattice, copies, remedy)


@dataclass(frozen=True)
class DeviceMemory:
    """Memory of a device: what a run needs there, and what is free.

    Attributes:
        device: "cpu", "cuda:0", ….
        needed: bytes at least; 0 where any number will do, as on the CPU.
        free: bytes; None where the device does not say.

    >>> DeviceMemory("cuda:0", 6_000_000_000, 4_000_000_000).warnings[0].partition(". ")[0]
    'The run needs about 6.0 GB on cuda:0, of which 4.0 GB are free'
    """

    device: str
    needed: int
    free: int | None

    @property
    def warnings(self) -> tuple[str, ...]:
        """A sentence if more is needed than is free; else none."""
        if self.free is None or self.needed <= self.free:
            return ()
        return (
            f"The run needs about {self.needed / 1e9:.1f} GB on {self.device}, of which {self.free / 1e9:.1f} GB are "
            "free. If they do not suffice it goes on on the CPU, which takes longer: choose a smaller scale or a "
            "coarser spacing, crop the target, or close other programs that use it.",
        )


def device_memory_for(
    method: Method,
    target: Volume,
    reference: Volume | None,
    grid: Grid,
    device: str,
    options: Mapping[str, bool | int | float | str],
) -> DeviceMemory:
    """The memory of `device` that preparing for `grid` needs, and what is free there.

    Args:
        device: of `core.devices.resolve_device`.
        options: all options of the method, see `Method.check_options`.
    """
    if device == "cpu":
        return DeviceMemory(device, 0, None)
    needed = method.device_memory(target, reference, refinement_of(target.grid, grid), options)
    return DeviceMemory(device, needed, free_memory(device))


def working_lattice(method: Method, target: Grid, reference: Grid | None, grid: Grid) -> tuple[int, int, int]:
    """Samples (k, j, i) of the lattice that `method` computes to render `grid`, as far as they are known beforehand."""
    refined = refinement_of(target, grid)
    spacing = (np.inf,) * 3 if reference is None else spacing_along(reference, target)
    return per_axis(
        int(n * np.clip(mine / other, method.oversampling, MAX_LATTICE_SCALE)) if r and n > 1 else n
        for n, mine, other, r in zip(target.shape, target.spacing, spacing, refined, strict=True)
    )
