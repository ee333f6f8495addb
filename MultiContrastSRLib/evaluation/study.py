"""Several subjects, pairs and scales under one protocol, and their joint statistics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from ..core.errors import InputError
from .baselines import BASELINE, BETTER
from .layout import Pair
from .metrics.catalogue import GAINS, METRICS
from .metrics.statistics import Estimate, differences, estimate
from .protocols.protocol import Protocol
from .protocols.scales import Scale, as_scale
from .results import Evaluation
from .tables.published import published_for
from .tables.study_table import write_study

_CLASSICAL = (BASELINE, "guided")


@dataclass(frozen=True)
class Study:
    """Evaluations of several subjects and pairs under one protocol.

    Attributes:
        evaluations: one per subject and pair.
        against: the row over which tables give gains, or `BETTER`.
    """

    evaluations: tuple[Evaluation, ...]
    against: str = BETTER

    @property
    def protocol(self) -> Protocol:
        """The protocol of all evaluations."""
        return self.evaluations[0].protocol

    @property
    def scales(self) -> tuple[Scale, ...]:
        """As requested."""
        return self.evaluations[0].scales

    @property
    def subjects(self) -> tuple[str, ...]:
        """Names, each once."""
        return tuple(dict.fromkeys(found.subject for found in self.evaluations))

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """(target, reference), each once."""
        return tuple(dict.fromkeys((found.target, found.reference) for found in self.evaluations))

    @property
    def rows(self) -> tuple[str, ...]:
        """Rows that every evaluation has."""
        return tuple(row for row in self.evaluations[0].rows if all(row in found.rows for found in self.evaluations))

    @cached_property
    def metrics(self) -> tuple[str, ...]:
        """Metrics that any evaluation has."""
        return self.metrics_of(None)

    def metrics_of(self, pair: Pair | None) -> tuple[str, ...]:
        """Metrics that any evaluation of `pair` has, of any pair for None."""
        evaluations = self.evaluations if pair is None else self.of(pair)
        return tuple(name for name in METRICS if any(name in found.metrics for found in evaluations))

    def of(self, pair: Pair) -> list[Evaluation]:
        """One evaluation per subject."""
        return [found for found in self.evaluations if (found.target, found.reference) == pair]

    def estimate(
        self, scale: Scale, row: str, metric: str = "psnr", baseline: str | None = None, pair: Pair | None = None
    ) -> Estimate:
        """Mean of `metric`, or of its paired difference from `baseline`, with intervals over slices and over subjects.

        Args:
            baseline: another row, or `BETTER`: sinc or guided, whichever is better in the mean of that pair and scale.
            pair: one; default the mean over all pairs, each counting once. Its interval over slices takes the mean over
                pairs of each slice as one value, for pairs of one subject do not vary independently.

        Raises:
            InputError: a row or pair that was not evaluated.
        """
        pairs = self.pairs if pair is None else (pair,)
        if pair is not None and pair not in self.pairs:
            known = ", ".join(":".join(known) for known in self.pairs)
            raise InputError(f"No pair {':'.join(pair)}; evaluated were {known}.")
        per_subject: dict[str, list[dict[int, float]]] = {}
        for each in pairs:
            against = self.better(scale, metric, each) if baseline == BETTER else baseline
            for found in self.of(each):
                if metric not in found.metrics:
                    continue
                values = found.values(scale, row, metric)
                if against is not None:
                    values = differences(values, found.values(scale, against, metric))
                units = found.units if len(values) == len(found.units) else (-1,)
                kept = {unit: float(value) for unit, value in zip(units, values, strict=True) if not np.isnan(value)}
                if kept:
                    per_subject.setdefault(found.subject, []).append(kept)
        groups, means = [], []
        for found in per_subject.values():
            shared = sorted(set(found[0]).intersection(*found[1:]))
            groups.append(np.array([np.mean([values[unit] for values in found]) for unit in shared]))
            means.append(float(np.mean([np.mean(list(values.values())) for values in found])))
        return estimate(groups, means)

    def baseline(self, scale: Scale, metric: str, pair: Pair) -> str:
        """The row that `against` is for one pair."""
        return self.better(scale, metric, pair) if self.against == BETTER else self.against

    def better(self, scale: Scale, metric: str, pair: Pair) -> str:
        """Sinc or guided, whichever has the better mean; sinc if guided was not evaluated."""
        known = [row for row in _CLASSICAL if row in self.rows]
        sign = -1 if METRICS[metric].better == "low" else 1
        return max(known, key=lambda row: sign * self.estimate(scale, row, metric, pair=pair).mean)

    def lowest(self, scale: Scale, row: str, metric: str, baseline: str) -> tuple[float, Pair]:
        """The pair with the smallest mean difference from `baseline`."""
        means = [self.estimate(scale, row, metric, baseline, pair).mean for pair in self.pairs]
        worst = int(np.nanargmin(means)) if not np.isnan(means).all() else 0
        return means[worst], self.pairs[worst]

    @property
    def description(self) -> tuple[str, ...]:
        """How the numbers were made; sentences that do not hold for all pairs name theirs."""
        titles: dict[str, list[str]] = {}
        for found in self.evaluations:
            for sentence in found.description:
                titles.setdefault(sentence, []).append(f"{found.subject} {found.title}".strip())
        sentences = [self.population]
        for sentence, names in titles.items():
            sentences.append(sentence if len(names) == len(self.evaluations) else f"{', '.join(names)}: {sentence}")
        return tuple(sentences)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is missing, each named by its subject and pair."""
        return tuple(
            f"{found.subject} {found.title}: {text}".strip() for found in self.evaluations for text in found.warnings
        )

    @property
    def population(self) -> str:
        """How many subjects there are, and what the intervals therefore are over."""
        names = ", ".join(filter(None, self.subjects))
        if len(self.subjects) == 1:
            return (
                f"1 subject{f' ({names})' if names else ''}: intervals are over its slices, which resemble each other, "
                "and say nothing about other subjects; there is no interval over subjects."
            )
        return (
            f"{len(self.subjects)} subjects ({names}): each counts once in a mean; intervals are over subjects "
            "(Student's t over subjects' means)."
        )

    def as_dict(self) -> dict:
        """Everything but the pictures, in JSON's types."""
        results = [
            self._result(pair, scale, row)
            for pair in (*self.pairs, *((None,) if len(self.pairs) > 1 else ()))
            for scale in self.scales
            for row in self.rows
        ]
        quoted = [asdict(row) for metric in METRICS for row in published_for(self.protocol, metric)]
        for row in quoted:
            row["values"] = {f"{scale:g}": value for scale, value in row["values"].items()}
        return {
            "protocol": self.protocol.as_dict(),
            "subjects": list(self.subjects),
            "pairs": [list(pair) for pair in self.pairs],
            "conditions": list(self.description),
            "results": results,
            "published_on_other_data": quoted,
            "evaluations": [found.as_dict() for found in self.evaluations],
        }

    def _result(self, pair: Pair | None, scale: Scale, row: str) -> dict:
        def plain(found: Estimate) -> dict:
            return {key: _finite(value) for key, value in asdict(found).items()}

        return {
            "pair": "mean over pairs" if pair is None else list(pair),
            "scale": scale,
            "method": row,
            "metrics": {name: plain(self.estimate(scale, row, name, None, pair)) for name in self.metrics},
            "gain": {
                name: {"over": self.against, **plain(self.estimate(scale, row, name, self.against, pair))}
                for name in GAINS
                if name in self.metrics
            },
        }

    def table(self, format: str = "markdown") -> str:
        """The papers' layout (rows methods, columns scales) as "markdown" or "text"; "csv", "json"."""
        return write_study(self, format)

    def figures(self, path: str | Path) -> dict[Path, Evaluation]:
        """The figures that `figure` draws: `path`, or for several evaluations one next to it for each."""
        path = Path(path)
        if len(self.evaluations) == 1:
            return {path: self.evaluations[0]}
        return {figure_name(path, found.subject, found.target, found.reference): found for found in self.evaluations}

    def figure(self, path: str | Path, scale: Scale | None = None) -> list[Path]:
        """Draw crops and error maps of every subject and pair at `scale` (default the middle one). Needs matplotlib."""
        return [found.figure(name, scale) for name, found in self.figures(path).items()]


def figure_name(path: Path, *parts: str) -> Path:
    """`path` with subject and pair in its name."""
    return path.with_name("-".join([path.stem, *filter(None, parts)]) + path.suffix)


def _finite(value: object) -> object:
    if isinstance(value, tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


def study_of(evaluations: Evaluation | Sequence[Evaluation]) -> Study:
    """A study of evaluations that were made separately.

    Raises:
        InputError: none, or of different protocols or scales.
    """
    listed = (evaluations,) if isinstance(evaluations, Evaluation) else tuple(evaluations)
    kinds = {(found.protocol, tuple(map(as_scale, found.scales))) for found in listed}
    if len(kinds) != 1:
        raise InputError(f"Study has {len(kinds)} kinds of protocol and scales; expected evaluations of one.")
    return Study(listed)
