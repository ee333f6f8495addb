"""Blocks of the solver's tensors: what is processed at once, few enough voxels for the processor's cache."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from . import coupling

_VOXELS = 1 << 15

Part = tuple[slice, slice]


def parts_of(shape: Sequence[int], device: torch.device) -> list[Part]:
    """Ranges of slices and of rows that fill a lattice (k, j, i); all of it on a device other than the CPU.

    >>> parts_of((3, 200, 200), torch.device("cpu"))[:2]
    [(slice(0, 1, None), slice(0, 163, None)), (slice(0, 1, None), slice(163, 200, None))]
    """
    if device.type != "cpu":
        return [(slice(0, shape[0]), slice(0, shape[1]))]
    rows = min(shape[1], max(1, _VOXELS // shape[2]))
    depth = max(1, _VOXELS // (shape[1] * shape[2])) if rows == shape[1] else 1
    return [
        (slice(k, min(k + depth, shape[0])), slice(j, min(j + rows, shape[1])))
        for k in range(0, shape[0], depth)
        for j in range(0, shape[1], rows)
    ]


@dataclass(frozen=True)
class _Difference:
    """Views for a forward difference along one axis: `inner` = `upper` - `lower`, and 0 in `rest`."""

    upper: Tensor
    lower: Tensor
    inner: Tensor
    rest: Tensor
    dual: Tensor
    rate: float


class Block:
    """Forward differences of images, and the step of their dual variables, in a part of the lattice.

    Differences are multiplied by their axis' rate; they are 0 at the last sample of each axis, and so are dual
    variables.

    Args:
        part: see `parts_of`.
        axes: of the lattice along which there are differences, with their rates.
        image, extrapolated: (contrasts, k, j, i).
        dual: (contrasts, axes, k, j, i).
        field: (entries, k, j, i), see `coupling`.
        buffer: (contrasts, axes, …), at least of the part's size; is overwritten; zeros at first.
        shared: whether other blocks use the buffer.
    """

    def __init__(
        self,
        part: Part,
        axes: Sequence[tuple[int, float]],
        image: Tensor,
        extrapolated: Tensor,
        dual: Tensor,
        field: Tensor,
        buffer: Tensor,
        shared: bool,
    ) -> None:
        slices, rows = part
        self.field = field[:, slices, rows]
        self._shared = shared
        self._entries = self.field.unbind()
        self._buffer = buffer[:, :, : slices.stop - slices.start, : rows.stop - rows.start]
        self._moved = self._buffer.unbind()
        self._dual = dual[:, :, slices, rows]
        self._duals = self._dual.unbind()
        self._of_image = self._differences(part, axes, image)
        self._of_extrapolated = self._differences(part, axes, extrapolated)

    def gradient(self) -> Tensor:
        """The gradient of the images (contrasts, axes, k, j, i), in the buffer."""
        for each in self._of_image:
            torch.sub(each.upper, each.lower, out=each.inner)
            if each.rate != 1.0:
                each.inner.mul_(each.rate)
        self._clear()
        return self._buffer

    def step_dual(self, step: float, relaxation: float) -> None:
        """An over-relaxed step of the dual variables, whose proximal matrices are `field`."""
        for each in self._of_extrapolated:
            torch.add(each.dual, each.upper, alpha=step * each.rate, out=each.inner)
            each.inner.sub_(each.lower, alpha=step * each.rate)
        self._clear()
        self._dual.mul_(1.0 - relaxation)
        triangle = coupling.upper_triangle(len(self._duals))
        for factor, (first, second) in zip(self._entries, triangle, strict=True):
            self._duals[first].addcmul_(factor, self._moved[second], value=relaxation)
            if first != second:
                self._duals[second].addcmul_(factor, self._moved[first], value=relaxation)

    def _clear(self) -> None:
        """Zeros at the last sample of each axis, where another block may have written."""
        if self._shared:
            for each in self._of_image:
                each.rest.zero_()

    def _differences(self, part: Part, axes: Sequence[tuple[int, float]], images: Tensor) -> list[_Difference]:
        found = []
        for number, (axis, rate) in enumerate(axes):
            # the lower ends of the differences, and the upper ends, which reach into the next block
            lower, upper = list(part), list(part)
            if axis < 2:
                stop = min(part[axis].stop, images.shape[axis + 1] - 1)
                lower[axis] = slice(part[axis].start, stop)
                upper[axis] = slice(part[axis].start + 1, stop + 1)
            along, ends = axis + 1, [images[(slice(None), *lower)], images[(slice(None), *upper)]]
            if axis == 2:
                ends = [ends[0].narrow(along, 0, images.shape[along] - 1), ends[1][..., 1:]]
            inner, out, dual = ends[0].shape[along], self._buffer[:, number], self._dual[:, number]
            rest = out.narrow(along, inner, out.shape[along] - inner)
            found.append(
                _Difference(ends[1], ends[0], out.narrow(along, 0, inner), rest, dual.narrow(along, 0, inner), rate)
            )
        return found
