"""Guided super-resolution of a volume, whole or slice by slice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy

from ..acquisition.lattice import lattice_samples
from ..acquisition.model import AcquisitionModel, resolution_along
from ..core.progress import Monitor
from ..image.grid import per_axis
from ..image.resample import resample_reference
from ..image.volume import Volume
from .level import Level
from .regression import RADII, DetailModel, learn, transfer

Part = tuple[slice, slice, slice]
Read = Callable[[np.ndarray, Part], Any]  # a part of a volume, as an array of any type and device
_TRIAL_SLICES = (4, 12)  # fewest and most slices that the candidates are compared on
_CHUNK = 1 << 19  # lattice samples processed at once; cancel is checked after each chunk


class GuidedVolume:
    """Guided super-resolution of one pair of volumes: learned from the whole when made, computed for any slices later.

    Args:
        target: the low-resolution volume.
        reference: the other contrast, in place; None makes the result the sinc interpolation.
        refined: the axes (k, j, i) to super-resolve.
        strength: share of the reference's detail that is added, 0 to 1.
        monitor: progress and cancel.
        resampled: result of `resample_reference` on some lattice; used if that is the lattice of this image.
        read: reads what is learned from, and so decides where that is computed; None: numpy arrays.

    Attributes:
        model: the target's acquisition.
        samples: of the lattice, (k, j, i); the target's own where nothing is added.
        across: the axis along which slices are independent; None when all depend on each other.
        reference: on the lattice; None where nothing is added.
        note: one sentence about the reference, for the report.
    """

    def __init__(
        self,
        target: Volume,
        reference: Volume | None,
        refined: tuple[bool, ...],
        strength: float = 1.0,
        monitor: Monitor | None = None,
        resampled: tuple[np.ndarray, np.ndarray] | None = None,
        read: Read | None = None,
    ) -> None:
        monitor = monitor or Monitor()
        self.model = model = AcquisitionModel.estimate(target)
        self.samples: tuple[int, ...] = target.shape
        self.across = next((number for number, axis in enumerate(model.axes) if axis.kind == "slab"), None)
        self.reference: np.ndarray | None = None
        self._target = target.array
        if reference is None:
            self.note = "No reference was used; the result is the sinc's."
            return
        samples = per_axis(lattice_samples(model, reference.grid, refined))
        # an axis is learned on where there is something to gain: samples or frequencies that only the reference has
        sharper = [
            r < 0.98 * t for r, t in zip(resolution_along(reference, target.grid), model.resolution, strict=True)
        ]
        active = per_axis(
            n > axis.samples or (refine_axis and sharp and axis.weight() is not None)
            for n, refine_axis, sharp, axis in zip(samples, refined, sharper, model.axes, strict=True)
        )
        if not any(active):
            self.note = (
                "The reference is no finer than the target; its detail was not used and the result is the sinc's."
            )
            return
        if self.across is not None and active[self.across]:
            self.across = None
        if resampled is None or resampled[0].shape != samples:
            resampled = resample_reference(reference, model.lattice(samples), target.grid, monitor.part(0.0, 0.3))
        on_lattice, valid = resampled
        self._level = Level(model.axes, samples, active)
        monitor.update(0.3)
        self._detail = self._learn(on_lattice, monitor, read or np.ndarray.__getitem__)
        if not self._detail.helps:
            self.note = "The reference explains none of the target's detail; the result is the sinc's."
            return
        # within a small window of the border of the reference's field of view, its detail is an artefact of the border
        inside = scipy.ndimage.minimum_filter(valid, self._level.window(RADII[-1]), mode="nearest")
        self._share = None if strength == 1 and inside.all() else inside * np.float32(strength)
        self.samples, self.reference, self.note = samples, on_lattice, _describe(self._detail)

    @property
    def helps(self) -> bool:
        """Whether anything of the reference is added."""
        return self.reference is not None

    def part(self, numbers: slice, monitor: Monitor | None = None, read: Read | None = None) -> Any:
        """Lattice slices `numbers` along `across`, or the whole lattice where slices depend on each other.

        Args:
            read: reads the parts of volumes that it needs, and so decides where it is computed; None: numpy arrays.
        """
        read = read or np.ndarray.__getitem__
        part = self.index(numbers)
        measured = read(self._target, part)
        if self.reference is None:
            return measured
        reference = read(self.reference, part)
        share = None if self._share is None else read(self._share, part)
        level = self._level.part(measured.shape, reference.shape, monitor or Monitor())
        return level.zero_fill(measured) + transfer(level, self._detail, measured, reference, share)

    def whole(self, monitor: Monitor) -> np.ndarray:
        """The whole lattice."""
        if self.across is None:
            return self.part(slice(None), monitor)
        array = np.empty(self.samples, np.float32)
        count = self.samples[self.across]
        depth = max(1, _CHUNK * count // array.size)
        for start in range(0, count, depth):
            monitor.update(start / count)
            numbers = slice(start, start + depth)
            array[self.index(numbers)] = self.part(numbers, monitor)
        return array

    def index(self, numbers: slice) -> Part:
        """Index of slices `numbers` along `across`, of target and lattice alike."""
        return per_axis(numbers if axis == self.across else slice(None) for axis in range(3))

    def _learn(self, reference: np.ndarray, monitor: Monitor, read: Read) -> DetailModel[np.ndarray]:
        low, high = self._target, reference
        if self.across is not None:  # a few slices represent all
            chosen = [self.index(slice(n, n + 1)) for n in _representative(np.moveaxis(low, self.across, 0))]
            low, high = (np.concatenate([array[part] for part in chosen], axis=self.across) for array in (low, high))
        level, everything = self._level.part(low.shape, high.shape, monitor), self.index(slice(None))
        model = learn(level, read(low, everything), read(high, everything))
        return DetailModel(model.features.as_numbers(), model.weights)


def _representative(slices: np.ndarray) -> np.ndarray:
    """Numbers of a few slices (along the first axis), spread over those that have contrast."""
    contrast = slices.std(axis=(1, 2))
    (candidates,) = np.nonzero(contrast > 0.3 * contrast.max())
    if len(candidates) == 0:
        return np.array([0])
    count = int(np.clip(2 * _CHUNK * len(slices) / slices.size, *_TRIAL_SLICES))
    spread = np.linspace(0, len(candidates) - 1, min(count, len(candidates)))
    return candidates[np.unique(spread.round().astype(int))]


def _describe(detail: DetailModel[np.ndarray]) -> str:
    return (
        f"Share of the reference's detail that a trial one octave down supported: {100 * detail.weights.sum():.0f} %."
    )
