"""The whole path: align → prepare → consistency → render, with provenance. Panel, console and shell all call this."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from .._version import __version__
from ..acquisition.consistency import make_consistent
from ..acquisition.lattice import refinement_for, refinement_of
from ..acquisition.model import AcquisitionModel, resolution_along
from ..core.devices import resolve_device
from ..core.errors import InputError, MethodUnavailableError
from ..core.progress import CancelCallback, Monitor, ProgressCallback
from ..image.grid import Grid, PerAxis
from ..image.prepared import Prepared
from ..image.volume import Volume
from ..methods import get
from ..methods.contract import Method
from ..registration.align import align
from .checks import check_memory_for, check_scale, check_volume, output_grid
from .report import Report, format_scale
from .result import Result

if TYPE_CHECKING:
    from ..core.cache import Cache as SliceCache
    from ..inr.fitting import Fit

__all__ = ["PreparedRun", "output_grid", "prepare", "super_resolve"]

_REGISTER = {True: "on", False: "off"}


class PreparedRun(Prepared):
    """A method prepared for a pair of scans, data consistency included; `render` it on any grid.

    Grids that are finer than the target along an axis that was not prepared (through-plane detail of thick slices, say)
    are prepared for when first asked for.

    Attributes:
        report: provenance so far; its warnings are those about the slices made so far.
    """

    def __init__(
        self,
        method: Method,
        target: Volume,
        reference: Volume | None,
        consistent: bool,
        report: Report,
        by_slices: SliceCache | None = None,
    ) -> None:
        self.method, self.target, self.reference = method, target, reference
        self._report, self._warnings = report, report.warnings
        self._consistent, self._by_slices = consistent, by_slices
        self._states: dict[tuple[bool, ...], Prepared] = {}

    @property
    def lattice(self) -> Grid:
        """The canonical lattice of what was prepared first."""
        return next(iter(self._states.values())).lattice

    @property
    def report(self) -> Report:
        """Provenance so far; slices that are made later may add warnings."""
        found = [warning for state in self.prepared_states for warning in state.warnings]
        self._report.warnings = tuple(dict.fromkeys((*self._warnings, *found)))
        return self._report

    @property
    def notes(self) -> tuple[str, ...]:
        """Plain sentences about choices that were made."""
        return self.report.notes

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences that the user should read."""
        return self.report.warnings

    @property
    def companion(self) -> Prepared | None:
        """The reference's contrast, super-resolved along with the target; None for methods that do not."""
        return list(self._states.values())[-1].companion

    @property
    def fit(self) -> Fit | None:
        """What a subject-specific method fitted: model and curve; None for other methods."""
        return list(self._states.values())[-1].fit

    def render(
        self, grid: Grid, *, progress: ProgressCallback | None = None, cancel: CancelCallback | None = None
    ) -> Volume:
        """See `Prepared.render`."""
        return self._render(grid, Monitor(progress, cancel, stage="render"))

    def _render(self, grid: Grid, monitor: Monitor) -> Volume:
        known = self._refinement(grid) in self._states
        state = self._state_for(grid, monitor.part(0.0, 0.8))
        with _timed(self.report, "render"):
            return state.render(grid, monitor if known else monitor.part(0.8, 1.0))

    def state(
        self,
        refine: tuple[bool, ...],
        *,
        progress: ProgressCallback | None = None,
        cancel: CancelCallback | None = None,
    ) -> Prepared:
        """The image super-resolved along the axes (k, j, i) of `refine`, whatever grid it will be rendered on."""
        return self._states.get(refine) or self._state(refine, Monitor(progress, cancel))

    def has(self, refine: tuple[bool, ...]) -> bool:
        """Whether `state` is there already."""
        return refine in self._states

    @property
    def prepared_states(self) -> tuple[Prepared, ...]:
        """What was prepared so far, one image for each choice of axes."""
        return tuple(self._states.values())

    def _refinement(self, grid: Grid | None) -> tuple[bool, ...]:
        return refinement_of(self.target.grid, grid)

    def _state_for(self, grid: Grid | None, monitor: Monitor) -> Prepared:
        return self._state(self._refinement(grid), monitor)

    def _state(self, refine: tuple[bool, ...], monitor: Monitor) -> Prepared:
        if refine not in self._states:
            self._states[refine] = self._prepare_slices(refine, monitor) or self._prepare(refine, monitor)
        return self._states[refine]

    def _prepare_slices(self, refine: tuple[bool, ...], monitor: Monitor) -> Prepared | None:
        """An image whose slices are computed when they are looked at, where that is wanted and the method offers it."""
        if self._by_slices is None:
            return None
        from .sliced import SlicedImage

        with _timed(self.report, "prepare"):
            encoder = self.method.prepare_slices(
                self.target,
                self.reference,
                refine=refine,
                device=self.report.device,
                monitor=monitor.part(0.0, 1.0, "prepare"),
                **self.report.options,
            )
        if encoder is None:
            return None
        model = AcquisitionModel.estimate(self.target).refining(refine)
        self.report.notes = tuple(dict.fromkeys((*self.report.notes, *encoder.notes)))
        self.report.consistency = {"mode": model.trust if self._consistent else "off"}
        self.report.resolution["result"] = self._result_resolution(encoder.lattice)
        return SlicedImage(encoder, self._consistent, self._by_slices)

    def _prepare(self, refine: tuple[bool, ...], monitor: Monitor) -> Prepared:
        report = self.report
        with _timed(report, "prepare"):
            state = self.method.prepare(
                self.target,
                self.reference,
                refine=refine,
                device=report.device,
                monitor=monitor.part(0.0, 0.8, "prepare"),
                **report.options,
            )
        report.notes = tuple(dict.fromkeys((*report.notes, *state.notes)))
        report.consistency = {"mode": "off"}
        lattice = state.lattice
        if self._consistent:
            with _timed(report, "consistency"):
                state, outcome = make_consistent(state, monitor.part(0.8, 1.0, "consistency"), refine)
            report.consistency = outcome.as_dict()
        report.resolution["result"] = self._result_resolution(lattice)
        return state

    def _result_resolution(self, lattice: Grid) -> tuple[float, ...]:
        """At best: an axis whose lattice was refined is as fine as the source of its detail."""
        target = self.report.resolution["target"]
        source = self.report.resolution.get("reference")
        if self.method.reference == "none" and self.method.group == "classical":
            return target
        if source is None:
            return target if self.method.group == "classical" else lattice.spacing
        refined = [n > m for n, m in zip(lattice.shape, self.target.shape, strict=True)]
        return tuple(
            min(t, max(s, d)) if r else t for t, s, d, r in zip(target, source, lattice.spacing, refined, strict=True)
        )


def prepare(
    target: Volume | str | Path,
    reference: Volume | str | Path | None = None,
    method: str = "guided",
    *,
    register: str | bool = "auto",
    data_consistency: bool = True,
    device: str = "auto",
    grid: Grid | None = None,
    by_slices: SliceCache | None = None,
    progress: ProgressCallback | None = None,
    cancel: CancelCallback | None = None,
    **options: bool | int | float | str,
) -> PreparedRun:
    """Do the heavy work once; then `render` any grid of the patient.

    Args:
        target: the scan to sharpen, or its path.
        reference: a sharper scan of another contrast, or its path; None for methods that need none.
        method: a name from `methods()`.
        register: "auto", "off" or "on", see `alignment.align`.
        data_consistency: put the measured data back into the result, see `consistency`.
        device: "auto", "cpu", "cuda" or "cuda:N".
        grid: a grid that will be rendered; says along which axes detail is wanted. Others may be rendered all the same;
            what they need beyond it is prepared then. Default: in plane for a 2-D acquisition, else along all axes.
        by_slices: a `core.cache.Cache`: methods that can (`Method.prepare_slices`) compute slices when they are looked
            at and keep them there. Default: all is computed at once.
        progress, cancel: `progress(fraction, stage)` is told, `cancel()` is asked.
        options: the method's own.

    Raises:
        MultiContrastSRError: see its subclasses; nothing is left behind.

    >>> volume = Volume(np.random.default_rng(0).random((3, 24, 24)), np.diag([1, 1, 4, 1]), "FLAIR")
    >>> prepared = prepare(volume, method="bspline")
    >>> prepared.render(volume.grid.scaled(1.5)).shape
    (3, 36, 36)
    """
    monitor = Monitor(progress, cancel)
    begun = monitor.part(0.0, 0.3)
    run = _begin(target, reference, method, register, data_consistency, device, options, begun, by_slices=by_slices)
    run._state_for(grid, monitor.part(0.3, 1.0))
    return run


def super_resolve(
    target: Volume | str | Path,
    reference: Volume | str | Path | None = None,
    *,
    method: str = "guided",
    scale: PerAxis | None = None,
    spacing: float | None = None,
    register: str | bool = "auto",
    data_consistency: bool = True,
    device: str = "auto",
    progress: ProgressCallback | None = None,
    cancel: CancelCallback | None = None,
    **options: bool | int | float | str,
) -> Result:
    """Super-resolve a whole volume.

    Args:
        scale: one factor (in plane for thick slices, all axes for isotropic voxels) or three in the order (k, j, i) =
            (slices, rows, columns); default 2.
        spacing: instead of `scale`: isotropic voxels of this many mm.
        others: as in `prepare`.

    Returns:
        The result with `.volume`, `.report` and `.save(path)`; the inputs are untouched.

    Raises:
        MultiContrastSRError: see its subclasses; nothing is left behind.

    >>> volume = Volume(np.random.default_rng(0).random((3, 24, 24)), np.diag([1, 1, 4, 1]), "FLAIR")
    >>> result = super_resolve(volume, method="sinc", scale=2)
    >>> result.volume.shape, result.report.consistency["mode"]
    ((3, 48, 48), 'exact')
    """
    monitor = Monitor(progress, cancel)
    start = monitor.part(0.0, 0.3)
    run = _begin(target, reference, method, register, data_consistency, device, options, start, (scale, spacing))
    grid = output_grid(run.target, scale, spacing)
    run._state_for(grid, monitor.part(0.3, 0.85, "prepare"))
    rendering = monitor.part(0.85, 1.0, "render")
    volume = run._render(grid, rendering)
    factors = tuple(t / s for t, s in zip(run.target.spacing, grid.spacing, strict=True))
    report = run.report
    report.scale, report.spacing, report.shape = factors, grid.spacing, grid.shape
    name = f"{run.target.name or 'volume'} {method} {format_scale(factors)}"
    rendering.update(1.0)
    return Result(volume.renamed(name), report, run)


def _begin(
    target: Volume | str | Path,
    reference: Volume | str | Path | None,
    method_name: str,
    register: str | bool,
    data_consistency: bool,
    device: str,
    options: dict[str, object],
    monitor: Monitor,
    requested: tuple[PerAxis | None, float | None] = (None, None),
    by_slices: SliceCache | None = None,
) -> PreparedRun:
    """Everything before the method's own work: check, load, align."""
    method = get(method_name)
    checked = method.check_options(options)
    reason = method.unavailable()
    if reason:
        raise MethodUnavailableError(f"Method {method.name!r} is not available here: it {reason}.")
    if method.reference == "required" and reference is None:
        raise InputError(
            f"Method {method.name!r} needs a reference; got none. Choose a sharper scan of another contrast."
        )
    place, device_note = resolve_device(device, method.devices, method.name)
    report = Report(method.name, __version__, "", device=place, options=checked)
    with _timed(report, "load"):
        loading = monitor.part(0.0, 0.2, "load")
        loading.update(0.0)
        target = _as_volume(target, "Target")
        loading.update(0.5)
        reference = None if reference is None else _as_volume(reference, "Reference")
        report.target = target.name
        report.reference = None if reference is None else reference.name
        grid = check_scale(method, target, *requested)
        check_memory_for(method, target, reference, grid)
    warnings = list(target.metadata.get("warnings", ())) + ([device_note] if device_note else [])
    report.resolution = {"target": resolution_along(target, target.grid)}
    report.notes = AcquisitionModel.estimate(target).assumptions
    used = None
    if reference is not None and method.reference == "none":
        report.alignment = {"used": False}
        report.notes += (f"Method {method.name} uses no reference; {reference.name or 'it'} was ignored.",)
    elif reference is not None:
        with _timed(report, "register"):
            alignment = align(target, reference, _REGISTER.get(register, register), monitor.part(0.2, 1.0, "register"))
        report.alignment = alignment.as_dict()
        warnings += alignment.warnings
        used = alignment.reference
        if used is None and method.reference == "required":
            raise InputError(f"{alignment.warnings[-1]} Method {method.name!r} cannot work without one.")
    if used is not None:
        report.resolution["reference"] = resolution_along(used, target.grid)
        warnings += _coarse_reference(report.resolution, refinement_for(target.grid, grid))
    report.warnings = tuple(dict.fromkeys(warnings))
    return PreparedRun(method, target, used, bool(data_consistency), report, by_slices)


def _as_volume(source: Volume | str | Path, role: str) -> Volume:
    if not isinstance(source, Volume):
        if not isinstance(source, (str, Path)):
            raise InputError(f"{role} is a {type(source).__name__}; expected a Volume or a path.")
        from ..io import load_volume

        source = load_volume(source)
    check_volume(source, role)
    return source


def _coarse_reference(resolution: dict[str, tuple[float, ...]], refined: tuple[bool, ...]) -> list[str]:
    """A warning where the reference cannot sharpen an axis that is to be sharpened."""
    names = ("across slices", "across rows", "across columns")
    poor = [
        f"{names[axis]} ({mine:.2f} mm, the target {theirs:.2f} mm)"
        for axis, (mine, theirs) in enumerate(zip(resolution["reference"], resolution["target"], strict=True))
        if refined[axis] and mine > 0.98 * theirs
    ]
    return (
        [f"The reference is no sharper than the target {' and '.join(poor)}; it adds no detail there."] if poor else []
    )


@contextmanager
def _timed(report: Report, stage: str) -> Iterator[None]:
    begin = time.perf_counter()
    try:
        yield
    finally:
        report.times[stage] = report.times.get(stage, 0.0) + time.perf_counter() - begin
