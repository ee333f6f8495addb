"""Renders views of one pair of scans with one method; what the engine's thread works with."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import methods, pipeline
from ..checks import check_memory_for
from ..errors import NotEnoughMemoryError
from ..grid import Grid
from ..lattice import LatticeImage, default_refinement
from ..methods.base import Prepared
from ..progress import CancelCallback, Monitor
from ..sampling import parallel_axes
from ..volume import Volume
from .cache import Cache
from .sliced import SlicedImage
from .view import view_refinement

Refinement = tuple[bool, bool, bool]


class ViewRenderer:
    """Views of a target, super-resolved with the help of a reference.

    Args:
        target, reference: as in `pipeline.prepare`; nothing is computed before `prepare`.
        cache: for slices of methods that compute them one by one.
        settings: method, register, data_consistency, device and the method's options, as in `pipeline.prepare`.
    """

    def __init__(self, target: Volume, reference: Volume | None, cache: Cache, **settings: Any) -> None:
        self.target, self.reference = target, reference
        self.method = methods.get(settings.get("method", "guided"))
        self._cache, self._settings = cache, settings
        self._run: pipeline.PreparedRun | None = None
        self._refused: set[Refinement] = set()
        self._linear: Prepared = methods.get("linear").prepare(target)

    def refinement(self, grid: Grid) -> Refinement:
        """Which axes (k, j, i) a view is super-resolved along.

        Across thick slices only in reformats, only by methods that need no minutes for it, and where memory allows.
        """
        wanted = view_refinement(self.target.grid, grid)
        plain = default_refinement(self.target.grid)
        return plain if self.method.group != "classical" or wanted in self._refused else wanted

    def ready(self, grid: Grid) -> bool:
        """Whether `render` can begin at once."""
        if self._run is None or not self._run.has(self.refinement(grid)):
            return False
        state = self._state(grid)
        return not isinstance(state, LatticeImage) or state.ready_for(grid)

    def missing(self, grid: Grid) -> int:
        """How many slices would have to be computed before pixels can be."""
        state = self._state(grid)
        return state.missing(grid) if isinstance(state, SlicedImage) else 0

    def is_parallel(self, grid: Grid) -> bool:
        """Whether the view's axes are the target's: the quicker case."""
        return parallel_axes(grid.index_map_to(self.target.grid)[0], grid.shape) is not None

    def prepare(self, grid: Grid, cancel: CancelCallback) -> None:
        """Everything that views in the orientation of `grid` have in common. May take long.

        Raises:
            CancelledError: `cancel()` said so; what was done is kept where it can be.
            MultiContrastSRError: the scans cannot be worked with.
        """
        if self._run is None:
            self._run = pipeline.prepare(
                self.target, self.reference, by_slices=self._cache, cancel=cancel, **self._settings
            )
        refine = self.refinement(grid)
        if not self._run.has(refine):
            try:
                # the check looks at along which axes a grid is finer than the target
                check_memory_for(self.method, self.target, self.reference, self.target.grid.scaled(
                    tuple(2.0 if r else 1.0 for r in refine)
                ))  # fmt: skip
            except NotEnoughMemoryError:
                self._refused.add(refine)
            else:
                self._run.state(refine, cancel=cancel)
        state = self._state(grid)
        if isinstance(state, LatticeImage):
            state.make_ready(grid, Monitor(None, cancel, stage="prepare"))

    def render(self, grid: Grid, cancel: CancelCallback | None = None) -> np.ndarray:
        """float32 of `grid.shape`; a crop of the grid gives the crop of the array."""
        return self._state(grid).render(grid, cancel=cancel).array

    def can_sketch(self, grid: Grid) -> bool:
        """Whether `sketch` can begin at once."""
        plain = default_refinement(self.target.grid)
        if self._run is None or not self._run.has(plain):
            return False
        state = self._run.state(plain)
        return isinstance(state, LatticeImage) and state.ready_for(grid)

    def sketch(self, grid: Grid, cancel: CancelCallback | None = None) -> np.ndarray:
        """A reformat from what was made within the slices, while detail across them is still in the making."""
        return self._run.state(default_refinement(self.target.grid)).render(grid, cancel=cancel).array

    def interpolate(self, grid: Grid) -> np.ndarray:
        """The target on `grid` by linear interpolation, as the viewer itself shows it."""
        return self._linear.render(grid).array

    @property
    def report(self) -> Any:
        """Provenance (`pipeline.Report`) of what was prepared; None before."""
        return None if self._run is None else self._run.report

    @property
    def nbytes(self) -> int:
        """Memory that the prepared images hold, beside the cache."""
        return 0 if self._run is None else sum(getattr(s, "nbytes", 0) for s in self._run.prepared_states)

    def _state(self, grid: Grid) -> Prepared:
        return self._run.state(self.refinement(grid))
