"""The verbs `prepare` and `super_resolve`: load, align, prepare, enforce data consistency, render, with provenance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from .._version import __version__
from ..acquisition.lattice import refinement_for
from ..acquisition.model import AcquisitionModel, resolution_along
from ..core.cache import Cache
from ..core.devices import resolve_device
from ..core.errors import InputError
from ..core.progress import CancelCallback, Monitor, ProgressCallback
from ..image.grid import Grid, PerAxis
from ..image.region import Region
from ..image.volume import Volume, warnings_of
from ..io import load_volume
from ..methods import get
from ..registration.align import align
from .checks import check_memory_for, check_volume, device_memory_for
from .output import checked_output_grid, output_grid
from .plausibility import input_warnings, result_warnings
from .prepared_run import PreparedRun, timed
from .report import Report, format_scale
from .result import Result

_REGISTER: Mapping[str | bool, str] = {True: "on", False: "off"}
_SLICES_OF_A_REGION = 1 << 30  # bytes of computed slices that are kept for further renderings of the region


def prepare(
    target: Volume | str | Path,
    reference: Volume | str | Path | None = None,
    method: str = "guided",
    *,
    register: str | bool = "auto",
    data_consistency: bool = True,
    device: str = "auto",
    grid: Grid | None = None,
    by_slices: Cache | None = None,
    progress: ProgressCallback | None = None,
    cancel: CancelCallback | None = None,
    **options: bool | int | float | str,
) -> PreparedRun:
    """Do the heavy work once; then `render` any grid of the patient.

    Args:
        target: the scan to super-resolve, or its path.
        reference: a scan of another contrast and higher resolution, or its path; None for methods that need none.
        method: a name from `methods()`.
        register: "auto", "off" or "on", see `registration.align`.
        data_consistency: whether the result must agree with the acquired data, see `acquisition.consistency`.
        device: "auto", "cpu", "cuda", "cuda:N" or another, see `core.devices.resolve_device`.
        grid: a grid that will be rendered; it states along which axes detail is wanted. Others can be rendered as well;
            what they need beyond it is prepared then. Default: in plane for a 2-D acquisition, else along all axes.
        by_slices: a `core.cache.Cache`: methods that can (`Method.prepare_slices`) compute slices on demand and keep
            them there. Default: all are computed at once.
        progress, cancel: see `MultiContrastSRLib.core.progress`.
        options: the method's own.

    Raises:
        MultiContrastSRError: see its subclasses; nothing is left behind.

    >>> volume = Volume(np.random.default_rng(0).random((3, 24, 24)), np.diag([1, 1, 4, 1]), "FLAIR")
    >>> prepared = prepare(volume, method="bspline")
    >>> prepared.render(volume.grid.scaled(1.5)).shape
    (3, 36, 36)
    """
    monitor = Monitor(progress, cancel)
    start = monitor.part(0.0, 0.3)
    run = _begin(target, reference, method, register, data_consistency, device, options, start, by_slices=by_slices)
    run.image_for(grid, monitor.part(0.3, 1.0))
    return run


def super_resolve(
    target: Volume | str | Path,
    reference: Volume | str | Path | None = None,
    *,
    method: str = "guided",
    scale: PerAxis | None = None,
    spacing: float | None = None,
    region: Region | None = None,
    register: str | bool = "auto",
    data_consistency: bool = True,
    device: str = "auto",
    progress: ProgressCallback | None = None,
    cancel: CancelCallback | None = None,
    **options: bool | int | float | str,
) -> Result:
    """Super-resolve a volume, or a region of it.

    Args:
        scale: one factor (in plane for thick slices, all axes for isotropic voxels) or three in the order (k, j, i) =
            (slices, rows, columns); default 2.
        spacing: instead of `scale`: isotropic voxels of this many mm.
        region: the box to which the result is limited, `Region.of(center, 60)` for example. The result is that part of
            what the whole volume gives, data consistency included; methods that can compute only the slices in it.
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
    size = scale, spacing, region
    slices = None if region is None else Cache(_SLICES_OF_A_REGION)
    run = _begin(target, reference, method, register, data_consistency, device, options, start, size, slices)
    grid = output_grid(run.target, *size)
    image = run.image_for(grid, monitor.part(0.3, 0.85, "prepare"))
    rendering = monitor.part(0.85 if image.ready_for(grid) else 0.35, 1.0, "render")
    times: dict[str, float] = {}
    with timed(times, "render"):
        volume = image.render(grid, rendering)
    report = run.report_for(grid, times=times)
    if region is not None:
        report = replace(report, notes=(*report.notes, f"Only the region of interest was made, {region}."))
    rendering.update(1.0)
    name = f"{run.target.name or 'volume'} {report.made_by} {format_scale(report.scale)}"
    return Result(volume.renamed(name), report, run)


def _begin(
    target: Volume | str | Path,
    reference: Volume | str | Path | None,
    method_name: str,
    register: str | bool,
    data_consistency: bool,
    device: str,
    options: Mapping[str, object],
    monitor: Monitor,
    requested: tuple[PerAxis | None, float | None, Region | None] = (None, None, None),
    by_slices: Cache | None = None,
) -> PreparedRun:
    """Everything before the method's own work: check, load, align."""
    method = get(method_name)
    checked = method.check_options(options)
    method.check_available()
    if method.reference == "required" and reference is None:
        raise InputError(
            f"Method {method.name!r} needs a reference; got none. Choose a sharper scan of another contrast."
        )
    device, device_note = resolve_device(device, method.devices, method.name)
    times: dict[str, float] = {}
    with timed(times, "load"):
        loading = monitor.part(0.0, 0.2, "load")
        loading.update(0.0)
        target = _as_volume(target, "Target")
        loading.update(0.5)
        reference = None if reference is None else _as_volume(reference, "Reference")
        grid = checked_output_grid(method, target, *requested)
        check_memory_for(method, target, reference, grid)
    used_reference = None if method.reference == "none" else reference
    warnings = [*warnings_of(target.metadata), *input_warnings(target, used_reference)]
    warnings += result_warnings(target.grid, grid)
    notes = [*AcquisitionModel.estimate(target).assumptions, *([device_note] if device_note else [])]
    resolution = {"target": resolution_along(target, target.grid)}
    alignment: dict[str, object] = {}
    used = None
    if reference is not None and method.reference == "none":
        alignment = {"used": False}
        notes.append(f"Method {method.name} uses no reference; {reference.name or 'it'} was ignored.")
    elif reference is not None:
        with timed(times, "register"):
            aligned = align(
                target, reference, _REGISTER.get(register, str(register)), monitor.part(0.2, 1.0, "register")
            )
        alignment, used = aligned.as_dict(), aligned.reference
        warnings += aligned.warnings
        if used is None and method.reference == "required":
            raise InputError(f"{aligned.warnings[-1]} Method {method.name!r} cannot work without one.")
    if used is not None:
        resolution["reference"] = resolution_along(used, target.grid)
        warnings += _coarse_reference(resolution, refinement_for(target.grid, grid))
    warnings += device_memory_for(method, target, used, grid, device, checked).warnings
    inputs = Report(
        method.name,
        __version__,
        target.name,
        None if reference is None else reference.name,
        device=device,
        options=checked,
        times=times,
        alignment=alignment,
        resolution=resolution,
        warnings=tuple(warnings),
        notes=tuple(notes),
    )
    part = None if requested[-1] is None else grid
    return PreparedRun(method, target, used, bool(data_consistency), inputs, by_slices, part)


def _as_volume(source: Volume | str | Path, role: str) -> Volume:
    if not isinstance(source, Volume):
        if not isinstance(source, (str, Path)):
            raise InputError(f"{role} is a {type(source).__name__}; expected a Volume or a path.")
        source = load_volume(source)
    check_volume(source, role)
    return source


def _coarse_reference(resolution: Mapping[str, tuple[float, ...]], refined: tuple[bool, ...]) -> list[str]:
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
