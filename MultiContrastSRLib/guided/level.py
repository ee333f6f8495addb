"""A pair of resolutions, between which guided super-resolution transfers detail."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from ..acquisition.axis import AxisModel, samples_of
from ..acquisition.operators import Operator, apply_operator, weigh
from ..acquisition.support import Support
from ..core.progress import Monitor
from ..image.grid import per_axis
from ..image.sampling import Array

BAND = 1.5  # detail: the finest 1 − 1/1.5 of the measured frequencies


@dataclass(frozen=True)
class Level:
    """One level of a resolution pyramid: `axes` acquire arrays of shape `measured` from images of shape `fine`.

    All methods take numpy volumes [k, j, i] or tensors (B, rows, columns), or stacks (n, …) of such arrays.

    Attributes:
        axes: acquisition along (k, j, i).
        fine: shape of the images.
        refined: the axes along which the images are finer, or hold more frequencies, than what is acquired.
        per_slice: whether every slice along the first axis is an image of its own, with its own statistics.
        monitor: checked for a cancel, and told no progress.
    """

    axes: tuple[AxisModel, AxisModel, AxisModel]
    fine: tuple[int, int, int]
    refined: tuple[bool, bool, bool]
    monitor: Monitor = field(default_factory=Monitor, compare=False)
    per_slice: bool = False

    @property
    def measured(self) -> tuple[int, int, int]:
        """Shape of the acquired array."""
        return per_axis(axis.samples for axis in self.axes)

    @property
    def statistics_axes(self) -> tuple[int, ...]:
        """The axes of an array over which its statistics are taken."""
        return (-2, -1) if self.per_slice else (-3, -2, -1)

    def acquire(self, image: Array) -> Array:
        """`image` (fine) as acquired, without frequencies outside the measured part of the spectrum."""
        return self.weigh(self._apply("forward", image))

    def weigh(self, acquired: Array) -> Array:
        """`acquired` without frequencies outside the measured part of the spectrum."""
        return _each(lambda array: weigh(self.axes, array, self.monitor.silent), acquired)

    def interpolate(self, acquired: Array) -> Array:
        """`acquired` at fine resolution, by sinc or spline."""
        return self._apply("interpolate", acquired)

    def interpolate_linear(self, acquired: Array) -> Array:
        """`acquired` at fine resolution, linearly: for smooth maps."""
        return self._apply("linear", acquired)

    def zero_fill(self, acquired: Array) -> Array:
        """`acquired` at fine resolution, zero-filled in plane."""
        return self._apply("zero_fill", acquired)

    def lost(self, image: Array) -> Array:
        """The part of `image` (fine) that its acquisition does not hold."""
        return image - self._apply("spread", self.acquire(image))

    def high_pass(self, acquired: Array) -> Array:
        """The finest band of `acquired`."""
        return acquired - self._band.interpolate(self._band.acquire(acquired))

    def coarser(self, factor: float) -> Level:
        """The next level: its fine images are what is acquired here, acquired `factor` coarser along refined axes."""
        axes = []
        for axis, refined in zip(self.axes, self.refined, strict=True):
            edge = axis.support.edge if axis.kind == "kspace" else 1.0
            samples = samples_of(axis.samples * edge, factor) if refined else axis.samples
            spacing = axis.spacing * axis.samples / samples
            axes.append(replace(axis, samples=samples, spacing=spacing, thickness=spacing, support=Support()))
        return replace(self, axes=per_axis(axes), fine=self.measured)

    def part(self, measured: tuple[int, ...], fine: tuple[int, ...], monitor: Monitor) -> Level:
        """The level of some of its slices: arrays of shape `measured` and images of shape `fine`."""
        axes = per_axis(replace(axis, samples=n) for axis, n in zip(self.axes, measured, strict=True))
        return replace(self, axes=axes, fine=per_axis(fine), monitor=monitor)

    def window(self, radius: int) -> tuple[int, int, int]:
        """Full window sizes (k, j, i) of `radius` pixels: within slices, and over neighbours when they are refined."""
        pixel = min((axis.spacing for axis in self.axes if axis.kind == "kspace"), default=self.axes[0].spacing)
        sizes = []
        for axis, refined in zip(self.axes, self.refined, strict=True):
            reach = radius if axis.kind == "kspace" else max(1, round(radius * pixel / axis.spacing)) * refined
            sizes.append(2 * min(reach, axis.samples - 1) + 1)
        return per_axis(sizes)

    @cached_property
    def _band(self) -> Level:
        return self.coarser(BAND)

    def _apply(self, operator: Operator, array: Array) -> Array:
        return _each(lambda each: apply_operator(self.axes, operator, each, self.fine, self.monitor.silent), array)


def _each(function: Callable[[Array], Array], array: Array) -> Array:
    """`function` of an array, or of each volume in a stack (n, k, j, i) of numpy's."""
    if isinstance(array, np.ndarray) and array.ndim > 3:
        return np.stack([function(volume) for volume in array])
    return function(array)
