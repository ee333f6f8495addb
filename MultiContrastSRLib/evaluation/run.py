"""Run methods on degraded truth and score them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..core.progress import CancelCallback, Monitor, ProgressCallback
from ..image.volume import Volume
from .baselines import MASK_TRICK
from .method_under_test import Entry, checked_entries
from .metrics.scoring import Truth, score
from .prediction import Prediction, Situation, predict
from .protocols.case import Case, make_case
from .protocols.protocol import Protocol, get_protocol
from .protocols.scales import Scale, checked_scales
from .results import BASELINE, Evaluation
from .tables.description import conditions
from .tables.picture import Picture, take_picture

Keep = Callable[[Scale, str, Prediction, Truth], dict[str, np.ndarray]]


def evaluate(
    target: Volume | str | Path,
    reference: Volume | str | Path | None = None,
    *,
    methods: Sequence[str | Entry] | None = None,
    protocol: str | Protocol = "p3",
    scales: Sequence[Scale] | None = None,
    degradation: str | None = None,
    axis: int | str | None = None,
    reference_axis: int | str | None = None,
    mask: Volume | str | Path | None = None,
    lesions: Volume | str | Path | None = None,
    slices: int | Sequence[int] | None = None,
    alone: bool = False,
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
        protocol: "p1" to "p4" (see `protocols.PROTOCOLS`) or a `Protocol`. Of p4 this is one way: see `both_ways`.
        scales: real factors above 1, each one number or (rows, columns) in plane; default the protocol's.
        degradation: "kspace" (in plane), "slab" or "spline" (across the slices); default the protocol's.
        axis: the slice axis: 0, 1, 2, "k", "j", "i", or "axial", "coronal", "sagittal"; default the protocol's
            view, else the volume's own, k for isotropic volumes. Scored are these slices, or planes standing on them
            where detail across slices was lost.
        reference_axis: the reference's slice axis where the protocol degrades it too (p4); default "coronal".
        mask: where the foreground is; default found in the truth, see `masks.foreground`.
        lesions: lesion mask; adds lesion metrics.
        slices: every how-manyth plane to score, or their indices; default the protocol's. Planes with less than
            2 % foreground are never scored.
        alone: degrade and prepare each scored slice by itself: several times faster where few slices of many are
            scored, and what single-slice data looks like, but no method then sees a slice's neighbours.
        register: "off", "auto" or "on": rigid registration of the reference to the degraded target, once a scale.
        device: as in `super_resolve`.
        progress, cancel: see `MultiContrastSRLib.core.progress`.

    Raises:
        InputError, UnknownNameError: arguments that cannot be worked with.
        CancelledError: `cancel()` said so.
    """
    whole = Monitor(progress, cancel, stage="load")
    whole.update(0.0)
    chosen = settled(protocol, degradation, slices)
    factors = checked_scales(chosen.scales if scales is None else scales)
    entries = checked_entries(methods)
    case = load_case(target, reference, chosen, axis, mask, lesions, slices, alone)
    return evaluate_case(case, entries, factors, reference_axis, register, device, mask is not None, whole)


def settled(
    protocol: str | Protocol, degradation: str | None = None, slices: int | Sequence[int] | None = None
) -> Protocol:
    """The protocol with what the caller wants otherwise."""
    chosen = get_protocol(protocol)
    if degradation is not None:
        chosen = replace(chosen, degradation=degradation)
    if slices is not None:
        chosen = replace(chosen, every=slices if np.ndim(slices) == 0 else 1)
    return chosen


def load_case(
    target: Volume | str | Path,
    reference: Volume | str | Path | None,
    protocol: Protocol,
    axis: int | str | None,
    mask: Volume | str | Path | None,
    lesions: Volume | str | Path | None,
    slices: int | Sequence[int] | None,
    alone: bool,
) -> Case:
    """The case of one pair; arguments as `evaluate`'s."""
    listed = None if np.ndim(slices) == 0 else list(slices)
    regions = load(mask, labels=True), load(lesions, labels=True)
    return make_case(load(target), load(reference), protocol, axis, *regions, listed, alone)


def load(source: Volume | str | Path | None, labels: bool = False) -> Volume | None:
    """The volume in a file; volumes and None as they are."""
    if source is None or isinstance(source, Volume):
        return source
    from ..io import load_volume

    return load_volume(source, labels=labels)


def evaluate_case(
    case: Case,
    entries: Sequence[Entry],
    factors: Sequence[Scale],
    reference_axis: int | str | None,
    register: str,
    device: str,
    masked: bool,
    whole: Monitor,
    keep: Keep | None = None,
) -> Evaluation:
    """Scores of `entries` on `case`.

    Args:
        masked: whether the foreground was given.
        keep: is shown every prediction and the truth, and returns more scores of it.
    """
    rows = [entry.row for entry in entries]
    if case.reference is not None:
        rows.insert(rows.index(BASELINE) + 1, MASK_TRICK)
    scores: dict[tuple[Scale, str], dict[str, np.ndarray]] = {}
    notes: dict[tuple[Scale, str], tuple[str, ...]] = {}
    effective: dict[Scale, tuple[float, float, float]] = {}
    placed: dict[Scale, tuple[str, ...]] = {}
    pictures: dict[Scale, Picture] = {}
    for number, factor in enumerate(factors):
        situation = Situation(case, factor, reference_axis, register)
        part = whole.part(number / len(factors), (number + 1) / len(factors), situation.name)
        effective[factor] = tuple(n / m for n, m in zip(case.truth.shape, situation.low.shape, strict=True))
        truth = Truth.of(case, situation.other(part.part(0.0, 0.1)))
        placed[factor] = situation.reference().said
        predictions: dict[str, np.ndarray] = {}
        for index, entry in enumerate(entries):
            span = [0.1 + 0.9 * (index + n) / len(entries) for n in (0, 1)]
            begin = time.perf_counter()
            made = predict(entry, situation, device, part.part(*span, f"{situation.name} {entry.row}"))
            seconds = time.perf_counter() - begin
            predictions[entry.row], notes[factor, entry.row] = made.slices, made.notes
            scores[factor, entry.row] = {
                **score(made.slices, truth, case.protocol),
                **(keep(factor, entry.row, made, truth) if keep else {}),
                "seconds": np.array([seconds]),
            }
        if case.reference is not None:
            predictions[MASK_TRICK] = situation.mask_trick()
            scores[factor, MASK_TRICK] = score(predictions[MASK_TRICK], truth, case.protocol)
        pictures[factor] = take_picture(case, situation.low, truth, {row: predictions[row] for row in rows}, BASELINE)
    whole.update(1.0)
    return Evaluation(
        target=case.truth.name or "target",
        reference=(case.reference.name or "reference") if case.reference is not None else "",
        protocol=case.protocol,
        scales=tuple(factors),
        effective=effective,
        rows=tuple(rows),
        units=tuple(case.first + plane for plane in case.planes),
        scores=scores,
        notes=notes,
        conditions=conditions(case, entries, masked, placed),
        pictures=pictures,
    )
