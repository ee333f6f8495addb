"""An image whose slices are computed when somebody looks at them, and kept within a memory bound."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .. import kernels
from ..acquisition import SIMULATED, AcquisitionModel
from ..consistency import make_consistent
from ..grid import Grid
from ..lattice import LatticeImage, fill_value, lattice_domain, lattice_kernels
from ..methods.base import Prepared, SliceEncoder
from ..oblique import ObliqueReader, is_oblique_plane
from ..progress import CancelCallback, Monitor, ProgressCallback
from ..sampling import UNSEEN, parallel_axes, sample
from ..volume import Volume
from .cache import Cache

_BEYOND = 6  # slices on either side of an oblique plane that the spline across slices still feels (0.04 %)


class SlicedImage(Prepared):
    """A continuous image made of slices that are independent of each other, data consistency included.

    Args:
        encoder: computes slices of the lattice.
        consistent: whether the measured data are put back; slice by slice gives what the whole volume gives.
        cache: where computed slices are kept.
    """

    def __init__(self, encoder: SliceEncoder, consistent: bool, cache: Cache) -> None:
        self.target, self.lattice, self.notes = encoder.target, encoder.lattice, encoder.notes
        self.model = AcquisitionModel.estimate(self.target)
        self.axis = slice_axis(self.model, self.lattice.shape)
        self._encoder, self._consistent, self._cache = encoder, consistent, cache
        self._reader: tuple[range, ObliqueReader] | None = None

    @property
    def nbytes(self) -> int:
        """Memory that it holds beside the cache."""
        return 0 if self._reader is None else self._reader[1].nbytes

    def missing(self, grid: Grid) -> int:
        """How many slices would have to be computed to render `grid`."""
        return sum((id(self), number) not in self._cache for number in self.looked_at(grid))

    def looked_at(self, grid: Grid) -> range:
        """The lattice slices that `grid` is rendered from."""
        n = self.lattice.shape[self.axis]
        matrix, offset = grid.index_map_to(self.lattice)
        order = parallel_axes(matrix, grid.shape)
        if order is not None:
            out = order[self.axis]
            positions = offset[self.axis] + matrix[self.axis, out] * np.arange(grid.shape[out])
            inside = positions[(positions >= -0.5) & (positions <= n - 0.5)]
            if len(inside) == 0:
                return range(0)
            weights = kernels.anti_aliased_spline(n, inside, abs(matrix[self.axis, out]))
            (seen,) = np.nonzero(np.abs(weights).max(axis=0) > UNSEEN)
            return range(seen[0], seen[-1] + 1)
        # the plane through the whole field of view: panning and zooming within it must not change what is read
        corners = np.array(np.meshgrid(*[(0, m - 1) for m in self.lattice.shape], indexing="ij")).reshape(3, -1)
        normal = np.linalg.inv(matrix)[int(np.argmin(grid.shape))]
        others = [a for a in range(3) if a != self.axis]
        if abs(normal[self.axis]) < 1e-6:
            return range(n)
        height = normal @ offset - normal[others] @ corners[others]
        reached = height / normal[self.axis]
        start, stop = np.floor(reached.min()) - _BEYOND, np.ceil(reached.max()) + _BEYOND + 1
        return range(int(np.clip(start, 0, n)), int(np.clip(stop, 0, n)))

    def render(
        self, grid: Grid, *, progress: ProgressCallback | None = None, cancel: CancelCallback | None = None
    ) -> Volume:
        """See `Prepared.render`."""
        monitor = Monitor(progress, cancel, stage="render")
        seen = self.looked_at(grid)
        fill = fill_value(self.target)
        if len(seen) == 0:
            return Volume.on(grid, np.full(grid.shape, fill, np.float32), self.target.name)
        ways = lattice_kernels(self.model)
        domain = lattice_domain(self.model, self.lattice.shape)
        if not is_oblique_plane(grid, self.lattice):
            array = np.zeros(self.lattice.shape, np.float32)  # pages that nobody writes to take no memory
            array[self._part(seen)] = self._slices(seen, monitor.part(0.0, 0.9))
            array = sample(array, self.lattice, grid, ways, fill=fill, domain=domain, monitor=monitor.part(0.9, 1.0))
            return Volume.on(grid, array, self.target.name)
        part = self._part(seen)
        if self._reader is None or self._reader[0] != seen:
            lattice = self.lattice.crop(
                [p.start or 0 for p in part], [p.stop or n for p, n in zip(part, self.lattice.shape, strict=True)]
            )
            fine = [number != self.axis for number in range(3)]
            slices = self._slices(seen, monitor.part(0.0, 0.8))
            self._reader = seen, ObliqueReader(slices, lattice, ways, fine, monitor.part(0.8, 0.9))
        domain[self.axis] = tuple(edge - seen.start for edge in domain[self.axis])
        return Volume.on(grid, self._reader[1].read(grid, fill, domain, monitor.part(0.9, 1.0)), self.target.name)

    def _part(self, numbers: range) -> tuple[slice, ...]:
        return tuple(slice(numbers.start, numbers.stop) if a == self.axis else slice(None) for a in range(3))

    def _slices(self, numbers: range, monitor: Monitor) -> np.ndarray:
        made = []
        for count, number in enumerate(numbers):
            key = (id(self), number)
            found = self._cache.get(key)
            if found is None:
                found = self._make(number, monitor.part(count / len(numbers), (count + 1) / len(numbers)))
                self._cache.put(key, found)
            made.append(found)
        return np.concatenate(made, axis=self.axis)

    def _make(self, number: int, monitor: Monitor) -> np.ndarray:
        array = self._encoder.slices(number, number + 1, **monitor.callbacks)
        if not self._consistent:
            return array
        axes = tuple(replace(axis, samples=1) if n == self.axis else axis for n, axis in enumerate(self.model.axes))
        part = self._part(range(number, number + 1))
        grid = self.target.grid.crop(
            [p.start or 0 for p in part], [p.stop or n for p, n in zip(part, self.target.shape, strict=True)]
        )
        target = Volume.on(grid, np.array(self.target.array[part]), self.target.name, {SIMULATED: axes})
        return make_consistent(LatticeImage(target, AcquisitionModel.estimate(target), array), monitor.silent)[0].array


def slice_axis(model: AcquisitionModel, samples: tuple[int, ...]) -> int | None:
    """The axis (k, j, i) along which slices of a lattice of `samples` are independent of each other, or None."""
    for number, (axis, n) in enumerate(zip(model.axes, samples, strict=True)):
        if axis.kind == "slab":
            return number if n == axis.samples and axis.weight() is None else None
    return None
