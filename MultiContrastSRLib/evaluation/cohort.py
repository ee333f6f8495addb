"""Evaluations of scans on disk: every pair of contrasts of every subject."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..core.errors import InputError
from ..core.progress import CancelCallback, Monitor, ProgressCallback
from ..image.volume import Volume
from .bidirectional import evaluate_bidirectional
from .layout import Layout, Pair
from .method_under_test import MethodUnderTest
from .probes.lesion_findings import LesionFindings
from .probes.lesions import probe_lesions
from .protocols.protocol import Protocol, adjusted_protocol
from .results import Evaluation
from .run import evaluate, load
from .study import Study

EvaluationCallback = Callable[[Evaluation], None]


@dataclass(frozen=True)
class SubjectPair:
    """One pair of contrasts of one subject, found on disk and not loaded yet."""

    subject: str
    pair: Pair
    layout: Layout

    def volumes(self) -> tuple[Volume, Volume | None]:
        """Target and reference, named by their contrasts."""
        target, reference = self.pair
        return self._scan(target), self._scan(reference) if reference else None

    def _scan(self, contrast: str) -> Volume:
        return load(self.layout.scan(self.subject, contrast)).renamed(contrast)

    def directions(self, protocol: Protocol) -> tuple[Pair, ...]:
        """The (target, reference) that are evaluated: two if the protocol is bidirectional."""
        return (self.pair, self.pair[::-1]) if protocol.bidirectional and self.pair[1] else (self.pair,)

    @property
    def name(self) -> str:
        """For progress: T2←T1."""
        return "←".join(filter(None, self.pair))

    def regions(self) -> dict[str, Path | None]:
        """Foreground and lesion masks."""
        return {"mask": self.layout.mask(self.subject), "lesions": self.layout.lesion_mask(self.subject)}


def find_pairs(
    layout: Layout, protocol: Protocol, subjects: Sequence[str] | None, pairs: Sequence[Pair] | None
) -> list[SubjectPair]:
    """Every pair of every subject; a bidirectional protocol takes a pair that is given in both directions once.

    Raises:
        InputError, FileReadError: no pairs, or files that do not exist or may be of people who share a name; checked
            before any work.
    """
    chosen = tuple(pairs or protocol.pairs)
    if not chosen:
        raise InputError(
            f"Protocol {protocol.name!r} names no pairs; expected some as TARGET:REFERENCE, for example T2:T1."
        )
    if protocol.bidirectional:
        chosen = tuple(pair for n, pair in enumerate(chosen) if pair[::-1] not in chosen[:n])
    contrasts = sorted({contrast for pair in chosen for contrast in pair if contrast})
    names = subjects or layout.subjects(contrasts)
    found = [SubjectPair(name, pair, layout) for name in names for pair in chosen]
    for name in names:
        layout.check_one_place(name, {contrast: layout.scan(name, contrast) for contrast in contrasts})
    return found


def evaluate_study(
    layout: Layout | str | Path,
    subjects: Sequence[str] | None = None,
    pairs: Sequence[Pair] | None = None,
    *,
    methods: Sequence[str | MethodUnderTest] | None = None,
    protocol: str | Protocol = "p3",
    degradation: str | None = None,
    slices: int | Sequence[int] | None = None,
    on_evaluation: EvaluationCallback | None = None,
    progress: ProgressCallback | None = None,
    cancel: CancelCallback | None = None,
    **settings: object,
) -> Study:
    """Evaluate pairs of contrasts of several subjects.

    Args:
        layout: where the scans are; a folder alone is taken as laid out like open_ms_data.
        subjects: default all that have every contrast.
        pairs: (target, reference); default the protocol's. Bidirectional protocols give two evaluations a pair.
        on_evaluation: called with each evaluation as soon as it is done.
        others: as in `run.evaluate`; `settings` are scales, axis, reference_axis, alone, register and device.

    Raises:
        MultiContrastSRError: as `run.evaluate`, or files that do not exist.
    """
    whole = Monitor(progress, cancel, stage="load")
    whole.update(0.0)
    chosen = adjusted_protocol(protocol, degradation, slices)
    layout = layout if isinstance(layout, Layout) else Layout(Path(layout))
    todo = find_pairs(layout, chosen, subjects, pairs)
    evaluations: list[Evaluation] = []
    for number, one in enumerate(todo):
        part = whole.part(number / len(todo), (number + 1) / len(todo), one.name)
        for evaluation in _evaluate_pair(one, methods, chosen, slices, part, settings):
            evaluations.append(replace(evaluation, subject=one.subject))
            if on_evaluation is not None:
                on_evaluation(evaluations[-1])
    return Study(tuple(evaluations))


def _evaluate_pair(
    one: SubjectPair,
    methods: Sequence[str | MethodUnderTest] | None,
    protocol: Protocol,
    slices: int | Sequence[int] | None,
    monitor: Monitor,
    settings: dict[str, object],
) -> Iterable[Evaluation]:
    target, reference = one.volumes()
    shared = {"methods": methods, "protocol": protocol, "slices": slices, **one.regions()}
    calls = {"progress": monitor.report, "cancel": monitor.cancelled}
    if protocol.bidirectional and reference is not None:
        return evaluate_bidirectional(target, reference, **shared, **bidirectional_settings(settings), **calls)
    return (evaluate(target, reference, **shared, **settings, **calls),)


def bidirectional_settings(settings: dict[str, object]) -> dict[str, object]:
    """`settings` of `evaluate` as `evaluate_bidirectional` takes them.

    Raises:
        InputError: registration, or slices alone, which it does not support.
    """
    if settings.get("register", "off") != "off" or settings.get("alone"):
        raise InputError(
            "Both contrasts are super-resolved by this protocol; expected registration 'off' and slices not alone. "
            "Register the scans first."
        )
    return {key: value for key, value in settings.items() if key not in ("register", "alone")}


def probe_lesions_of(
    layout: Layout | str | Path,
    subjects: Sequence[str] | None = None,
    pairs: Sequence[Pair] | None = None,
    *,
    protocol: str | Protocol = "p3",
    degradation: str | None = None,
    slices: int | Sequence[int] | None = None,
    progress: ProgressCallback | None = None,
    cancel: CancelCallback | None = None,
    **settings: object,
) -> LesionFindings:
    """`probe_lesions` for pairs of several subjects; arguments as `evaluate_study`'s."""
    whole = Monitor(progress, cancel, stage="load")
    whole.update(0.0)
    chosen = adjusted_protocol(protocol, degradation, slices)
    todo = find_pairs(layout if isinstance(layout, Layout) else Layout(Path(layout)), chosen, subjects, pairs)
    parts = []
    for number, one in enumerate(todo):
        part = whole.part(number / len(todo), (number + 1) / len(todo), one.name)
        shared = {"protocol": chosen, "slices": slices, "subject": one.subject, **one.regions()}
        calls = {"progress": part.report, "cancel": part.cancelled}
        parts.append(probe_lesions(*one.volumes(), **shared, **settings, **calls))
    return LesionFindings.joined(parts)
