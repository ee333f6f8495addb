"""Fits a coordinate network to the samples of all scans of one patient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from ..core.errors import CancelledError, InputError
from ..core.progress import Monitor
from ..image.grid import Grid
from ..image.offset import near_zero, subtracted
from ..image.volume import Volume
from ..joint.volumes import joint_images
from .callbacks import CurvePoint, FitCallbacks, current_callbacks
from .fit_loop import FitLoop
from .limits import FitLimits
from .model import Contrast, SubjectModel
from .presets import Preset, Settings
from .samples import Samples, acquired_samples, box, residual_samples

Contrasts = Sequence[Sequence[Volume]]


@dataclass(frozen=True)
class Fit:
    """The result of `fit`.

    Attributes:
        model: with the weights of the least loss of the held-out samples.
        curve: one point an epoch; empty when the fit was ended before the first.
        notes: sentences for the report.
        outputs: for every contrast that was given, the output of the model; None when no scan of it was used.
        warnings: sentences for the report about a device that ran out of memory or failed.
    """

    model: SubjectModel
    curve: tuple[CurvePoint, ...]
    notes: tuple[str, ...]
    outputs: tuple[int | None, ...]
    warnings: tuple[str, ...] = ()

    @property
    def nbytes(self) -> int:
        """Memory of the model, in bytes."""
        return self.model.nbytes


def fit(
    contrasts: Contrasts,
    lattice: Grid,
    settings: Settings,
    *,
    across: int | None = None,
    device: str = "cpu",
    earlier: SubjectModel | None = None,
    callbacks: FitCallbacks | None = None,
    monitor: Monitor | None = None,
) -> Fit:
    """Fit a network to the scans of one patient.

    A request to stop (`FitCallbacks.should_stop`) and the time limit (`Settings.max_seconds`) hold in every stage. When
    one is reached before the network is fitted, the model renders the initial images as they are then.

    Args:
        contrasts: the scans of every contrast, in any views, aligned in RAS.
        lattice: for presets with initial images: where these are reconstructed (a lattice of the first scan's model).
        settings: the preset and further choices.
        across: lattice axis across slices that joint total variation reconstructs independently.
        device: "cpu", "cuda:0" or another of `core.devices.list_devices`.
        earlier: a model of the same settings and scans to continue from.
        callbacks: default: those of `fit_callbacks`.

    Raises:
        InputError: `earlier` has another architecture or field of view.
        CancelledError: the monitor's caller wants to cancel; no GPU memory is left in use.
    """
    monitor, callbacks = monitor or Monitor(), callbacks or current_callbacks()
    limits = FitLimits(callbacks.should_stop, settings.max_seconds)
    contrasts = [near_zero(*group) for group in contrasts]
    scans, images, outputs = contrasts, None, tuple(range(len(contrasts)))
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    if settings.preset.start:
        # a network that is independent of the other contrasts must not correct images that depend on them
        taken = contrasts[:1] if settings.variant == "single-contrast" else contrasts
        found, notes, warnings = joint_images(
            taken,
            lattice,
            across,
            rounds=settings.preset.rounds,
            device=device,
            monitor=monitor.part(0.0, 0.3),
            stop=limits.stop_requested,
            max_seconds=limits.seconds_left,
            preview=callbacks.on_point and partial(_preview, contrasts, settings, lattice, callbacks, limits),
        )
        found += [None] * (len(contrasts) - len(found))
        used = [number for number, image in enumerate(found) if image is not None]
        scans, images = [contrasts[n] for n in used], [found[n] for n in used]
        outputs = tuple(used.index(n) if n in used else None for n in range(len(contrasts)))
    model = _model(scans, settings, images, lattice)
    samples, limit = _samples_until(limits, scans, settings.preset, images, lattice, across, monitor)
    model.contrasts = tuple(
        replace(contrast, correction=_correction(samples, number, contrast) if images is not None else 1.0)
        for number, contrast in enumerate(model.contrasts)
    )
    if earlier is not None:
        _continue_from(model, earlier)
    curve: list[CurvePoint] = []
    if limit:
        notes += (f"The fit was ended by its {limit} before the network was fitted: the images are the initial ones.",)
    else:
        loop = FitLoop(model, samples, settings, device, callbacks, limits)
        curve, limit = loop.run(monitor.part(0.3 if settings.preset.start else 0.0, 1.0))
        notes, warnings = notes + loop.notes, warnings + loop.warnings
    model.provenance = {
        "scans": [[scan.name for scan in group] for group in scans],
        "settings": {"variant": settings.variant, "seed": settings.seed, "stop": settings.stop},
        "stopped_by": limit,
        "curve": [point.as_dict() for point in curve],
    }
    return Fit(model, tuple(curve), notes, outputs, warnings)


def _preview(
    contrasts: Contrasts,
    settings: Settings,
    lattice: Grid,
    callbacks: FitCallbacks,
    limits: FitLimits,
    images: Sequence[np.ndarray | None],
) -> None:
    """Report the images of joint total variation, which are there long before the first epoch."""
    used = [number for number, image in enumerate(images) if image is not None]
    model = _model([contrasts[n] for n in used], settings, [images[n] for n in used], lattice)
    loss = float(len(used))  # that of initial images is 1 a contrast
    callbacks.on_point(CurvePoint(0.0, loss, loss, None, limits.seconds), model.images)


def _model(scans: Contrasts, settings: Settings, images: Sequence[np.ndarray] | None, lattice: Grid) -> SubjectModel:
    contrasts = []
    for group in scans:
        low, high = min(float(s.array.min()) for s in group), max(float(s.array.max()) for s in group)
        contrasts.append(Contrast(group[0].name, low, high - low or 1.0, zero=subtracted(group[0])))
    center, size = box([scan for group in scans for scan in group])
    model = SubjectModel(settings.architecture(len(scans)), center, size, tuple(contrasts), seed=settings.seed)
    if images is not None:
        model.set_initial_images(images, lattice)
    return model


def _samples_until(
    limits: FitLimits,
    scans: Contrasts,
    preset: Preset,
    images: Sequence[np.ndarray] | None,
    lattice: Grid,
    across: int | None,
    monitor: Monitor,
) -> tuple[list[Samples], str]:
    """(the samples of all scans, the limit that was reached before, which makes them none)."""
    if images is None:
        return _samples(scans, preset, None, lattice, across, monitor.silent), ""
    reached = [limits.reached()]

    def stop() -> bool:
        reached[0] = reached[0] or limits.reached()
        return bool(reached[0])

    try:
        return _samples(scans, preset, images, lattice, across, monitor.silent.interruptible(stop)), ""
    except CancelledError:
        monitor.check()
        return [], reached[0]


def _samples(
    scans: Contrasts,
    preset: Preset,
    images: Sequence[np.ndarray] | None,
    lattice: Grid,
    across: int | None,
    monitor: Monitor,
) -> list[Samples]:
    found: list[Samples | None] = []
    finest = min(min(scan.spacing) for group in scans for scan in group)
    for number, group in enumerate(scans):
        for scan in group:
            monitor.check()
            if images is None:
                found.append(acquired_samples(scan, number, finest, slab=preset.slab, foreground=preset.foreground))
            else:
                how = {"first": not found, "slab": preset.slab, "monitor": monitor}
                found.append(residual_samples(scan, number, images[number], lattice, across, **how))
    return [samples for samples in found if samples is not None]


def _correction(samples: Sequence[Samples], number: int, contrast: Contrast) -> float:
    """RMS of a contrast's residuals in units of its scale; 0 without samples."""
    values = [s.values for s in samples if s.contrast == number]
    if not values:
        return 0.0
    return max(float(np.sqrt(np.mean(np.concatenate(values).astype(np.float64) ** 2))), 1e-12) / contrast.scale


def _continue_from(model: SubjectModel, earlier: SubjectModel) -> None:
    """Give `model` the weights of an earlier fit."""
    mine, other = model.architecture, earlier.architecture
    if other != mine or not np.allclose(earlier.size, model.size, atol=1e-3):
        raise InputError(
            f"The model to go on from is a {other.encoding!r} {other.variant!r} network over "
            f"{np.round(earlier.size, 1).tolist()} mm; expected {mine.encoding!r} {mine.variant!r} over "
            f"{np.round(model.size, 1).tolist()} mm. Choose the same scans and settings, or begin anew."
        )
    names, others = ([contrast.name for contrast in each.contrasts] for each in (model, earlier))
    if names != others and sorted(names) == sorted(others):
        raise InputError(
            f"The model to go on from was fitted to {', '.join(others)}, in this order; expected {', '.join(names)}. "
            "Give the scans in its order."
        )
    model.network.load_state_dict(earlier.network.state_dict())
    # a correction that was scaled to 0 begins anew
    model.contrasts = tuple(
        replace(new, correction=old.correction) if old.correction > 0 else new
        for old, new in zip(earlier.contrasts, model.contrasts, strict=True)
    )
