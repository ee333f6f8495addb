"""The fit: a network is made to explain the samples of all scans, until the curve has settled or time is up."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from ..core.errors import InputError
from ..core.progress import Monitor
from ..image.grid import Grid
from ..image.volume import Volume
from ..subject.joint import joint_images
from .control import Control, Entry, current
from .model import Contrast, SubjectModel
from .presets import Preset, Settings
from .running import Running
from .samples import Samples, acquired, box, unexplained


@dataclass(frozen=True)
class Fit:
    """What `fit` returns.

    Attributes:
        model: the best state that was seen, by the samples that were held out.
        curve: one entry an epoch.
        notes: plain sentences for the report.
        outputs: for every contrast that was given, which output of the model it is; None when no scan of it was used.
    """

    model: SubjectModel
    curve: tuple[Entry, ...]
    notes: tuple[str, ...]
    outputs: tuple[int | None, ...]


def fit(
    contrasts: Sequence[Sequence[Volume]],
    lattice: Grid,
    settings: Settings,
    *,
    across: int | None = None,
    device: str = "cpu",
    earlier: SubjectModel | None = None,
    control: Control | None = None,
    monitor: Monitor | None = None,
) -> Fit:
    """Fit a network to the scans of one patient.

    Args:
        contrasts: the scans of every contrast, in any views, aligned in RAS.
        lattice: for presets with a start: where joint total variation computes (a lattice of the first scan's model).
        across: lattice axis across slices that joint total variation is to solve by themselves.
        earlier: a model of the same settings and scans to go on from.

    Raises:
        InputError: `earlier` is another network.
        CancelledError: nothing is left behind, on a GPU neither.
    """
    monitor, begun, control = monitor or Monitor(), time.perf_counter(), control or current()
    scans, images, outputs, notes = list(contrasts), None, tuple(range(len(contrasts))), ()
    if settings.preset.start:
        # a network that is to know one contrast only must not begin from images that know them all
        taken = contrasts[:1] if settings.variant == "single-contrast" else contrasts
        found, notes = joint_images(
            taken,
            lattice,
            across,
            rounds=settings.preset.rounds,
            device=device,
            monitor=monitor.part(0.0, 0.3),
            show=None if control.watch is None else partial(_preview, contrasts, settings, lattice, control, begun),
        )
        found += [None] * (len(contrasts) - len(found))
        used = [number for number, image in enumerate(found) if image is not None]
        scans, images = [contrasts[n] for n in used], [found[n] for n in used]
        outputs = tuple(used.index(n) if n in used else None for n in range(len(contrasts)))
    model = _model(scans, settings, images, lattice)
    samples = _samples(scans, settings.preset, images, lattice, across, monitor.silent)
    model.contrasts = tuple(
        replace(contrast, correction=_size(samples, number) / contrast.scale if images is not None else 1.0)
        for number, contrast in enumerate(model.contrasts)
    )
    if earlier is not None:
        _go_on_from(model, earlier)
    running = Running(model, samples, settings, device, control, begun)
    curve, reason = running.run(monitor.part(0.3 if settings.preset.start else 0.0, 1.0))
    notes += running.notes
    model.provenance = {
        "scans": [[scan.name for scan in group] for group in scans],
        "settings": {"variant": settings.variant, "seed": settings.seed, "stop": settings.stop},
        "stopped_by": reason,
        "curve": [entry.as_dict() for entry in curve],
    }
    return Fit(model, tuple(curve), notes, outputs)


def _preview(
    contrasts: Sequence[Sequence[Volume]],
    settings: Settings,
    lattice: Grid,
    control: Control,
    begun: float,
    images: Sequence[np.ndarray | None],
) -> None:
    """Show whoever watches joint total variation, which is there long before the fit."""
    used = [number for number, image in enumerate(images) if image is not None]
    model = _model([contrasts[n] for n in used], settings, [images[n] for n in used], lattice)
    nothing = float(len(used))  # every contrast's part of the loss is 1
    control.watch(Entry(0.0, nothing, nothing, None, time.perf_counter() - begun), model.images)


def _model(
    scans: Sequence[Sequence[Volume]], settings: Settings, images: Sequence[np.ndarray] | None, lattice: Grid
) -> SubjectModel:
    named = []
    for group in scans:
        low, high = min(float(s.array.min()) for s in group), max(float(s.array.max()) for s in group)
        named.append(Contrast(group[0].name, low, high - low or 1.0))
    center, size = box([scan for group in scans for scan in group])
    model = SubjectModel(settings.architecture(len(scans)), center, size, tuple(named), seed=settings.seed)
    if images is not None:
        model.begin_from(images, lattice)
    return model


def _samples(
    scans: Sequence[Sequence[Volume]],
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
                found.append(acquired(scan, number, finest, slab=preset.slab, foreground=preset.foreground))
            else:
                how = {"first": not found, "slab": preset.slab, "monitor": monitor}
                found.append(unexplained(scan, number, images[number], lattice, across, **how))
    return [samples for samples in found if samples is not None]


def _size(samples: Sequence[Samples], contrast: int) -> float:
    """RMS of what is to be explained."""
    values = np.concatenate([s.values for s in samples if s.contrast == contrast])
    return max(float(np.sqrt(np.mean(values.astype(np.float64) ** 2))), 1e-12)


def _go_on_from(model: SubjectModel, earlier: SubjectModel) -> None:
    if earlier.plan != model.plan or not np.allclose(earlier.size, model.size, atol=1e-3):
        raise InputError(
            f"The model to go on from is a {earlier.plan.encoding!r} {earlier.plan.variant!r} network over "
            f"{np.round(earlier.size, 1).tolist()} mm; expected {model.plan.encoding!r} {model.plan.variant!r} over "
            f"{np.round(model.size, 1).tolist()} mm. Choose the same scans and settings, or begin anew."
        )
    model.network.load_state_dict(earlier.network.state_dict())
    # a correction that was given up is begun anew
    model.contrasts = tuple(
        old if old.correction > 0 else new for old, new in zip(earlier.contrasts, model.contrasts, strict=True)
    )
