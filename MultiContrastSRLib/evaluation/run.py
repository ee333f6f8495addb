"""Run methods on degraded truth and score them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from ..core.progress import CancelCallback, Monitor, ProgressCallback
from ..image.volume import Volume
from ..io import load_volume
from .baselines import BASELINE, MASK_TRICK
from .method_under_test import MethodUnderTest, methods_under_test
from .metrics.scoring import Truth, score
from .prediction import DegradedCase, Prediction, predict
from .protocols.case import Case, make_case
from .protocols.protocol import Protocol, adjusted_protocol
from .protocols.scales import Scale, checked_scales
from .results import Evaluation
from .tables.description import describe
from .tables.picture import Picture, take_picture

ExtraScores = Callable[[Scale, str, Prediction, Truth], dict[str, np.ndarray]]


def evaluate(
    target: Volume | str | Path,
    reference: Volume | str | Path | None = None,
    *,
    methods: Sequence[str | MethodUnderTest] | None = None,
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
        methods: names or `MethodUnderTest`s; default all classical methods. Sinc, the baseline, is added if missing.
        protocol: "p1" to "p4" (see `protocols.protocol.PROTOCOLS`) or a `Protocol`. Of p4 this is one direction, see
            `evaluate_bidirectional`.
        scales: real factors above 1, each one number or (rows, columns) in plane; default the protocol's.
        degradation: "kspace" (in plane), "slab", "spline" or "subsample" (across the slices), see `degrade`; default
            the protocol's.
        axis: the slice axis: 0, 1, 2, "k", "j", "i", or "axial", "coronal", "sagittal"; default the protocol's
            view, else the volume's own, k for isotropic volumes. Scored are these slices, or planes perpendicular to
            them if detail across slices was lost.
        reference_axis: the reference's slice axis, if the protocol degrades it too (p4); default "coronal".
        mask: foreground; default found in the truth, see `regions.head_mask`.
        lesions: lesion mask; adds lesion metrics.
        slices: every how-manyth plane to score, or their indices; default the protocol's. Planes with less than
            2 % foreground are never scored.
        alone: degrade and prepare each scored slice by itself: several times faster if few slices of many are scored,
            and the case of single-slice data, but no method then sees a slice's neighbours.
        register: "off", "auto" or "on": rigid registration of the reference to the degraded target, once a scale.
        device: as in `super_resolve`.
        progress, cancel: see `MultiContrastSRLib.core.progress`.

    Raises:
        InputError, UnknownNameError: arguments that do not fit; the message says which.
        CancelledError: `cancel()` returned True.
    """
    whole = Monitor(progress, cancel, stage="load")
    whole.update(0.0)
    chosen = adjusted_protocol(protocol, degradation, slices)
    factors = checked_scales(chosen.scales if scales is None else scales)
    tested = methods_under_test(methods)
    case = load_case(target, reference, chosen, axis, mask, lesions, slices, alone)
    return evaluate_case(case, tested, factors, reference_axis, register, device, mask is not None, whole)


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
    return load_volume(source, labels=labels)


def evaluate_case(
    case: Case,
    methods: Sequence[MethodUnderTest],
    scales: Sequence[Scale],
    reference_axis: int | str | None,
    register: str,
    device: str,
    masked: bool,
    monitor: Monitor,
    extra_scores: ExtraScores | None = None,
) -> Evaluation:
    """Scores of `methods` on `case`.

    Args:
        masked: whether the foreground was given.
        extra_scores: called with every scale, row, prediction and truth; returns more scores of it.
    """
    rows = [method.row for method in methods]
    if case.reference is not None:
        rows.insert(rows.index(BASELINE) + 1, MASK_TRICK)
    scores: dict[tuple[Scale, str], dict[str, np.ndarray]] = {}
    notes: dict[tuple[Scale, str], tuple[str, ...]] = {}
    effective: dict[Scale, tuple[float, float, float]] = {}
    references: dict[Scale, tuple[str, ...]] = {}
    pictures: dict[Scale, Picture] = {}
    for number, scale in enumerate(scales):
        degraded = DegradedCase(case, scale, reference_axis, register)
        part = monitor.part(number / len(scales), (number + 1) / len(scales), degraded.name)
        effective[scale] = degraded.effective_scale
        truth = Truth.of(case, degraded.other_truth(part.part(0.0, 0.1)))
        references[scale] = degraded.reference().description
        predictions: dict[str, np.ndarray] = {}
        for index, method in enumerate(methods):
            span = [0.1 + 0.9 * (index + n) / len(methods) for n in (0, 1)]
            begin = time.perf_counter()
            made = predict(method, degraded, device, part.part(*span, f"{degraded.name} {method.row}"))
            seconds = time.perf_counter() - begin
            predictions[method.row], notes[scale, method.row] = made.slices, made.notes
            scores[scale, method.row] = {
                **score(made.slices, truth, case.protocol),
                **(extra_scores(scale, method.row, made, truth) if extra_scores else {}),
                "seconds": np.array([seconds]),
            }
        if case.reference is not None:
            predictions[MASK_TRICK] = degraded.masked_sinc()
            scores[scale, MASK_TRICK] = score(predictions[MASK_TRICK], truth, case.protocol)
        pictures[scale] = take_picture(case, degraded.low, truth, {row: predictions[row] for row in rows})
    monitor.update(1.0)
    return Evaluation(
        target=case.truth.name or "target",
        reference=(case.reference.name or "reference") if case.reference is not None else "",
        protocol=case.protocol,
        scales=tuple(scales),
        effective=effective,
        rows=tuple(rows),
        units=tuple(case.first + plane for plane in case.planes),
        scores=scores,
        notes=notes,
        description=(*describe(case, methods, masked, references), *case.warnings),
        warnings=case.warnings,
        pictures=pictures,
    )
