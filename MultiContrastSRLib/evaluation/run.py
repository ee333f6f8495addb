"""Run methods on degraded truth and score them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from .. import kernels
from ..acquisition import degrade
from ..alignment import align
from ..errors import InputError
from ..methods import get
from ..pipeline import prepare
from ..progress import CancelCallback, Monitor, ProgressCallback
from ..sampling import sample
from ..volume import Volume
from .baselines import MASK_TRICK, mask_trick
from .case import Case, make_case
from .conditions import conditions
from .entries import Entry, checked_entries
from .masks import filled
from .picture import Picture, take_picture
from .protocols import Protocol, axis_index, get_protocol
from .results import BASELINE, Evaluation
from .scoring import Truth, score


def evaluate(
    target: Volume | str | Path,
    reference: Volume | str | Path | None = None,
    *,
    methods: Sequence[str | Entry] | None = None,
    protocol: str | Protocol = "p3",
    scales: Sequence[float] | None = None,
    degradation: str | None = None,
    axis: int | str | None = None,
    reference_axis: int | str | None = None,
    mask: Volume | str | Path | None = None,
    lesions: Volume | str | Path | None = None,
    slices: int | Sequence[int] | None = None,
    register: str = "off",
    device: str = "auto",
    progress: ProgressCallback | None = None,
    cancel: CancelCallback | None = None,
) -> Evaluation:
    """Degrade `target` by a protocol, super-resolve it by each method, and score the results against it.

    Args:
        target: the truth.
        reference: another contrast of the same patient.
        methods: names or `Entry`s; default all classical methods. Sinc is added when missing: gains are over it.
        protocol: "p1" to "p4" (see `protocols.PROTOCOLS`) or a `Protocol`.
        scales: real factors above 1; default the protocol's.
        degradation: "kspace" (in plane), "slab" or "spline" (across the slices); default the protocol's.
        axis: the slice axis: 0, 1, 2, "k", "j", "i", or "axial", "coronal", "sagittal"; default the volume's own, k for
            isotropic volumes. Scored are these slices, or planes standing on them where detail across slices was lost.
        reference_axis: the reference's slice axis where the protocol degrades it too (p4); default "coronal".
        mask: where the foreground is; default found in the truth, see `masks.foreground`.
        lesions: lesion mask; adds lesion metrics.
        slices: every how-manyth plane to score, or their indices; default the protocol's. Planes with less than
            2 % foreground are never scored.
        register: "off", "auto" or "on": rigid registration of the reference to the degraded target, once a scale.
        device: as in `super_resolve`.
        progress, cancel: see `MultiContrastSRLib.progress`.

    Raises:
        InputError, UnknownNameError: arguments that cannot be worked with.
        CancelledError: `cancel()` said so.
    """
    whole = Monitor(progress, cancel, stage="load")
    whole.update(0.0)
    chosen = get_protocol(protocol)
    if degradation is not None:
        chosen = replace(chosen, degradation=degradation)
    if slices is not None:
        chosen = replace(chosen, every=slices if np.ndim(slices) == 0 else 1)
    listed = None if np.ndim(slices) == 0 else list(slices)
    factors = _checked_scales(chosen.scales if scales is None else scales)
    entries = checked_entries(methods)
    masks = _volume(mask, labels=True), _volume(lesions, labels=True)
    case = make_case(_volume(target), _volume(reference), chosen, axis, *masks, listed)

    rows = [entry.row for entry in entries]
    if case.reference is not None:
        rows.insert(rows.index(BASELINE) + 1, MASK_TRICK)
    scores: dict[tuple[float, str], dict[str, np.ndarray]] = {}
    notes: dict[tuple[float, str], tuple[str, ...]] = {}
    effective: dict[float, tuple[float, float, float]] = {}
    placed: dict[float, tuple[str, ...]] = {}
    pictures: dict[float, Picture] = {}
    for number, factor in enumerate(factors):
        part = whole.part(number / len(factors), (number + 1) / len(factors), f"×{factor:g}")
        low = degrade(case.truth, chosen.degradation, case.scale(factor))
        effective[factor] = tuple(n / m for n, m in zip(case.truth.shape, low.shape, strict=True))
        helper, other, placed[factor] = _reference(case, low, factor, reference_axis, register, part.part(0.0, 0.1))
        truth = Truth.of(case, other)
        predictions: dict[str, np.ndarray] = {}
        for index, entry in enumerate(entries):
            span = [0.1 + 0.9 * (index + n) / len(entries) for n in (0, 1)]
            begin = time.perf_counter()
            predictions[entry.row], said = _predict(
                entry, low, helper, case, device, part.part(*span, f"×{factor:g} {entry.row}")
            )
            seconds = time.perf_counter() - begin
            notes[factor, entry.row] = said
            scores[factor, entry.row] = {**score(predictions[entry.row], truth, chosen), "seconds": np.array([seconds])}
        if helper is not None:
            predictions[MASK_TRICK] = _mask_trick(case, low, helper)
            scores[factor, MASK_TRICK] = {
                **score(predictions[MASK_TRICK], truth, chosen),
                "seconds": np.array([np.nan]),
            }
        pictures[factor] = take_picture(case, low, truth, {row: predictions[row] for row in rows}, BASELINE)
    whole.update(1.0)
    return Evaluation(
        target=case.truth.name or "target",
        reference=(case.reference.name or "reference") if case.reference is not None else "",
        protocol=chosen,
        scales=factors,
        effective=effective,
        rows=tuple(rows),
        units=tuple(case.first + plane for plane in case.planes),
        scores=scores,
        notes=notes,
        conditions=conditions(case, entries, mask is not None, placed),
        pictures=pictures,
    )


def _volume(source: Volume | str | Path | None, labels: bool = False) -> Volume | None:
    if source is None or isinstance(source, Volume):
        return source
    from ..io import load_volume

    return load_volume(source, labels=labels)


def _checked_scales(scales: Sequence[float]) -> tuple[float, ...]:
    factors = tuple(float(scale) for scale in np.atleast_1d(scales))
    if (
        not factors
        or not all(np.isfinite(factor) and factor > 1 for factor in factors)
        or len(set(factors)) < len(factors)
    ):
        raise InputError(f"Scales are {tuple(scales)}; expected different numbers above 1, for example 2, 3, 4.")
    return factors


def _reference(
    case: Case, low: Volume, factor: float, axis: int | str | None, register: str, monitor: Monitor
) -> tuple[Volume | None, np.ndarray | None, tuple[str, ...]]:
    """The reference that methods get, the other contrast's truth on the truth's grid, and how it was placed."""
    if case.reference is None:
        return None, None, ()
    moved, said = case.reference, ("The reference was placed by the headers, not registered.",)
    if register != "off":
        aligned = align(low, case.reference, register, monitor.part(0.0, 1.0, f"{monitor.stage} register"))
        moved = case.reference if aligned.reference is None else aligned.reference
        how = f"by {aligned.displacement:.2f} mm" if aligned.registered else "not at all"
        said = (f"Registration to the degraded target ({register}) moved the reference {how}.", *aligned.warnings)
    other = sample(moved.array, moved.grid, case.truth.grid, [kernels.linear] * 3)
    if not case.protocol.reference_degraded:
        return moved, other, said
    along = axis_index(moved.grid, "coronal" if axis is None else axis)
    said = (*said, f"The reference is degraded too, along {'kji'[along]} of its own axes.")
    return degrade(moved, case.protocol.degradation, factor, along), other, said


def _predict(
    entry: Entry, low: Volume, reference: Volume | None, case: Case, device: str, monitor: Monitor
) -> tuple[np.ndarray, tuple[str, ...]]:
    """The scored slices as `entry` sees them, and what its report says."""
    method = get(entry.method)
    prepared = prepare(
        low,
        None if method.reference == "none" else reference,
        method.name,
        register="off",
        data_consistency=entry.consistent,
        device=device,
        grid=case.truth.grid,
        **_named(monitor.part(0.0, 0.7)),
        **entry.options,
    )
    slices = []
    grids = list(case.runs())
    for number, grid in enumerate(grids):
        step = monitor.part(0.7 + 0.3 * number / len(grids), 0.7 + 0.3 * (number + 1) / len(grids))
        slices.append(np.moveaxis(prepared.render(grid, **_named(step)).array, case.across, 0))
    return np.concatenate(slices), (*prepared.report.warnings, *prepared.report.notes)


def _named(monitor: Monitor) -> dict:
    """Callbacks that report under the row's name rather than the inner stage's."""
    callbacks = monitor.callbacks
    return {**callbacks, "progress": lambda fraction, stage: callbacks["progress"](fraction, "")}


def _mask_trick(case: Case, low: Volume, reference: Volume) -> np.ndarray:
    sinc = get("sinc").prepare(low, refine=case.degraded).render(case.truth.grid)
    known = sample(reference.array, reference.grid, case.truth.grid, [kernels.linear] * 3) > 0
    mask = np.moveaxis(filled(np.moveaxis(known, case.across, 0)), 0, case.across)
    return case.front(mask_trick(low, sinc.array, mask, case.truth.grid, case.protocol.degradation))
