"""The image that a network corrects: guided or sinc, with data consistency, on the network's lattice."""

from __future__ import annotations

import numpy as np

from ..acquisition.consistency import enforce_consistency
from ..acquisition.lattice import fill_value, lattice_domain, lattice_kernels
from ..core.progress import Monitor
from ..guided.volumes import GuidedVolume
from ..image.sampling import sample
from ..image.volume import Volume


class Base:
    """The base of one pass. Slices that are independent of each other are made when they are wanted.

    Args:
        reference: of the guided image; None makes it the sinc.
        refine: the axes (k, j, i) to be super-resolved.
        samples: of the network's lattice, (k, j, i).
        resampled: what `resample_reference` gave on that lattice, where it did already.

    Attributes:
        across: the axis along which slices are independent; None where the whole is made for the first of them.
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
        own, wanted = (self._model.independent_axis(n) for n in (self._guided.samples, samples))
        self.across = own if own == wanted == self._guided.across else None
        self._whole: np.ndarray | None = None
        self._latest: tuple[slice, np.ndarray] | None = None  # a slice is sketched, then corrected

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
                self._latest = numbers, np.moveaxis(self._made(numbers, monitor), across, 0)
            return self._latest[1]
        return np.moveaxis(self.whole(monitor), across, 0)[numbers]

    def whole(self, monitor: Monitor) -> np.ndarray:
        """All of it; kept."""
        if self._whole is None:
            if self.across is None:
                self._whole = self._made(slice(None), monitor)
            else:
                count = self.samples[self.across]
                pieces = [self._made(slice(n, n + 1), monitor) for n in range(count)]
                self._whole = np.concatenate(pieces, axis=self.across)
        return self._whole

    def _made(self, numbers: slice, monitor: Monitor) -> np.ndarray:
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
