"""Renders views of one pair of scans with one method; what the engine's thread works with."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace
from typing import Any

import numpy as np

from .. import methods, pipeline
from ..acquisition.lattice import LatticeImage, default_refinement, refinement_of
from ..core.cache import Cache
from ..core.errors import NotEnoughMemoryError
from ..core.progress import CancelCallback, Monitor
from ..image.grid import Grid
from ..image.prepared import Prepared
from ..image.sampling import parallel_axes
from ..image.volume import Volume
from ..pipeline.checks import check_memory_for
from ..pipeline.sliced import SlicedImage

_AHEAD = 4  # slices of a neighbouring view are computed ahead where so many views of them fit into the cache
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
        """Which axes (k, j, i) a view is super-resolved along: those that `pipeline.super_resolve` would on its grid.

        Except across slices, thick or of an isotropic volume, by methods that need minutes for it, or where memory does
        not allow it; see `within_slices`.
        """
        wanted = refinement_of(self.target.grid, grid)
        return self._plain(grid) if self.method.group != "classical" or wanted in self._refused else wanted

    def _plain(self, grid: Grid) -> Refinement:
        """What a view is refined along at least: within thick slices; else, by methods that need minutes for all of a
        volume, within those that lie in the view's plane."""
        plain = default_refinement(self.target.grid)
        if not all(plain) or self.method.group != "trained":
            return plain
        across = grid.index_map_to(self.target.grid)[0][:, int(np.argmin(grid.shape))] * self.target.spacing
        return tuple(axis != int(np.argmax(np.abs(across))) for axis in range(3))

    def within_slices(self, grid: Grid, sketch: bool = False) -> bool:
        """Whether detail is missing from what is rendered (or sketched) that `pipeline.super_resolve` would add."""
        made = self._plain(grid) if sketch else self.refinement(grid)
        wanted = refinement_of(self.target.grid, grid)
        return any(w and not m for w, m in zip(wanted, made, strict=True))

    def ready(self, grid: Grid) -> bool:
        """Whether `render` can begin at once."""
        state = self._known(self.refinement(grid))
        return state.ready_for(grid) if isinstance(state, (LatticeImage, SlicedImage)) else state is not None

    def missing(self, grid: Grid) -> int:
        """How many slices would have to be computed before pixels can be."""
        state = self._state(grid)
        return state.missing(grid) if isinstance(state, SlicedImage) else 0

    def need(self, grid: Grid) -> Hashable:
        """Equal for views that need the same to be prepared."""
        refine = self.refinement(grid)
        state = self._known(refine)
        return refine, state.looked_at(grid) if isinstance(state, SlicedImage) else None

    def effort(self, grid: Grid) -> tuple[int, int]:
        """How much `prepare` has to do, for comparison: views within the slices before reformats."""
        refine, slices = self.need(grid)
        return sum(refine), 0 if slices is None else len(slices)

    def can_look_ahead(self, grid: Grid) -> bool:
        """Whether slices may be computed before somebody looks at `grid`, and without those of other views leaving."""
        state = self._known(self.refinement(grid))
        if not isinstance(state, SlicedImage):
            return False
        return _AHEAD * len(state.looked_at(grid)) * state.slice_nbytes <= self._cache.limit

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
                self.target,
                self.reference,
                grid=self._finer(self._plain(grid)),
                by_slices=self._cache,
                cancel=cancel,
                **self._settings,
            )
        refine = self.refinement(grid)
        if not self._run.has(refine):
            try:
                check_memory_for(self.method, self.target, self.reference, self._finer(refine))
            except NotEnoughMemoryError:
                self._refused.add(refine)
            else:
                self._run.state(refine, cancel=cancel)
        state = self._state(grid)
        if isinstance(state, (LatticeImage, SlicedImage)):
            state.make_ready(grid, Monitor(None, cancel, stage="prepare"))

    def render(self, grid: Grid, cancel: CancelCallback | None = None, like: Grid | None = None) -> np.ndarray:
        """float32 of `grid.shape`; a crop of the grid gives the crop of the array.

        Args:
            like: the grid that was prepared for, where `grid` has its plane but larger pixels.
        """
        return self._state(like or grid).render(grid, Monitor(None, cancel, stage="render")).array

    def can_sketch(self, grid: Grid) -> bool:
        """Whether `sketch` can begin at once."""
        state = self._known(self._plain(grid))
        if isinstance(state, SlicedImage):
            return state.can_sketch(grid)
        return isinstance(state, LatticeImage) and state.ready_for(grid)

    def sketch(self, grid: Grid, cancel: CancelCallback | None = None) -> np.ndarray:
        """What can be seen meanwhile: a quicker method, or a reformat from what was made within the slices."""
        state = self._run.state(self._plain(grid))
        monitor = Monitor(None, cancel, stage="render")
        return (state.sketch if isinstance(state, SlicedImage) else state.render)(grid, monitor).array

    def sketched_by(self, grid: Grid) -> str:
        """Name of the method that `sketch` shows."""
        state = self._run.state(self._plain(grid))
        return state.sketched_by if isinstance(state, SlicedImage) else self.method.name

    def interpolate(self, grid: Grid) -> np.ndarray:
        """The target on `grid` by linear interpolation, as the viewer itself shows it."""
        return self._linear.render(grid).array

    @property
    def report(self) -> Any:
        """Provenance (`pipeline.Report`) of what was prepared; None before."""
        return None if self._run is None else self._run.report

    def report_of(self, grid: Grid) -> Any:
        """`report` for a volume that is kept of a view."""
        if not self.within_slices(grid):
            return self.report
        note = "Live zoom shows detail within slices here; Apply on the same voxels adds what is found across them."
        return replace(self.report, notes=(*self.report.notes, note))

    @property
    def nbytes(self) -> int:
        """Memory that the prepared images hold, beside the cache."""
        return 0 if self._run is None else sum(getattr(s, "nbytes", 0) for s in self._run.prepared_states)

    def _finer(self, refine: Refinement) -> Grid:
        """A grid that asks for these axes to be super-resolved, by being finer along them."""
        return self.target.grid.scaled(tuple(2.0 if refined else 1.0 for refined in refine))

    def _known(self, refine: Refinement) -> Prepared | None:
        """What was prepared for these axes, if it was."""
        return self._run.state(refine) if self._run is not None and self._run.has(refine) else None

    def _state(self, grid: Grid) -> Prepared:
        return self._run.state(self.refinement(grid))
