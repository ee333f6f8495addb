"""Evaluation of the subjects of a cohort by an engine: those that are incomplete are left out, and named."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..core.errors import FileReadError, MultiContrastSRError
from ..core.progress import Monitor
from ..evaluation.cohort import EvaluationCallback, evaluate_study, find_pairs
from ..evaluation.layout import Layout, Pair
from ..evaluation.protocols.protocol import Protocol, adjusted_protocol
from ..evaluation.results import Evaluation
from ..evaluation.study import Study
from .engine import Engine, Task


@dataclass(frozen=True)
class Cohort:
    """Subjects of an evaluation.

    Attributes:
        complete: those whose scans are all there.
        left_out: the others: name → sentence why.
    """

    complete: tuple[str, ...]
    left_out: Mapping[str, str]


def find_cohort(
    layout: Layout, subjects: Sequence[str] | None, pairs: Sequence[Pair] | None, settings: Mapping[str, Any]
) -> Cohort:
    """The given subjects, or all that have any of the contrasts, apart by whether their scans are complete.

    Args:
        pairs, settings: as `evaluation.evaluate_study` takes them.

    Raises:
        FileReadError, InputError: no subject is complete.
    """
    protocol = adjusted_protocol(settings["protocol"], settings.get("degradation"), settings.get("slices"))
    contrasts = sorted({contrast for pair in pairs or protocol.pairs for contrast in pair if contrast})
    found: set[str] = set(subjects or ())
    for contrast in contrasts if subjects is None else ():
        found.update(_subjects_with(layout, contrast))
    complete: list[str] = []
    left_out: dict[str, str] = {}
    for name in sorted(found):
        problem = _problem(layout, name, protocol, pairs)
        if problem is None:
            complete.append(name)
        else:
            left_out[name] = problem
    if not complete:
        find_pairs(layout, protocol, subjects, pairs)  # raises, and says what was looked for
    return Cohort(tuple(complete), left_out)


def evaluate_cohort(
    layout: Layout,
    cohort: Cohort,
    pairs: Sequence[Pair] | None,
    engine: Engine,
    settings: Mapping[str, Any],
    on_evaluation: EvaluationCallback = lambda evaluation: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> tuple[Study, Mapping[str, str]]:
    """Evaluate every complete subject; (the study, subjects that were left out: name → sentence why).

    Args:
        pairs, settings: as `evaluation.evaluate_study` takes them.

    Raises:
        MultiContrastSRError: of a subject, where all of them fail.
        CancelledError: `cancelled()` returned True.
    """
    function = f"{__name__}:evaluate_subject"
    tasks = [Task(name, function, (layout, name, pairs, dict(settings))) for name in cohort.complete]
    done: dict[str, tuple[Evaluation, ...]] = {}
    failed: dict[str, Exception] = {}
    for event in engine.run(tasks, cancelled):
        if event.kind == "result":
            done[event.name] = event.value
            for evaluation in event.value:
                on_evaluation(evaluation)
        elif event.kind == "error":
            failed[event.name] = event.value
    if not done:
        raise next(iter(failed.values()))
    evaluations = tuple(evaluation for name in cohort.complete for evaluation in done.get(name, ()))
    return Study(evaluations), {**cohort.left_out, **{name: str(error) for name, error in failed.items()}}


def evaluate_subject(
    layout: Layout, subject: str, pairs: Sequence[Pair] | None, settings: Mapping[str, Any], monitor: Monitor
) -> tuple[Evaluation, ...]:
    """The evaluations of one subject; what engines call."""
    study = evaluate_study(layout, [subject], pairs, **settings, progress=monitor.report, cancel=monitor.cancelled)
    return study.evaluations


def _subjects_with(layout: Layout, contrast: str) -> list[str]:
    try:
        return layout.subjects([contrast])
    except FileReadError:
        return []


def _problem(layout: Layout, subject: str, protocol: Protocol, pairs: Sequence[Pair] | None) -> str | None:
    """Why the pairs of a subject are not complete; None where they are."""
    try:
        find_pairs(layout, protocol, [subject], pairs)
    except MultiContrastSRError as error:
        return str(error)
    return None
