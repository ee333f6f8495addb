"""Renders slice views of one pair of scans with one method, for the engine's threads."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from .. import methods, pipeline
from ..acquisition.lattice import default_refinement, refinement_of
from ..core.cache import Cache
from ..core.errors import InputError, NotEnoughMemoryError
from ..core.progress import CancelCallback, Monitor
from ..image.grid import Grid, per_axis
from ..image.prepared import Prepared
from ..image.sampling import parallel_axes
from ..image.volume import Volume
from ..pipeline.checks import check_memory_for
from ..pipeline.prepared_run import Refinement
from ..pipeline.report import Report

_VIEWS_IN_CACHE = 4  # slices of a neighbouring view are computed ahead if the cache holds those of so many views


class ViewRenderer:
    """Views of a target, super-resolved with a reference.

    Args:
        target, reference: as in `pipeline.prepare`; nothing is computed before `prepare`.
        cache: for slices of methods that compute them on demand.
        settings: method, register, data_consistency, device and the method's options, as in `pipeline.prepare`.
    """

    def __init__(self, target: Volume, reference: Volume | None, cache: Cache, **settings: Any) -> None:
        self.target, self.reference = target, reference
        self.method = methods.get(settings.get("method", "guided"))
        self._cache, self._settings = cache, settings
        self._run: pipeline.PreparedRun | None = None
        self._too_large: set[Refinement] = set()
        self._linear: Prepared = methods.get("linear").prepare(target)

    # ------------------------------------------------------------------ axes that are super-resolved

    def refinement(self, grid: Grid) -> Refinement:
        """The axes (k, j, i) that a view is super-resolved along: those of `pipeline.super_resolve` on its grid.

        They are fewer for methods that take minutes along all axes, and where memory is too small; see `within_slices`.
        """
        wanted = refinement_of(self.target.grid, grid)
        return self._in_plane(grid) if self.method.group != "classical" or wanted in self._too_large else wanted

    def _in_plane(self, grid: Grid) -> Refinement:
        """The fewest axes that a view is super-resolved along: those within thick slices.

        For trained methods on isotropic volumes: those within the slices that lie in the view's plane.
        """
        plain = default_refinement(self.target.grid)
        if not all(plain) or self.method.group != "trained":
            return plain
        across = grid.index_map_to(self.target.grid)[0][:, int(np.argmin(grid.shape))] * self.target.spacing
        return per_axis(axis != int(np.argmax(np.abs(across))) for axis in range(3))

    def within_slices(self, grid: Grid, sketch: bool = False) -> bool:
        """Whether a rendering (or sketch) lacks detail across slices that `pipeline.super_resolve` would add."""
        made = self._in_plane(grid) if sketch else self.refinement(grid)
        wanted = refinement_of(self.target.grid, grid)
        return any(w and not m for w, m in zip(wanted, made, strict=True))

    # ------------------------------------------------------------------ preparation

    def ready(self, grid: Grid) -> bool:
        """Whether `render` has nothing to compute but pixels."""
        image = self._known(self.refinement(grid))
        return image is not None and image.ready_for(grid)

    def missing(self, grid: Grid) -> int:
        """How many slices have to be computed before pixels can be."""
        return self._state(grid).missing(grid)

    def need(self, grid: Grid) -> tuple[Refinement, range | None]:
        """A value that is equal for views that need the same preparation."""
        refine = self.refinement(grid)
        image = self._known(refine)
        return refine, None if image is None else image.slices_needed(grid)

    def effort(self, grid: Grid) -> tuple[int, int]:
        """The amount of work of `prepare`, for comparison: views within the slices before reformats."""
        refine, slices = self.need(grid)
        return sum(refine), 0 if slices is None else len(slices)

    def can_look_ahead(self, grid: Grid) -> bool:
        """Whether the slices of `grid` can be computed before it is shown without evicting those of other views."""
        image = self._known(self.refinement(grid))
        needed = 0 if image is None else len(image.slices_needed(grid)) * image.slice_nbytes
        return 0 < _VIEWS_IN_CACHE * needed <= self._cache.limit

    def is_parallel(self, grid: Grid) -> bool:
        """Whether the view's axes are the target's: the quicker case."""
        return parallel_axes(grid.index_map_to(self.target.grid)[0], grid.shape) is not None

    def prepare(self, grid: Grid, cancel: CancelCallback) -> None:
        """Everything that views in the orientation of `grid` have in common. May take long.

        Raises:
            CancelledError: `cancel()` returned True; images and slices that are done are kept.
            MultiContrastSRError: the scans cannot be used.
        """
        if self._run is None:
            self._run = pipeline.prepare(
                self.target,
                self.reference,
                grid=self._finer(self._in_plane(grid)),
                by_slices=self._cache,
                cancel=cancel,
                **self._settings,
            )
        refine, monitor = self.refinement(grid), Monitor(None, cancel, stage="prepare")
        if not self._run.has_image(refine):
            try:
                check_memory_for(self.method, self.target, self.reference, self._finer(refine))
            except NotEnoughMemoryError:
                self._too_large.add(refine)
            else:
                self._run.image(refine, monitor)
        self._state(grid).make_ready(grid, monitor)

    # ------------------------------------------------------------------ images

    def render(self, grid: Grid, cancel: CancelCallback | None = None, like: Grid | None = None) -> np.ndarray:
        """float32 of `grid.shape`; a crop of the grid gives the crop of the array.

        Args:
            like: the grid that was prepared for, where `grid` has its plane but larger pixels.
        """
        return self._state(like or grid).render(grid, Monitor(None, cancel, stage="render")).array

    def can_sketch(self, grid: Grid) -> bool:
        """Whether `sketch` has nothing to compute but pixels."""
        image = self._known(self._in_plane(grid))
        return image is not None and image.can_sketch(grid)

    def sketch(self, grid: Grid, cancel: CancelCallback | None = None) -> np.ndarray:
        """For display during `prepare`: a quicker method, or a reformat of the detail within slices."""
        return self._started.image(self._in_plane(grid)).sketch(grid, Monitor(None, cancel, stage="render")).array

    def sketched_by(self, grid: Grid) -> str:
        """Name of the method that `sketch` shows."""
        return self._started.image(self._in_plane(grid)).sketched_by or self.method.name

    def interpolate(self, grid: Grid) -> np.ndarray:
        """The target on `grid` by linear interpolation, as the viewer itself shows it."""
        return self._linear.render(grid).array

    # ------------------------------------------------------------------ provenance and memory

    @property
    def report(self) -> Report | None:
        """Provenance of what was prepared first; None before."""
        return None if self._run is None else self._run.report

    def report_of(self, grid: Grid) -> Report:
        """Provenance of a volume that is kept of a view, with the warnings up to now."""
        report = self._started.report_for(grid, refine=self.refinement(grid))
        if not self.within_slices(grid):
            return report
        note = "Live zoom shows detail within slices here; Apply on the same voxels adds the detail across them."
        return replace(report, notes=(*report.notes, note))

    @property
    def nbytes(self) -> int:
        """Bytes of the prepared images, beside the cache."""
        return 0 if self._run is None else sum(image.nbytes for image in self._run.images)

    def _finer(self, refine: Refinement) -> Grid:
        """A grid finer than the target along the axes to super-resolve."""
        return self.target.grid.scaled(tuple(2.0 if refined else 1.0 for refined in refine))

    def _known(self, refine: Refinement) -> Prepared | None:
        """The image super-resolved along these axes, if it was prepared."""
        return self._run.image(refine) if self._run is not None and self._run.has_image(refine) else None

    def _state(self, grid: Grid) -> Prepared:
        return self._started.image(self.refinement(grid))

    @property
    def _started(self) -> pipeline.PreparedRun:
        if self._run is None:
            raise InputError("No view is prepared yet; expected a call of `prepare` before views are rendered.")
        return self._run
