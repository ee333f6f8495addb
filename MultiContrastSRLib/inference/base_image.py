"""The base image that a network corrects: guided or sinc, with data consistency, on the lattice of the result."""

from __future__ import annotations

from functools import lru_cache
from threading import Lock

import numpy as np
from torch import Tensor

from ..acquisition.axis import AxisModel
from ..acquisition.consistency import enforce_consistency
from ..acquisition.operators import matrix_like
from ..core.fallback import FallbackDevice
from ..core.progress import Monitor
from ..guided.volumes import GuidedVolume
from ..image import kernels
from ..image.sampling import Array, apply_separable
from ..image.volume import Volume
from .device_slices import DeviceSlices, as_slices


class BaseImage:
    """The base image of one refinement step. Slices that are independent of each other are computed on demand.

    Args:
        reference: of the guided image; None makes it the sinc.
        refine: the axes (k, j, i) to be super-resolved.
        samples: of the lattice, (k, j, i).
        resampled: the result of `resample_reference` on that lattice, if there is one.
        device: where guided regression learns, and where a whole volume is computed.

    Attributes:
        across: the axis along which slices are independent; None where the first slice requires the whole volume.
    """

    def __init__(
        self,
        volume: Volume,
        reference: Volume | None,
        refine: tuple[bool, ...],
        samples: tuple[int, ...],
        monitor: Monitor,
        resampled: tuple[np.ndarray, np.ndarray] | None = None,
        device: str = "cpu",
    ) -> None:
        self.samples, self._target = samples, volume.array
        self._device = FallbackDevice(device, "the base image")
        self._guided = self._device.run(
            lambda name: GuidedVolume(
                volume, reference, refine, monitor=monitor.silent, resampled=resampled, read=DeviceSlices(name)
            )
        )
        self._model = self._guided.model.refining(refine)
        own, result = (self._model.independent_axis(n) for n in (self._guided.samples, samples))
        self.across = own if own == result == self._guided.across else None
        self._whole: np.ndarray | None = None
        self._making_whole = Lock()
        self._latest: tuple[slice, np.ndarray] | None = None  # for live zoom: the base image is shown, then corrected

    @property
    def guided(self) -> bool:
        """Whether the reference adds anything."""
        return self._guided.helps

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences for the report about a device that ran out of memory or failed."""
        return self._device.warnings

    @property
    def nbytes(self) -> int:
        """Memory that it holds."""
        held = (self._guided.reference, self._whole)
        return sum(array.nbytes for array in held if array is not None)

    def stack(self, across: int, numbers: slice, monitor: Monitor) -> np.ndarray:
        """Slices `numbers` stacked along `across`: (slices, rows, columns)."""
        if across == self.across:
            latest = self._latest  # other threads may change it
            if latest is None or latest[0] != numbers:
                computed = self._compute(numbers, monitor, DeviceSlices("cpu"))
                self._latest = latest = numbers, np.moveaxis(computed, across, 0)
            return latest[1]
        return np.moveaxis(self.whole(monitor), across, 0)[numbers]

    def stack_on(self, slices: DeviceSlices, across: int, numbers: slice, monitor: Monitor) -> Tensor:
        """The same as a tensor on the device of `slices`, computed there where slices are independent."""
        if slices.device == "cpu":
            return as_slices(self.stack(across, numbers, monitor), 0)
        if across == self.across:
            return as_slices(self._compute(numbers, monitor, slices), across)
        part = tuple(numbers if axis == across else slice(None) for axis in range(3))
        return as_slices(slices(self.whole(monitor), part), across)

    def whole(self, monitor: Monitor) -> np.ndarray:
        """The whole volume; kept."""
        with self._making_whole:  # once, for all threads that need it
            if self._whole is None:
                self._whole = self._make_whole(monitor)
            return self._whole

    def _make_whole(self, monitor: Monitor) -> np.ndarray:
        if self.across is None:
            return self._device.run(lambda device: self._whole_on(device, monitor))
        pieces = [
            self._compute(slice(n, n + 1), monitor, DeviceSlices("cpu")) for n in range(self.samples[self.across])
        ]
        return np.concatenate(pieces, axis=self.across)

    def _whole_on(self, device: str, monitor: Monitor) -> np.ndarray:
        computed = self._compute(slice(None), monitor, DeviceSlices(device))
        return computed if isinstance(computed, np.ndarray) else computed.cpu().numpy()

    def _compute(self, numbers: slice, monitor: Monitor, read: DeviceSlices) -> np.ndarray | Tensor:
        """Slices `numbers` along `across`, or the whole volume: [k, j, i]."""
        image, model, samples = self._guided.part(numbers, monitor, read), self._model, list(self.samples)
        measured = read(self._target, self._guided.index(numbers if self.across is not None else slice(None)))
        if self.across is not None:
            start, stop, _ = numbers.indices(samples[self.across])
            model = model.of_slices(self.across, start, stop)
            samples[self.across] = stop - start
        array, _ = enforce_consistency(model, measured, image, monitor.silent)
        return _on_lattice(array, model.axes, samples, monitor)


def _on_lattice(array: Array, axes: tuple[AxisModel, ...], samples: list[int], monitor: Monitor) -> Array:
    """An image [k, j, i] on a lattice of `axes`, sampled on another of `samples` over the same field of view."""
    if tuple(array.shape) == tuple(samples):
        return array
    given = zip(axes, array.shape, samples, strict=True)
    return apply_separable(array, [matrix_like(array, _resampling, *each) for each in given], monitor=monitor.silent)


@lru_cache(maxsize=32)
def _resampling(axis: AxisModel, before: int, after: int) -> np.ndarray | None:
    """Matrix (after, before) from one lattice of `axis` to another, as images on lattices are rendered."""
    if before == after:
        return None
    (step, offset), (other_step, other_offset) = axis.lattice_positions(before), axis.lattice_positions(after)
    positions = (other_step * np.arange(after) + other_offset - offset) / step
    kernel = kernels.anti_aliased_sinc if axis.kind == "kspace" else kernels.anti_aliased_spline
    return kernel(before, positions, other_step / step).astype(np.float32)
