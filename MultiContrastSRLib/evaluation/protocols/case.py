"""The images of one evaluation: cropped truth, reference, scored slices and regions.

In-plane protocols keep the slices contiguous: what is degraded and prepared is the block of neighbouring slices around
the scored ones, as a scanner would have acquired it, not a stack of every third slice. Only the scored slices are
rendered.

Volumes that are degraded across their slices are scored on planes perpendicular to the slices, where the loss is
visible. (Of the slices themselves, some coincide with acquired ones and would be perfect by construction.)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...acquisition.degrade import degrade
from ...core.errors import InputError
from ...image import kernels
from ...image.grid import Grid
from ...image.sampling import sample
from ...image.volume import Volume
from ...pipeline.checks import check_volume
from . import regions
from .protocol import Protocol, axis_index
from .scales import Scale, scale_name

NEIGHBOURS = 8  # slices kept on either side of the scored ones, for methods that look at them
MARKED = 0.5  # voxels of masks above this count
OCCUPIED = 0.02  # share of a slice that must be foreground for it to be scored


@dataclass(frozen=True)
class Case:
    """One target, as it is degraded and scored.

    Attributes:
        truth: the target, cropped as the protocol says.
        reference: as given, not cropped; None without one.
        protocol: with the degradation that is used.
        slice_axis: array axis across the slices.
        plane_axis: array axis across the scored planes: the slice axis, or another if detail across slices was lost.
        planes: scored planes, as indices of `truth`.
        first: index of truth's first plane in the volume that was given.
        foreground, brain: bool on the scored planes, (planes, rows, columns); `brain` is eroded by 6 px in plane.
        lesions: likewise, or None.
        alone: each scored slice is degraded and prepared by itself, without its neighbours.
    """

    truth: Volume
    reference: Volume | None
    protocol: Protocol
    slice_axis: int
    plane_axis: int
    planes: tuple[int, ...]
    first: int
    foreground: np.ndarray
    brain: np.ndarray
    lesions: np.ndarray | None
    alone: bool = False

    @property
    def warnings(self) -> tuple[str, ...]:
        """What cannot be scored."""
        if self.lesions is None or self.lesions.any():
            return ()
        return ("The lesion mask marks no voxel of the scored planes; there are no scores of lesions.",)

    @property
    def degraded_axes(self) -> tuple[bool, bool, bool]:
        """Which array axes lose resolution, (k, j, i)."""
        in_plane = self.protocol.degradation == "kspace"
        return tuple((axis != self.slice_axis) == in_plane for axis in range(3))

    def scale_per_axis(self, scale: Scale) -> tuple[float, float, float]:
        """`scale` along the degraded axes, 1 along the others, (k, j, i).

        Raises:
            InputError: two factors for a single axis.
        """
        degraded = [axis for axis, flag in enumerate(self.degraded_axes) if flag]
        if np.ndim(scale) and len(degraded) != 2:
            raise InputError(
                f"Scale is {scale_name(scale)} but the protocol degrades one axis; expected one number above 1."
            )
        factors = [1.0, 1.0, 1.0]
        for axis, value in zip(degraded, np.broadcast_to(scale, len(degraded)), strict=True):
            factors[axis] = float(value)
        return tuple(factors)

    def low_resolution(self, scale: Scale) -> Volume:
        """The truth, degraded by `scale`."""
        return degrade(self.truth, self.protocol.degradation, self.scale_per_axis(scale))

    def scored(self, array: np.ndarray) -> np.ndarray:
        """The scored planes of an array on the truth's grid, (planes, rows, columns)."""
        return np.moveaxis(array, self.plane_axis, 0)[list(self.planes)]

    def scored_grids(self) -> Iterator[Grid]:
        """The scored planes as grids, consecutive ones together, so that only they need be rendered."""
        planes = np.array(self.planes)
        for block in np.split(planes, np.flatnonzero(np.diff(planes) != 1) + 1):
            yield self.truth.grid.crop(*self._box(int(block[0]), int(block[-1]) + 1))

    def single_slices(self) -> Iterator[Case]:
        """Each scored slice as a case of its own, whose truth is that slice."""
        for number, plane in enumerate(self.planes):
            start, stop = self._box(plane, plane + 1)
            here = slice(number, number + 1)
            yield replace(
                self,
                truth=_cropped(self.truth, start, stop),
                planes=(0,),
                first=self.first + plane,
                foreground=self.foreground[here],
                brain=self.brain[here],
                lesions=None if self.lesions is None else self.lesions[here],
            )

    def plane_grid(self, number: int) -> Grid:
        """The grid of scored plane `number`."""
        return self.truth.grid.crop(*self._box(self.planes[number], self.planes[number] + 1))

    def _box(self, first: int, last: int) -> tuple[list[int], list[int]]:
        start, stop = [0, 0, 0], list(self.truth.shape)
        start[self.plane_axis], stop[self.plane_axis] = first, last
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
    """The case of one pair; see `run.evaluate` for the arguments. `slices` None means every `protocol.every`-th.

    Raises:
        InputError: a truth with NaN, slices that do not exist, nothing to score, slices that cannot be alone, or masks
            that lie elsewhere.
    """
    check_volume(target, "Truth")
    slice_axis = axis_index(target.grid, protocol.views[0] if axis is None and protocol.views else axis)
    in_plane = protocol.degradation == "kspace"
    if alone and not in_plane:
        raise InputError(
            f"Slices were to be evaluated alone, but degradation {protocol.degradation!r} works across them; "
            "expected degradation 'kspace'. Leave that option out."
        )
    plane_axis = slice_axis if in_plane else min({0, 1, 2} - {slice_axis})
    if mask is None:
        inside = np.moveaxis(regions.head_mask(np.moveaxis(target.array, plane_axis, 0)), 0, plane_axis)
        remedy = "choose other slices or give a mask of the foreground."
    else:
        inside = _marked(mask, target.grid, "Mask of the foreground")
        remedy = "choose other slices, give a mask that covers more of them, or leave the mask out."
    planes = _choose_planes(np.moveaxis(inside, plane_axis, 0), slices, protocol.every, remedy)
    start, stop = _crop(target.shape, plane_axis, planes, protocol)
    truth = _cropped(target, start, stop)
    planes = tuple(plane - start[plane_axis] for plane in planes)

    def scored(array: np.ndarray) -> np.ndarray:
        return np.moveaxis(array, plane_axis, 0)[list(planes)]

    foreground = scored(inside[_slices(start, stop)])
    in_lesions = None if lesions is None else _marked(lesions, target.grid, "Lesion mask", may_be_empty=True)
    return Case(
        truth,
        reference,
        protocol,
        slice_axis,
        plane_axis,
        planes,
        start[plane_axis],
        foreground,
        regions.eroded(foreground),
        scored(in_lesions[_slices(start, stop)]) if in_lesions is not None else None,
        alone,
    )


def on_grid(mask: Volume, grid: Grid) -> np.ndarray:
    """A mask volume as bool on `grid`, by nearest neighbour; False outside its field of view."""
    return sample(mask.array, mask.grid, grid, [kernels.nearest] * 3) > MARKED


def _marked(mask: Volume, grid: Grid, title: str, may_be_empty: bool = False) -> np.ndarray:
    """`on_grid`, of a mask that marks any voxel there; one of lesions may be empty, as a healthy subject's is.

    Raises:
        InputError: it marks none.
    """
    inside, voxels = on_grid(mask, grid), np.count_nonzero(mask.array > MARKED)
    if not inside.any() and (voxels or not may_be_empty):
        raise InputError(
            f"{title} marks {voxels} voxels, none of them in the target; expected some. Give a mask in the space of "
            "the target, or leave it out."
        )
    return inside


def on_scored_planes(case: Case, volume: Volume) -> np.ndarray:
    """Any volume on the scored planes of `case`, linearly interpolated if its grid is another."""
    return case.scored(sample(volume.array, volume.grid, case.truth.grid, [kernels.linear] * 3))


def _slices(start: Sequence[int], stop: Sequence[int]) -> tuple[slice, ...]:
    return tuple(slice(a, b) for a, b in zip(start, stop, strict=True))


def _cropped(volume: Volume, start: Sequence[int], stop: Sequence[int]) -> Volume:
    return Volume.on(volume.grid.crop(start, stop), volume.array[_slices(start, stop)], volume.name, volume.metadata)


def _choose_planes(inside: np.ndarray, slices: Sequence[int] | None, every: int, remedy: str) -> list[int]:
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
            f"None of the {len(indices)} slices to score has at least {100 * OCCUPIED:g} % foreground; {remedy}"
        )
    return planes


def _crop(shape: Sequence[int], plane_axis: int, planes: list[int], protocol: Protocol) -> tuple[list[int], list[int]]:
    """Start and stop per axis. In-plane protocols: a multiple of pixels in plane, the scored slices with neighbours."""
    start, stop = [0, 0, 0], list(shape)
    if protocol.degradation != "kspace":
        return start, stop
    for axis, n in enumerate(shape):
        if axis != plane_axis and n >= protocol.multiple:
            kept = n // protocol.multiple * protocol.multiple
            start[axis] = (n - kept) // 2
            stop[axis] = start[axis] + kept
    start[plane_axis] = max(planes[0] - NEIGHBOURS, 0)
    stop[plane_axis] = min(planes[-1] + NEIGHBOURS + 1, shape[plane_axis])
    return start, stop
