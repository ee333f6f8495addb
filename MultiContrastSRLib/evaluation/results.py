"""The outcome of an evaluation: scores per slice or volume, not averaged, so that any statistic can follow."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from ..core.errors import InputError
from ..io.files import replaced_together
from ..io.formats import FIGURES, check_figure
from .baselines import BASELINE
from .metrics.catalogue import GAINS, METRICS
from .metrics.statistics import PairedDifference, paired_difference
from .protocols.protocol import Protocol
from .protocols.scales import Scale, as_scale, scale_name
from .tables.evaluation_table import write_evaluation
from .tables.figure import draw_figure
from .tables.picture import Picture


@dataclass(frozen=True)
class Evaluation:
    """Scores of one target (and reference) under one protocol.

    Attributes:
        target, reference: names of the contrasts (`reference` may be empty).
        protocol: with the degradation that was used.
        scales: as requested; `effective` holds each after rounding to whole samples, (k, j, i).
        rows: methods and baselines, in table order.
        units: indices of the scored planes in the volume that was given.
        scores: (scale, row) → metric name (see `metrics.METRICS`) → one value per unit, or one per volume.
        notes: (scale, row) → sentences of the method's report.
        description: sentences that say how the numbers were made.
        warnings: those of them that say what is missing.
        pictures: scale → one slice.
        subject: whose scans; empty if not given.
    """

    target: str
    reference: str
    protocol: Protocol
    scales: tuple[Scale, ...]
    effective: dict[Scale, tuple[float, float, float]]
    rows: tuple[str, ...]
    units: tuple[int, ...]
    scores: dict[tuple[Scale, str], dict[str, np.ndarray]]
    notes: dict[tuple[Scale, str], tuple[str, ...]] = field(default_factory=dict)
    description: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    pictures: dict[Scale, Picture] = field(default_factory=dict)
    subject: str = ""

    @property
    def title(self) -> str:
        """Target ← reference, or the target alone."""
        return f"{self.target} ← {self.reference}" if self.reference else self.target

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics that have a value anywhere, in table order."""
        return tuple(
            name
            for name in METRICS
            if any(not np.isnan(found[name]).all() for found in self.scores.values() if name in found)
        )

    def values(self, scale: Scale, row: str, metric: str) -> np.ndarray:
        """One value per unit (slice), or a single one for metrics of the whole volume.

        Raises:
            InputError: a scale, row or metric that was not evaluated.
        """
        key = as_scale(scale), row
        if key not in self.scores or metric not in self.metrics:
            scales = ", ".join(scale_name(known) for known in self.scales)
            raise InputError(
                f"No {metric!r} of {row!r} at ×{scale_name(key[0])}; evaluated were scales {scales}, "
                f"rows {', '.join(self.rows)}, metrics {', '.join(self.metrics)}."
            )
        return self.scores[key].get(metric, np.array([np.nan]))  # rows that are no method lack some metrics

    def mean(self, scale: Scale, row: str, metric: str) -> float:
        """Mean over the units that have the metric; NaN if none has, infinite if a prediction is the truth."""
        values = self.values(scale, row, metric)
        values = values[~np.isnan(values)]
        return float(values.mean()) if len(values) else float("nan")

    def difference(self, scale: Scale, row: str, metric: str = "psnr", baseline: str = BASELINE) -> PairedDifference:
        """`row` minus `baseline`, paired by unit, with a 95 % confidence interval."""
        return paired_difference(self.values(scale, row, metric), self.values(scale, baseline, metric))

    def as_dict(self) -> dict:
        """Everything but the pictures, in JSON's types; values that are not finite become None."""

        def plain(value: float) -> float | None:
            return float(value) if np.isfinite(value) else None

        def metrics_of(scale: Scale, row: str) -> dict:
            return {
                name: {
                    "mean": plain(self.mean(scale, row, name)),
                    "values": [plain(value) for value in self.values(scale, row, name)],
                }
                for name in self.metrics
            }

        def gains_of(scale: Scale, row: str) -> dict:
            return {
                name: {key: plain(value) for key, value in asdict(self.difference(scale, row, name)).items()}
                for name in GAINS
                if name in self.metrics
            }

        results = [
            {
                "scale": scale,
                "effective_scale": list(self.effective[scale]),
                "method": row,
                "metrics": metrics_of(scale, row),
                f"gain_over_{BASELINE}": gains_of(scale, row),
                "notes": list(self.notes.get((scale, row), ())),
            }
            for scale in self.scales
            for row in self.rows
        ]
        return {
            "subject": self.subject,
            "target": self.target,
            "reference": self.reference,
            "protocol": self.protocol.as_dict(),
            "slices": list(self.units),
            "conditions": list(self.description),
            "results": results,
        }

    def table(self, format: str = "markdown") -> str:
        """The results as "markdown" or "text" (one table per scale), "csv" (one line per scale and row) or "json"."""
        return write_evaluation(self, format)

    def figure(self, path: str | Path, scale: Scale | None = None, rows: tuple[str, ...] | None = None) -> Path:
        """Draw crops and error maps of one slice to `path` (.png, .pdf, .svg). Needs matplotlib.

        Args:
            scale: default the middle one evaluated.
            rows: default all.
        """
        path = Path(path)
        check_figure(path)
        chosen = self.scales[len(self.scales) // 2] if scale is None else as_scale(scale)
        if chosen not in self.pictures:
            known = ", ".join(f"×{scale_name(scale)}" for scale in self.scales)
            raise InputError(f"No picture at ×{scale_name(chosen)}; evaluated were {known}.")
        return draw_figure(self, chosen, path, rows)

    def save(self, path: str | Path) -> Path:
        """Write a table (.md, .csv, .json, .txt) or the figure (.png, .pdf, .svg), by the suffix of `path`.

        Raises:
            InputError: another suffix.
            FileWriteError: the file could not be written; nothing is left behind.
        """
        path = Path(path)
        formats = {".md": "markdown", ".csv": "csv", ".json": "json", ".txt": "text"}
        if path.suffix in FIGURES:
            return self.figure(path)
        if path.suffix not in formats:
            raise InputError(
                f"Output is {path.name!r}; expected a name ending in {', '.join(formats)} (tables) "
                f"or {', '.join(FIGURES)} (figure)."
            )
        text = self.table(formats[path.suffix])
        with replaced_together(path) as (partial,):
            partial.write_text(text, encoding="utf-8")
        return path
