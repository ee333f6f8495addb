"""Evaluations of scans that lie on disk: every pair of every subject."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..core.errors import InputError
from ..core.progress import CancelCallback, Monitor, ProgressCallback
from ..image.volume import Volume
from .bidirectional import both_ways
from .layout import Layout, Pair
from .method_under_test import Entry
from .probes.lesion_findings import LesionFindings
from .probes.lesions import probe_lesions
from .protocols.protocol import Protocol
from .results import Evaluation
from .run import evaluate, load, settled
from .study import Study

Found = Callable[[Evaluation], None]


@dataclass(frozen=True)
class Patient:
    """One pair of one subject, found and not loaded yet."""

    subject: str
    pair: Pair
    layout: Layout

    def volumes(self) -> tuple[Volume, Volume | None]:
        """Target and reference, named by their contrasts."""
        target, reference = self.pair
        return self._scan(target), self._scan(reference) if reference else None

    def _scan(self, contrast: str) -> Volume:
        return load(self.layout.scan(self.subject, contrast)).renamed(contrast)

    def ways(self, protocol: Protocol) -> tuple[Pair, ...]:
        """The pairs that are evaluated: also the other way round where the protocol does both."""
        return (self.pair, self.pair[::-1]) if protocol.both and self.pair[1] else (self.pair,)

    @property
    def name(self) -> str:
        """For progress: T2←T1."""
        return "←".join(filter(None, self.pair))

    def regions(self) -> dict[str, Path | None]:
        """Foreground and lesion masks."""
        return {"mask": self.layout.mask(self.subject), "lesions": self.layout.lesion_mask(self.subject)}


def patients(
    layout: Layout, protocol: Protocol, subjects: Sequence[str] | None, pairs: Sequence[Pair] | None
) -> list[Patient]:
    """Every subject and pair, with all files there; of a pair both ways round one where a protocol does both anyway.

    Raises:
        InputError, FileReadError: no pairs, or files that are not there; asked before any work.
    """
    chosen = tuple(pairs or protocol.pairs)
    if not chosen:
        raise InputError(
            f"Protocol {protocol.name!r} names no pairs; expected some as TARGET:REFERENCE, for example T2:T1."
        )
    if protocol.both:
        chosen = tuple(pair for n, pair in enumerate(chosen) if pair[::-1] not in chosen[:n])
    contrasts = sorted({contrast for pair in chosen for contrast in pair if contrast})
    found = [Patient(subject, pair, layout) for subject in (subjects or layout.subjects(contrasts)) for pair in chosen]
    for patient in found:
        for contrast in filter(None, patient.pair):
            layout.scan(patient.subject, contrast)
    return found


def evaluate_study(
    layout: Layout | str | Path,
    subjects: Sequence[str] | None = None,
    pairs: Sequence[Pair] | None = None,
    *,
    methods: Sequence[str | Entry] | None = None,
    protocol: str | Protocol = "p3",
    degradation: str | None = None,
    slices: int | Sequence[int] | None = None,
    found: Found | None = None,
    progress: ProgressCallback | None = None,
    cancel: CancelCallback | None = None,
    **settings: object,
) -> Study:
    """Evaluate pairs of contrasts of several subjects.

    Args:
        layout: where the scans lie; a folder alone is taken as laid out like open_ms_data.
        subjects: default all that have every contrast.
        pairs: (target, reference); default the protocol's. Protocols that super-resolve both contrasts give two
            evaluations a pair.
        found: is told each evaluation as it is made.
        others: as in `run.evaluate`; `settings` are scales, axis, reference_axis, alone, register and device.

    Raises:
        MultiContrastSRError: as `run.evaluate`, or files that are not there.
    """
    whole = Monitor(progress, cancel, stage="load")
    whole.update(0.0)
    chosen = settled(protocol, degradation, slices)
    layout = layout if isinstance(layout, Layout) else Layout(Path(layout))
    todo = patients(layout, chosen, subjects, pairs)
    evaluations: list[Evaluation] = []
    for number, patient in enumerate(todo):
        part = whole.part(number / len(todo), (number + 1) / len(todo), patient.name)
        made = _one(patient, methods, chosen, slices, part, settings)
        for evaluation in made:
            evaluations.append(replace(evaluation, subject=patient.subject))
            if found is not None:
                found(evaluations[-1])
    return Study(tuple(evaluations))


def _one(
    patient: Patient,
    methods: Sequence[str | Entry] | None,
    protocol: Protocol,
    slices: int | Sequence[int] | None,
    monitor: Monitor,
    settings: dict[str, object],
) -> Iterable[Evaluation]:
    target, reference = patient.volumes()
    shared = {"methods": methods, "protocol": protocol, "slices": slices, **patient.regions()}
    if protocol.both and reference is not None:
        return both_ways(target, reference, **shared, **for_both(settings), **monitor.callbacks)
    return (evaluate(target, reference, **shared, **settings, **monitor.callbacks),)


def for_both(settings: dict[str, object]) -> dict[str, object]:
    """`settings` of `evaluate` as `both_ways` takes them.

    Raises:
        InputError: registration, or slices alone, which it cannot do.
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
    """`lesions.probe_lesions` for pairs of several subjects; arguments as `evaluate_study`'s."""
    whole = Monitor(progress, cancel, stage="load")
    whole.update(0.0)
    chosen = settled(protocol, degradation, slices)
    todo = patients(layout if isinstance(layout, Layout) else Layout(Path(layout)), chosen, subjects, pairs)
    parts = []
    for number, patient in enumerate(todo):
        part = whole.part(number / len(todo), (number + 1) / len(todo), patient.name)
        shared = {"protocol": chosen, "slices": slices, "subject": patient.subject, **patient.regions()}
        parts.append(probe_lesions(*patient.volumes(), **shared, **settings, **part.callbacks))
    return LesionFindings.joined(parts)
