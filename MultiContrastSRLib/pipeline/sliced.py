"""An image whose slices are computed when somebody looks at them, and kept within a memory bound."""

from __future__ import annotations

import numpy as np

from ..acquisition.consistency import put_back
from ..acquisition.lattice import fill_value, lattice_domain, lattice_kernels
from ..acquisition.model import AcquisitionModel
from ..core.cache import Cache
from ..core.progress import Monitor
from ..image import kernels
from ..image.grid import Grid
from ..image.oblique import ObliqueReader, is_oblique_plane
from ..image.prepared import Prepared, SliceEncoder
from ..image.sampling import UNSEEN, parallel_axes, sample
from ..image.volume import Volume

_BEYOND = 8  # slices on either side of an oblique plane that the spline across slices still feels (0.003 %)
_REMEMBERED = 64  # grids


class SlicedImage(Prepared):
    """A continuous image made of slices that are independent of each other, data consistency included.

    Args:
        encoder: computes slices of the lattice.
        consistent: whether the measured data are put back; slice by slice gives what the whole volume gives.
        cache: where computed slices are kept.

    Attributes:
        sketched_by: name of the quicker method that `sketch` shows; empty where there is no sketch.
    """

    def __init__(self, encoder: SliceEncoder, consistent: bool, cache: Cache) -> None:
        self.target, self.lattice, self.notes = encoder.target, encoder.lattice, encoder.notes
        self.sketched_by = encoder.sketched_by
        self.axis = encoder.axis
        self.model = AcquisitionModel.estimate(self.target).refining([n != self.axis for n in range(3)])
        self._encoder, self._consistent, self._cache = encoder, consistent, cache
        self._readers: dict[bool, tuple[range, ObliqueReader]] = {}  # of the slices (False), of their sketches (True)
        self._looked_at: dict[Grid, range] = {}

    @property
    def warnings(self) -> tuple[str, ...]:
        """About the slices made so far, see `Prepared.warnings`."""
        return self._encoder.warnings

    @property
    def nbytes(self) -> int:
        """Memory that it holds beside the cache."""
        return self._encoder.nbytes + sum(reader.nbytes for _, reader in self._readers.values())

    @property
    def slice_nbytes(self) -> int:
        """Memory of one slice in the cache."""
        return 4 * self.lattice.size // self.lattice.shape[self.axis]

    def missing(self, grid: Grid, sketch: bool = False) -> int:
        """How many slices (or sketches of them) would have to be computed to render `grid`."""
        if self._is_oblique(grid) and self._reader(grid, sketch) is not None:
            return 0
        return sum(self._key(number, sketch) not in self._cache for number in self.looked_at(grid))

    def ready_for(self, grid: Grid) -> bool:
        """Whether `render` need not compute anything first but pixels."""
        if self._is_oblique(grid) and self.looked_at(grid):
            return self._reader(grid, False) is not None
        return self.missing(grid) == 0

    def can_sketch(self, grid: Grid) -> bool:
        """Whether `sketch` can begin at once."""
        return bool(self.sketched_by) and self.missing(grid, sketch=True) == 0

    def make_ready(self, grid: Grid, monitor: Monitor) -> None:
        """Compute what is missing, sketches first; done slices stay when it is cancelled."""
        if self.ready_for(grid):
            return
        seen = self.looked_at(grid)
        if self.missing(grid) and self.sketched_by:
            for number in seen:
                self._slice(number, True, monitor.silent)
                monitor.check()
        if self._is_oblique(grid):
            self._read_from(seen, False, monitor)
            self._readers.pop(True, None)
            return
        for number in seen:
            self._slice(number, False, monitor.silent)
            monitor.check()

    def looked_at(self, grid: Grid) -> range:
        """The lattice slices that `grid` is rendered from."""
        if grid not in self._looked_at:
            if len(self._looked_at) >= _REMEMBERED:
                self._looked_at.clear()
            self._looked_at[grid] = self._range(grid)
        return self._looked_at[grid]

    def _range(self, grid: Grid) -> range:
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

    def render(self, grid: Grid, monitor: Monitor | None = None) -> Volume:
        """See `Prepared.render`."""
        return Volume.on(grid, self._rendered(grid, False, monitor or Monitor(stage="render")), self.target.name)

    def sketch(self, grid: Grid, monitor: Monitor | None = None) -> Volume:
        """The image of the quicker method `sketched_by` on `grid`."""
        return Volume.on(grid, self._rendered(grid, True, monitor or Monitor()), self.target.name)

    def _rendered(self, grid: Grid, sketch: bool, monitor: Monitor) -> np.ndarray:
        seen, fill = self.looked_at(grid), fill_value(self.target)
        if len(seen) == 0:
            return np.full(grid.shape, fill, np.float32)
        domain = lattice_domain(self.model, self.lattice.shape)
        if not self._is_oblique(grid):
            array = np.zeros(self.lattice.shape, np.float32)  # pages that nobody writes to take no memory
            array[self._part(seen)] = self._slices(seen, sketch, monitor.part(0.0, 0.9))
            ways = lattice_kernels(self.model)
            return sample(array, self.lattice, grid, ways, fill=fill, domain=domain, monitor=monitor.part(0.9, 1.0))
        found = self._reader(grid, sketch) or self._read_from(seen, sketch, monitor.part(0.0, 0.9))
        domain[self.axis] = tuple(edge - found[0].start for edge in domain[self.axis])
        return found[1].read(grid, fill, domain, monitor.part(0.9, 1.0))

    def _is_oblique(self, grid: Grid) -> bool:
        return is_oblique_plane(grid, self.lattice)

    def _reader(self, grid: Grid, sketch: bool) -> tuple[range, ObliqueReader] | None:
        """What reads oblique planes, if it holds all the slices that `grid` is rendered from."""
        seen, found = self.looked_at(grid), self._readers.get(sketch)
        return found if found and found[0].start <= seen.start and seen.stop <= found[0].stop else None

    def _read_from(self, seen: range, sketch: bool, monitor: Monitor) -> tuple[range, ObliqueReader]:
        part = self._part(seen)
        lattice = self.lattice.crop(
            [p.start or 0 for p in part], [p.stop or n for p, n in zip(part, self.lattice.shape, strict=True)]
        )
        fine = [number != self.axis for number in range(3)]
        slices = self._slices(seen, sketch, monitor.part(0.0, 0.8))
        reader = ObliqueReader(slices, lattice, lattice_kernels(self.model), fine, monitor.part(0.8, 1.0))
        self._readers[sketch] = seen, reader
        return seen, reader

    def _part(self, numbers: range) -> tuple[slice, ...]:
        return tuple(slice(numbers.start, numbers.stop) if a == self.axis else slice(None) for a in range(3))

    def _key(self, number: int, sketch: bool) -> tuple:
        return id(self), number, sketch

    def _slices(self, numbers: range, sketch: bool, monitor: Monitor) -> np.ndarray:
        made = []
        for count, number in enumerate(numbers):
            part = monitor.part(count / len(numbers), (count + 1) / len(numbers))
            made.append(self._slice(number, sketch, part))
        return np.concatenate(made, axis=self.axis)

    def _slice(self, number: int, sketch: bool, monitor: Monitor) -> np.ndarray:
        key = self._key(number, sketch)
        found = self._cache.get(key)
        if found is None:
            found = self._make(number, sketch, monitor)
            self._cache.put(key, found)
        return found

    def _make(self, number: int, sketch: bool, monitor: Monitor) -> np.ndarray:
        if sketch:
            return self._encoder.sketch(number, number + 1, monitor)
        array = self._encoder.slices(number, number + 1, monitor)
        if not self._consistent:
            return array
        measured = self.target.array[self._part(range(number, number + 1))]
        return put_back(self.model.of_slices(self.axis, number, number + 1), measured, array, monitor.silent)[0]
