"""The base image that a network corrects: guided or sinc, with data consistency, on the lattice of the result."""

from __future__ import annotations

import numpy as np

from ..acquisition.consistency import enforce_consistency
from ..acquisition.lattice import fill_value, lattice_domain, lattice_kernels
from ..core.progress import Monitor
from ..guided.volumes import GuidedVolume
from ..image.sampling import sample
from ..image.volume import Volume


class BaseImage:
    """The base image of one refinement step. Slices that are independent of each other are computed on demand.

    Args:
        reference: of the guided image; None makes it the sinc.
        refine: the axes (k, j, i) to be super-resolved.
        samples: of the lattice, (k, j, i).
        resampled: the result of `resample_reference` on that lattice, if there is one.

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
    ) -> None:
        self.samples, self._target, self._fill = samples, volume.array, fill_value(volume)
        self._guided = GuidedVolume(volume, reference, refine, monitor=monitor.silent, resampled=resampled)
        self._model = self._guided.model.refining(refine)
        own, result = (self._model.independent_axis(n) for n in (self._guided.samples, samples))
        self.across = own if own == result == self._guided.across else None
        self._whole: np.ndarray | None = None
        self._latest: tuple[slice, np.ndarray] | None = None  # for live zoom: the base image is shown, then corrected

    @property
    def guided(self) -> bool:
        """Whether the reference adds anything."""
        return self._guided.helps

    @property
    def nbytes(self) -> int:
        """Memory that it holds."""
        held = (self._guided.reference, self._whole)
        return sum(array.nbytes for array in held if array is not None)

    def stack(self, across: int, numbers: slice, monitor: Monitor) -> np.ndarray:
        """Slices `numbers` stacked along `across`: (slices, rows, columns)."""
        if across == self.across:
            if self._latest is None or self._latest[0] != numbers:
                self._latest = numbers, np.moveaxis(self._compute(numbers, monitor), across, 0)
            return self._latest[1]
        return np.moveaxis(self.whole(monitor), across, 0)[numbers]

    def whole(self, monitor: Monitor) -> np.ndarray:
        """The whole volume; kept."""
        if self._whole is None:
            if self.across is None:
                self._whole = self._compute(slice(None), monitor)
            else:
                count = self.samples[self.across]
                pieces = [self._compute(slice(n, n + 1), monitor) for n in range(count)]
                self._whole = np.concatenate(pieces, axis=self.across)
        return self._whole

    def _compute(self, numbers: slice, monitor: Monitor) -> np.ndarray:
        image, measured, model = self._guided.part(numbers, monitor), self._target, self._model
        samples = list(self.samples)
        if self.across is not None:
            start, stop, _ = numbers.indices(samples[self.across])
            model = model.of_slices(self.across, start, stop)
            measured = measured[tuple(numbers if n == self.across else slice(None) for n in range(3))]
            samples[self.across] = stop - start
        array, _ = enforce_consistency(model, measured, image, monitor.silent)
        if array.shape == tuple(samples):
            return array
        ways, domain = lattice_kernels(model), lattice_domain(model, array.shape)
        lattices = model.lattice(array.shape), model.lattice(samples)
        return sample(array, *lattices, ways, fill=self._fill, domain=domain, monitor=monitor.silent)
