"""One pair made ready for a protocol: cropped truth, scored slices, regions.

In-plane protocols keep the slices contiguous: what is degraded and prepared is the slab of neighbouring slices around
the scored ones, as a scanner would have delivered it, never a stack of every third slice whose spacing would be a
fiction. Only the scored slices are rendered.

Volumes that are degraded across their slices are scored on planes that stand on the slices, where the loss shows.
(Within the slices, some would coincide with degraded ones and be perfect by construction.)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...acquisition.model import degrade
from ...core.errors import InputError
from ...image import kernels
from ...image.grid import Grid
from ...image.sampling import sample
from ...image.volume import Volume
from ...pipeline.checks import check_volume
from . import regions as masks
from .protocol import Protocol, axis_index
from .scales import Scale, scale_name

NEIGHBOURS = 8  # slices kept on either side of the scored ones, for methods that look at them
OCCUPIED = 0.02  # part of a slice that must be foreground for it to be scored


@dataclass(frozen=True)
class Case:
    """The truth as it is degraded and scored.

    Attributes:
        truth: the target, cropped as the protocol says.
        reference: as given, not cropped; None without one.
        protocol: with the degradation that is used.
        slice_axis: array axis across the slices.
        across: array axis across the scored planes: the slice axis, or another where detail across slices was lost.
        planes: scored slices, as indices of `truth`.
        first: index of truth's first slice in the volume that was given.
        foreground, brain: bool on the scored slices, (slices, rows, columns); `brain` is eroded by 6 px in plane.
        lesions: likewise, or None.
        alone: each scored slice is degraded and prepared by itself, without its neighbours.
    """

    truth: Volume
    reference: Volume | None
    protocol: Protocol
    slice_axis: int
    across: int
    planes: tuple[int, ...]
    first: int
    foreground: np.ndarray
    brain: np.ndarray
    lesions: np.ndarray | None
    alone: bool = False

    @property
    def degraded(self) -> tuple[bool, bool, bool]:
        """Which array axes lose resolution, (k, j, i)."""
        in_plane = self.protocol.degradation == "kspace"
        return tuple((axis != self.slice_axis) == in_plane for axis in range(3))

    def scale(self, factor: Scale) -> tuple[float, float, float]:
        """`factor` along the degraded axes, 1 along the others.

        Raises:
            InputError: two factors for a single axis.
        """
        lost = [axis for axis, flag in enumerate(self.degraded) if flag]
        if np.ndim(factor) and len(lost) != 2:
            raise InputError(
                f"Scale is {scale_name(factor)} but the protocol degrades one axis; expected one number above 1."
            )
        found = [1.0, 1.0, 1.0]
        for axis, value in zip(lost, np.broadcast_to(factor, len(lost)), strict=True):
            found[axis] = float(value)
        return tuple(found)

    def low(self, factor: Scale) -> Volume:
        """The truth, degraded."""
        return degrade(self.truth, self.protocol.degradation, self.scale(factor))

    def front(self, array: np.ndarray) -> np.ndarray:
        """The scored slices of an array on the truth's grid, (slices, rows, columns)."""
        return np.moveaxis(array, self.across, 0)[list(self.planes)]

    def runs(self) -> Iterator[Grid]:
        """The scored slices as grids, consecutive ones together, so that only they need be rendered."""
        planes = np.array(self.planes)
        for run in np.split(planes, np.flatnonzero(np.diff(planes) != 1) + 1):
            yield self.truth.grid.crop(*self._box(int(run[0]), int(run[-1]) + 1))

    def single(self) -> Iterator[Case]:
        """Each scored slice as a case of its own, whose truth is that slice."""
        for number, plane in enumerate(self.planes):
            start, stop = self._box(plane, plane + 1)
            box = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
            truth = Volume.on(
                self.truth.grid.crop(start, stop), self.truth.array[box], self.truth.name, self.truth.metadata
            )
            here = slice(number, number + 1)
            lesions = None if self.lesions is None else self.lesions[here]
            yield replace(
                self,
                truth=truth,
                planes=(0,),
                first=self.first + plane,
                foreground=self.foreground[here],
                brain=self.brain[here],
                lesions=lesions,
            )

    def _box(self, first: int, last: int) -> tuple[list[int], list[int]]:
        start, stop = [0, 0, 0], list(self.truth.shape)
        start[self.across], stop[self.across] = first, last
        return start, stop


def make_case(
    target: Volume,
    reference: Volume | None,
    protocol: Protocol,
    axis: int | str | None = None,
    mask: Volume | None = None,
    lesions: Volume | None = None,
    slices: Sequence[int] | None = None,
    alone: bool = False,
) -> Case:
    """See `run.evaluate` for the arguments; `slices` None means every `protocol.every`-th.

    Raises:
        InputError: a truth with NaN, slices that do not exist, nothing left to score, or slices that cannot be alone.
    """
    check_volume(target, "Truth")
    slice_axis = axis_index(target.grid, protocol.views[0] if axis is None and protocol.views else axis)
    in_plane = protocol.degradation == "kspace"
    if alone and not in_plane:
        raise InputError(
            f"Slices were to be evaluated alone, but degradation {protocol.degradation!r} works across them; "
            "expected degradation 'kspace'. Leave that option out."
        )
    across = slice_axis if in_plane else min({0, 1, 2} - {slice_axis})
    inside = (
        on_grid(mask, target.grid)
        if mask is not None
        else np.moveaxis(masks.foreground(np.moveaxis(target.array, across, 0)), 0, across)
    )
    planes = _choose(np.moveaxis(inside, across, 0), slices, protocol.every)
    start, stop = _crop(target.shape, across, planes, protocol)
    box = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
    truth = Volume.on(target.grid.crop(start, stop), target.array[box], target.name, target.metadata)
    planes = tuple(plane - start[across] for plane in planes)

    def front(array: np.ndarray) -> np.ndarray:
        return np.moveaxis(array, across, 0)[list(planes)]

    foreground = front(inside[box])
    return Case(
        truth,
        reference,
        protocol,
        slice_axis,
        across,
        planes,
        start[across],
        foreground,
        masks.eroded(foreground),
        front(on_grid(lesions, truth.grid)) if lesions is not None else None,
        alone,
    )


def on_grid(mask: Volume, grid: Grid) -> np.ndarray:
    """A mask volume as bool on `grid`, by nearest neighbour; nothing outside its field of view."""
    return sample(mask.array, mask.grid, grid, [kernels.nearest] * 3) > 0.5


def front_of(case: Case, volume: Volume) -> np.ndarray:
    """Any volume on the scored slices of `case`, linearly interpolated where its grid is another."""
    return case.front(sample(volume.array, volume.grid, case.truth.grid, [kernels.linear] * 3))


def _choose(inside: np.ndarray, slices: Sequence[int] | None, every: int) -> list[int]:
    count = len(inside)
    if slices is None:
        if int(every) != every or every < 1:
            raise InputError(f"Slices is {every!r}; expected a whole number from 1 (every n-th) or a list of indices.")
        indices = range(0, count, int(every))
    else:
        indices = sorted({int(index) for index in slices})
        if not indices or indices[0] < 0 or indices[-1] >= count:
            raise InputError(f"Slices are {list(slices)}; expected indices from 0 to {count - 1}.")
    planes = [index for index in indices if inside[index].mean() >= OCCUPIED]
    if not planes:
        raise InputError(
            f"None of the {len(indices)} slices to score has at least {100 * OCCUPIED:g} % foreground; "
            "choose other slices or give a mask of the foreground."
        )
    return planes


def _crop(shape: Sequence[int], across: int, planes: list[int], protocol: Protocol) -> tuple[list[int], list[int]]:
    """Start and stop per axis for in-plane protocols: multiples of pixels in plane, neighbours of the scored slices."""
    start, stop = [0, 0, 0], list(shape)
    if protocol.degradation != "kspace":
        return start, stop
    for axis, n in enumerate(shape):
        if axis != across and n >= protocol.multiple:
            kept = n // protocol.multiple * protocol.multiple
            start[axis] = (n - kept) // 2
            stop[axis] = start[axis] + kept
    start[across], stop[across] = max(planes[0] - NEIGHBOURS, 0), min(planes[-1] + NEIGHBOURS + 1, shape[across])
    return start, stop
