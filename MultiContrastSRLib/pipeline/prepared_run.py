"""A method prepared for one pair of scans: images for the axes that were requested so far, and their provenance."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from ..acquisition.consistency import hold_within_limits, make_consistent
from ..acquisition.lattice import refinement_of, sampled_along
from ..acquisition.model import AcquisitionModel
from ..acquisition.noise import significant_noise
from ..core.errors import InputError
from ..core.progress import CancelCallback, Monitor, ProgressCallback
from ..image.grid import Grid, per_axis
from ..image.offset import near_zero, restored
from ..image.prepared import Prepared
from ..image.volume import Volume
from ..methods.contract import Method
from .report import Report

if TYPE_CHECKING:
    from ..core.cache import Cache

Refinement = tuple[bool, bool, bool]


@dataclass(frozen=True)
class _Preparation:
    """An image and its part of the report."""

    image: Prepared
    consistency: Mapping[str, object]
    times: Mapping[str, float] = field(default_factory=dict)


class PreparedRun:
    """A method prepared for a pair of scans, data consistency included; `render` it on any grid.

    One image is kept for each choice of axes that are super-resolved. A grid that is finer than the target along an
    axis that was not prepared (across thick slices, say) is prepared for when it is first rendered.

    Args:
        method: the method.
        target, reference: the scans, the reference aligned; None where none is used.
        consistent: whether data consistency is enforced.
        inputs: the part of the report that is known before the method's own work.
        by_slices: a cache for methods that compute slices on demand (`Method.prepare_slices`); None computes all
            slices at once.
        part: a grid to which the work is limited where the method can (`Method.prepare_part`): what other grids need is
            prepared when they are rendered.
    """

    def __init__(
        self,
        method: Method,
        target: Volume,
        reference: Volume | None,
        consistent: bool,
        inputs: Report,
        by_slices: Cache | None = None,
        part: Grid | None = None,
    ) -> None:
        self.method, self.target, self.reference = method, target, reference
        (self._near_target,) = near_zero(target)  # what methods and data consistency get
        self._near_reference = None if reference is None else near_zero(reference)[0]
        self._consistent, self._inputs, self._by_slices, self._part = consistent, inputs, by_slices, part
        self._preparations: dict[Refinement, _Preparation] = {}
        self._of_part: _Preparation | None = None

    # ------------------------------------------------------------------ images

    def render(
        self, grid: Grid, *, progress: ProgressCallback | None = None, cancel: CancelCallback | None = None
    ) -> Volume:
        """The image on `grid`, in the target's units; samples outside the target's field of view get its fill value.

        Raises:
            CancelledError: `cancel()` returned True.
        """
        monitor = Monitor(progress, cancel, stage="render")
        prepared = self._part_with(grid) is not None or self.has_image(self._refinement(grid))
        image = self.image_for(grid, monitor.part(0.0, 0.8))
        return image.render(grid, monitor if prepared else monitor.part(0.8, 1.0))

    def image_for(self, grid: Grid | None, monitor: Monitor | None = None) -> Prepared:
        """The image that `render` samples on `grid`; None stands for the axes that are refined by default."""
        if grid is not None and grid == self._part and self._of_part is None:
            self._of_part = self._prepare_part(grid, monitor or Monitor())
        made = self._part_with(grid)
        return self.image(self._refinement(grid), monitor) if made is None else made.image

    def image(self, refine: Refinement, monitor: Monitor | None = None) -> Prepared:
        """The image super-resolved along the axes (k, j, i) of `refine`, whatever grid it will be rendered on."""
        if refine not in self._preparations:
            monitor = monitor or Monitor()
            self._preparations[refine] = self._prepare_slices(refine, monitor) or self._prepare(refine, monitor)
        return self._preparations[refine].image

    def has_image(self, refine: Refinement) -> bool:
        """Whether `image` returns at once."""
        return refine in self._preparations

    @property
    def images(self) -> tuple[Prepared, ...]:
        """The images that were prepared so far, one for each choice of axes."""
        return tuple(each.image for each in self._all)

    # ------------------------------------------------------------------ what was prepared first

    @property
    def lattice(self) -> Grid:
        """The canonical lattice of the image that was prepared first."""
        return self._first.image.lattice

    @property
    def companion(self) -> Prepared | None:
        """The reference's contrast, super-resolved with the image that was prepared first; None for most methods."""
        return self._first.image.companion

    @property
    def fit(self) -> object | None:
        """Model and curve of a subject-specific method, of the image that was prepared first; None for others."""
        return self._first.image.fit

    @property
    def report(self) -> Report:
        """Provenance of the image that was prepared first, on its lattice, with the warnings up to now."""
        return self._report(self._first, self.lattice)

    @property
    def notes(self) -> tuple[str, ...]:
        """See `Report.notes`."""
        return self.report.notes

    @property
    def warnings(self) -> tuple[str, ...]:
        """See `Report.warnings`."""
        return self.report.warnings

    # ------------------------------------------------------------------ provenance

    def report_for(
        self, grid: Grid, *, refine: Refinement | None = None, times: Mapping[str, float] | None = None
    ) -> Report:
        """Provenance of a rendering on `grid`, with the warnings up to now. Later work does not change it.

        Args:
            grid: a grid that was rendered.
            refine: axes (k, j, i) of the image that was rendered, where it is not `image_for(grid)`.
            times: seconds of further stages, such as {"render": 0.1}.

        Raises:
            InputError: nothing was prepared for the grid yet.
        """
        if refine is None and (made := self._part_with(grid)) is not None:
            return self._report(made, grid, times)
        refine = self._refinement(grid) if refine is None else refine
        if not self.has_image(refine):
            raise InputError(f"No image is prepared for {grid}; expected a grid that was rendered. Render it first.")
        return self._report(self._preparations[refine], grid, times)

    def _report(self, made: _Preparation, grid: Grid, times: Mapping[str, float] | None = None) -> Report:
        inputs, image = self._inputs, made.image
        steps = sampled_along(grid, self.target.grid)
        return replace(
            inputs,
            scale=per_axis(t / s for t, s in zip(self.target.spacing, steps, strict=True)),
            spacing=grid.spacing,
            shape=grid.shape,
            times={**inputs.times, **made.times, **(times or {})},
            consistency=made.consistency,
            resolution={**inputs.resolution, "result": self._result_resolution(image.lattice)},
            warnings=tuple(dict.fromkeys((*inputs.warnings, *image.warnings))),
            notes=tuple(dict.fromkeys((*inputs.notes, *image.notes))),
            reference_used=self.reference is not None and image.reference_used,
            fallback=image.fallback or None,
            weights=image.weights or None,
        )

    def _result_resolution(self, lattice: Grid) -> tuple[float, ...]:
        """At best: an axis whose lattice was refined is as fine as the source of its detail."""
        target = self._inputs.resolution["target"]
        source = self._inputs.resolution.get("reference")
        if self.method.reference == "none" and self.method.group == "classical":
            return target
        if source is None:
            return target if self.method.group == "classical" else lattice.spacing
        refined = [n > m for n, m in zip(lattice.shape, self.target.shape, strict=True)]
        return tuple(
            min(t, max(s, d)) if r else t for t, s, d, r in zip(target, source, lattice.spacing, refined, strict=True)
        )

    # ------------------------------------------------------------------ the method's work

    @property
    def _all(self) -> tuple[_Preparation, ...]:
        """In the order in which they were prepared."""
        whole = tuple(self._preparations.values())
        return whole if self._of_part is None else (self._of_part, *whole)

    @property
    def _first(self) -> _Preparation:
        return self._all[0]

    def _part_with(self, grid: Grid | None) -> _Preparation | None:
        """The image of the part, where it is prepared and `grid` is a crop of the part."""
        if grid is None or self._part is None or self._of_part is None:
            return None
        return None if grid.samples_of(self._part) is None else self._of_part

    def _refinement(self, grid: Grid | None) -> Refinement:
        return refinement_of(self.target.grid, grid)

    def _prepare_slices(self, refine: Refinement, monitor: Monitor) -> _Preparation | None:
        """An image whose slices are computed on demand, where that is wanted and the method offers it."""
        if self._by_slices is None:
            return None
        from .sliced import SlicedImage

        times: dict[str, float] = {}
        with timed(times, "prepare"):
            encoder = self.method.prepare_slices(
                self._near_target,
                self._near_reference,
                refine=refine,
                device=self._inputs.device,
                monitor=monitor.part(0.0, 0.1, "prepare"),  # most of the work is that of the slices
                **self._inputs.options,
            )
        if encoder is None:
            return None
        model = AcquisitionModel.estimate(self._near_target).refining(refine)
        noise = self._noise if self._consistent else 0.0
        consistency = {"mode": "off" if not self._consistent else "noise" if noise else model.trust}
        image = SlicedImage(encoder, self._consistent, noise, self._by_slices)
        return _Preparation(restored(image), consistency, times)

    def _prepare_part(self, part: Grid, monitor: Monitor) -> _Preparation | None:
        """An image of `part` alone, where the method offers it."""
        if self._consistent and self._noise:  # the weights of the data are those of the whole scan's residual
            return None
        refine, times = self._refinement(part), dict[str, float]()
        with timed(times, "prepare"):
            image = self.method.prepare_part(
                self._near_target,
                self._near_reference,
                part=part,
                refine=refine,
                device=self._inputs.device,
                monitor=monitor.part(0.0, 0.8, "prepare"),
                **self._inputs.options,
            )
        return None if image is None else self._checked(image, refine, times, monitor.part(0.8, 1.0, "consistency"))

    def _prepare(self, refine: Refinement, monitor: Monitor) -> _Preparation:
        times: dict[str, float] = {}
        with timed(times, "prepare"):
            image = self.method.prepare(
                self._near_target,
                self._near_reference,
                refine=refine,
                device=self._inputs.device,
                monitor=monitor.part(0.0, 0.8, "prepare"),
                **self._inputs.options,
            )
        return self._checked(image, refine, times, monitor.part(0.8, 1.0, "consistency"))

    def _checked(self, image: Prepared, refine: Refinement, times: dict[str, float], step: Monitor) -> _Preparation:
        """`image` within its limits, and consistent with the data where that is wanted."""
        if not self._consistent:
            image, held = hold_within_limits(image, step, refine, self._inputs.device)
            outcome = held.as_dict() if held.held_back else {"mode": held.mode}
        else:
            with timed(times, "consistency"):
                image, agreement = make_consistent(image, step, refine, self._noise, self._inputs.device)
            outcome = agreement.as_dict()
        return _Preparation(restored(image), outcome, times)

    @cached_property
    def _noise(self) -> float:
        """Noise of the target that measured data are weighed by."""
        return significant_noise(self._near_target)


@contextmanager
def timed(times: dict[str, float], stage: str) -> Iterator[None]:
    """Set `times[stage]` to the seconds that the body takes."""
    begin = time.perf_counter()
    try:
        yield
    finally:
        times[stage] = time.perf_counter() - begin
