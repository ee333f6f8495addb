"""An image whose slices are computed on demand and kept in a cache of bounded size."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..acquisition.consistency import check_image
from ..acquisition.lattice import fill_value, lattice_domain, lattice_kernels, least_value
from ..acquisition.limit import Held, held_back_sentences
from ..acquisition.model import AcquisitionModel
from ..core.cache import Cache
from ..core.progress import Monitor
from ..image import kernels
from ..image.grid import Grid
from ..image.oblique import ObliqueReader, is_oblique_plane
from ..image.prepared import Prepared, SliceEncoder
from ..image.sampling import UNSEEN, parallel_axes, sample
from ..image.volume import Volume

_SPLINE_REACH = 8  # slices on either side of an oblique plane; beyond, the spline's weights are below 0.003 %
_KNOWN_RANGES = 64  # grids whose `slices_needed` is kept


class SlicedImage(Prepared):
    """A continuous image made of slices that are independent of each other, data consistency included.

    Args:
        encoder: computes slices of the lattice.
        consistent: whether data consistency is enforced; slice by slice it equals that of the whole volume.
        noise: standard deviation of the target's noise, see `acquisition.consistency`.
        cache: where computed slices are kept.
    """

    def __init__(self, encoder: SliceEncoder, consistent: bool, noise: float, cache: Cache) -> None:
        self.target, self.lattice, self.notes = encoder.target, encoder.lattice, encoder.notes
        self.sketched_by, self.reference_used = encoder.sketched_by, encoder.reference_used
        self.weights = encoder.weights
        self.axis = encoder.axis
        self.slice_nbytes = 4 * self.lattice.size // self.lattice.shape[self.axis]
        self.model = AcquisitionModel.estimate(self.target).refining([n != self.axis for n in range(3)])
        self._encoder, self._consistent, self._noise, self._cache = encoder, consistent, noise, cache
        self._least = least_value(self.target)
        self._held: dict[int, Held] = {}  # of the slices that were computed
        self._readers: dict[bool, tuple[range, ObliqueReader]] = {}  # of the slices (False), of their sketches (True)
        self._ranges: dict[Grid, range] = {}

    @property
    def warnings(self) -> tuple[str, ...]:
        """About the slices computed so far, see `Prepared.warnings`."""
        computed = tuple(self._held.values())
        return (
            *self._encoder.warnings,
            *held_back_sentences(Held.sum(computed), len(computed) * self.slice_nbytes // 4, True)[1],
        )

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays that it holds beside the target and the cache."""
        return self._encoder.nbytes + sum(reader.nbytes for _, reader in tuple(self._readers.values()))

    # ------------------------------------------------------------------ what a grid needs

    def slices_needed(self, grid: Grid) -> range:
        """See `Prepared.slices_needed`."""
        found = self._ranges.get(grid)  # two threads may be here at once
        if found is None:
            if len(self._ranges) >= _KNOWN_RANGES:
                self._ranges.clear()
            found = self._ranges[grid] = self._range(grid)
        return found

    def missing(self, grid: Grid, sketch: bool = False) -> int:
        """How many of the slices that `grid` needs (or sketches of them) are not computed."""
        if self._is_oblique(grid) and self._reader(grid, sketch) is not None:
            return 0
        return sum(self._key(number, sketch) not in self._cache for number in self.slices_needed(grid))

    def ready_for(self, grid: Grid) -> bool:
        """See `Prepared.ready_for`."""
        if self._is_oblique(grid) and self.slices_needed(grid):
            return self._reader(grid, False) is not None
        return self.missing(grid) == 0

    def can_sketch(self, grid: Grid) -> bool:
        """See `Prepared.can_sketch`."""
        return bool(self.sketched_by) and self.missing(grid, sketch=True) == 0

    def make_ready(self, grid: Grid, monitor: Monitor | None = None) -> None:
        """Compute the slices that are missing, their sketches first; see `Prepared.make_ready`."""
        if self.ready_for(grid):
            return
        monitor = monitor or Monitor(stage="prepare")
        numbers = self.slices_needed(grid)
        if self.missing(grid) and self.sketched_by:
            self._slices(numbers, True, monitor.silent)
        if self._is_oblique(grid):
            self._read_from(numbers, False, monitor)
            self._readers.pop(True, None)
            return
        self._slices(numbers, False, monitor.silent)

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
            (numbers,) = np.nonzero(np.abs(weights).max(axis=0) > UNSEEN)
            return range(numbers[0], numbers[-1] + 1)
        # the plane through the whole field of view: panning and zooming within it must not change the slices
        corners = np.array(np.meshgrid(*[(0, m - 1) for m in self.lattice.shape], indexing="ij")).reshape(3, -1)
        normal = np.linalg.inv(matrix)[int(np.argmin(grid.shape))]
        others = [a for a in range(3) if a != self.axis]
        if abs(normal[self.axis]) < 1e-6:
            return range(n)
        height = normal @ offset - normal[others] @ corners[others]
        crossed = height / normal[self.axis]
        start, stop = np.floor(crossed.min()) - _SPLINE_REACH, np.ceil(crossed.max()) + _SPLINE_REACH + 1
        return range(int(np.clip(start, 0, n)), int(np.clip(stop, 0, n)))

    # ------------------------------------------------------------------ rendering

    def render(self, grid: Grid, monitor: Monitor | None = None) -> Volume:
        """See `Prepared.render`."""
        return self._rendered(grid, False, monitor or Monitor(stage="render"))

    def sketch(self, grid: Grid, monitor: Monitor | None = None) -> Volume:
        """See `Prepared.sketch`."""
        return self._rendered(grid, True, monitor or Monitor(stage="render"))

    def _rendered(self, grid: Grid, sketch: bool, monitor: Monitor) -> Volume:
        numbers, fill = self.slices_needed(grid), fill_value(self.target)
        domain = lattice_domain(self.model, self.lattice.shape)
        if len(numbers) == 0:
            array = np.full(grid.shape, fill, np.float32)
        elif self._is_oblique(grid):
            found = self._reader(grid, sketch) or self._read_from(numbers, sketch, monitor.part(0.0, 0.9))
            (numbers, reader), (low, high) = found, domain[self.axis]
            domain[self.axis] = low - numbers.start, high - numbers.start
            array = reader.read(grid, fill, domain, monitor.part(0.9, 1.0))
        else:
            whole = np.zeros(self.lattice.shape, np.float32)  # pages that are not written take no memory
            whole[self._part(numbers)] = self._stack(numbers, sketch, monitor.part(0.0, 0.9))
            axis_kernels = lattice_kernels(self.model)
            part = monitor.part(0.9, 1.0)
            array = sample(whole, self.lattice, grid, axis_kernels, fill=fill, domain=domain, monitor=part)
        return Volume.on(grid, np.maximum(array, np.float32(self._least)), self.target.name)

    def _is_oblique(self, grid: Grid) -> bool:
        return is_oblique_plane(grid, self.lattice)

    def _reader(self, grid: Grid, sketch: bool) -> tuple[range, ObliqueReader] | None:
        """The reader of oblique planes, if it holds all the slices that `grid` is rendered from."""
        needed, found = self.slices_needed(grid), self._readers.get(sketch)
        return found if found and found[0].start <= needed.start and needed.stop <= found[0].stop else None

    def _read_from(self, numbers: range, sketch: bool, monitor: Monitor) -> tuple[range, ObliqueReader]:
        part = self._part(numbers)
        lattice = self.lattice.crop(
            [p.start or 0 for p in part], [p.stop or n for p, n in zip(part, self.lattice.shape, strict=True)]
        )
        fine = [number != self.axis for number in range(3)]
        slices = self._stack(numbers, sketch, monitor.part(0.0, 0.8))
        reader = ObliqueReader(slices, lattice, lattice_kernels(self.model), fine, monitor.part(0.8, 1.0))
        self._readers[sketch] = numbers, reader
        return numbers, reader

    # ------------------------------------------------------------------ slices

    def _part(self, numbers: range) -> tuple[slice, ...]:
        return tuple(slice(numbers.start, numbers.stop) if a == self.axis else slice(None) for a in range(3))

    def _key(self, number: int, sketch: bool) -> tuple[int, int, bool]:
        return id(self), number, sketch

    def _stack(self, numbers: range, sketch: bool, monitor: Monitor) -> np.ndarray:
        return np.concatenate(self._slices(numbers, sketch, monitor), axis=self.axis)

    def _slices(self, numbers: range, sketch: bool, monitor: Monitor) -> list[np.ndarray]:
        """Slices `numbers`; those that are not kept are computed."""
        kept = ((number, self._cache.get(self._key(number, sketch))) for number in numbers)
        found = {number: array for number, array in kept if array is not None}
        if len(found) < len(numbers):
            found |= self._compute([number for number in numbers if number not in found], sketch, monitor)
        return [found[number] for number in numbers]

    def _compute(self, numbers: list[int], sketch: bool, monitor: Monitor) -> dict[int, np.ndarray]:
        """Slices `numbers`, in batches."""
        made: dict[int, np.ndarray] = {}
        for run in _runs(numbers, 1 if sketch else self._encoder.batch):
            part = monitor.part(len(made) / len(numbers), (len(made) + len(run)) / len(numbers))
            for number, array in zip(run, (self._sketched if sketch else self._checked)(run, part), strict=True):
                made[number] = array
                self._cache.put(self._key(number, sketch), array)
            monitor.check()
        return made

    def _sketched(self, numbers: range, monitor: Monitor) -> list[np.ndarray]:
        return self._single(self._encoder.sketch(numbers.start, numbers.stop, monitor.silent))

    def _checked(self, numbers: range, monitor: Monitor) -> list[np.ndarray]:
        checked = check_image(
            self.model.of_slices(self.axis, numbers.start, numbers.stop),
            self.target.array[self._part(numbers)],
            self._encoder.slices(numbers.start, numbers.stop, monitor),
            consistent=self._consistent,
            noise=self._noise,
            least=self._least,
            monitor=monitor.silent,
        )
        self._held.update(zip(numbers, checked.pieces, strict=True))
        return self._single(checked.array)

    def _single(self, slices: np.ndarray) -> list[np.ndarray]:
        """Each of some slices, in memory of its own, so that it can be freed alone."""
        return [each.copy() for each in np.split(slices, slices.shape[self.axis], axis=self.axis)]


def _runs(numbers: list[int], most: int) -> Iterator[range]:
    """The rising `numbers` as runs without gaps, of at most `most` numbers each.

    >>> list(_runs([2, 3, 4, 6], 2))
    [range(2, 4), range(4, 5), range(6, 7)]
    """
    start = 0
    for end, number in enumerate(numbers, 1):
        if end == len(numbers) or numbers[end] != number + 1 or end - start == most:
            yield range(numbers[start], number + 1)
            start = end
