"""The outcome of the lesion probe, and its tables."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ..protocols.protocol import Protocol
from ..protocols.scales import Scale, scale_name
from ..tables.formats import GRIDS, bullets, check_format, heading, number
from .inserted_lesions import AMPLITUDE, RADII

MIN_KEPT, MAX_LEAKED = 0.95, 0.05  # the criteria
COLUMNS = {
    "kept": "Kept, %",
    **{f"kept_{radius:g}mm": f"Kept, radius {radius:g} mm, %" for radius in RADII},
    "kept_low": "Kept by 95 % of sites at least, %",
    "leaked": "Leaked, %",
    **{f"leaked_{radius:g}mm": f"Leaked, radius {radius:g} mm, %" for radius in RADII},
    "leaked_high": "Leaked by 95 % of sites at most, %",
    "leaked_rms": "Leaked, RMS, %",
    "real_kept": "Real lesions kept, %",
    "real_leaked": "Real lesions leaked, %",
}


@dataclass(frozen=True)
class LesionScores:
    """One row at one scale on one pair; arrays have one value per lesion.

    Attributes:
        row, scale: of the table.
        radius, sign: mm; +1 bright, −1 dark.
        kept: contrast of the target-only lesion in the result, in the target's units.
        sinc: the same in the sinc.
        leaked, leaked_rms: shares of the reference-only lesion; NaN for methods without reference.
        real_kept, real_leaked: of real lesions; NaN without a mask.
    """

    row: str
    scale: Scale
    radius: np.ndarray
    sign: np.ndarray
    kept: np.ndarray
    sinc: np.ndarray
    leaked: np.ndarray
    leaked_rms: np.ndarray
    real_kept: float
    real_leaked: float
    subject: str = ""
    pair: tuple[str, str] = ("", "")


@dataclass(frozen=True)
class LesionFindings:
    """The outcome over subjects, pairs, scales and rows; `warnings` say what is missing."""

    scores: tuple[LesionScores, ...]
    protocol: Protocol = field(repr=False)
    warnings: tuple[str, ...] = ()

    @classmethod
    def joined(cls, parts: Sequence[LesionFindings]) -> LesionFindings:
        """Several pairs or subjects together."""
        scores = tuple(score for part in parts for score in part.scores)
        return cls(scores, parts[0].protocol, tuple(text for part in parts for text in part.warnings))

    def shares(self, scale: Scale, row: str, pair: tuple[str, str] | None = None) -> dict[str, float]:
        """`COLUMNS` as shares (1 is all), over all lesions of all subjects, and of all pairs or one.

        Kept contrast is the sum over lesions relative to the sinc's, so that lesions of which the sinc shows almost
        nothing do not dominate.
        """
        found = [s for s in self.scores if s.row == row and s.scale == scale and pair in (None, s.pair)]
        radius, sign, kept, sinc, leaked, rms = (
            np.concatenate([getattr(score, name) for score in found])
            for name in ("radius", "sign", "kept", "sinc", "leaked", "leaked_rms")
        )

        def ratio(chosen: np.ndarray) -> float:
            below = (sign * sinc)[chosen].sum()
            return float((sign * kept)[chosen].sum() / below) if below else float("nan")

        def mean(values: np.ndarray) -> float:
            known = values[~np.isnan(values)]
            return float(known.mean()) if len(known) else float("nan")

        def part(values: np.ndarray, percent: float) -> float:
            known = values[~np.isnan(values)]
            return float(np.percentile(known, percent)) if len(known) else float("nan")

        return {
            "kept": ratio(radius > 0),
            **{f"kept_{r:g}mm": ratio(radius == r) for r in RADII},
            "kept_low": part(kept / np.where(sinc == 0, np.nan, sinc), 5),
            "leaked": mean(leaked),
            **{f"leaked_{r:g}mm": mean(leaked[radius == r]) for r in RADII},
            "leaked_high": part(leaked, 95),
            "leaked_rms": mean(rms),
            "real_kept": mean(np.array([score.real_kept for score in found])),
            "real_leaked": mean(np.array([score.real_leaked for score in found])),
        }

    def meets_criteria(self, row: str) -> bool:
        """Whether at least `MIN_KEPT` is kept and at most `MAX_LEAKED` leaked, for every pair and scale."""
        every = [self.shares(scale, row, pair) for scale in self.scales for pair in self.pairs]
        kept = min(value for found in every for key in ("kept", "real_kept") if not np.isnan(value := found[key]))
        leaks = [value for found in every for key in ("leaked", "real_leaked") if not np.isnan(value := found[key])]
        return kept >= MIN_KEPT and max(leaks, default=0.0) <= MAX_LEAKED

    @property
    def rows(self) -> tuple[str, ...]:
        """Methods."""
        return tuple(dict.fromkeys(score.row for score in self.scores))

    @property
    def scales(self) -> tuple[Scale, ...]:
        """As requested."""
        return tuple(dict.fromkeys(score.scale for score in self.scores))

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """(target, reference)."""
        return tuple(dict.fromkeys(score.pair for score in self.scores))

    @property
    def subjects(self) -> tuple[str, ...]:
        """Names."""
        return tuple(dict.fromkeys(score.subject for score in self.scores))

    def description(self) -> list[str]:
        """How the numbers were made."""
        sites = {(score.subject, score.pair): len(score.radius) for score in self.scores}
        counts = sorted(set(sites.values()))
        per = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
        criteria = (
            f"wanted are at least {100 * MIN_KEPT:g} % kept and at most {100 * MAX_LEAKED:g} % leaked, in the mean "
            "over lesions of every pair at every scale."
        )
        verdicts = [f"{row} {'passes' if self.meets_criteria(row) else 'fails'}: {criteria}" for row in self.rows]
        return [
            *verdicts,
            f"{len(self.subjects)} subject(s), {len(self.pairs)} pair(s), {per} lesions each: spheres of radius "
            f"{' and '.join(f'{radius:g}' for radius in RADII)} mm, bright and dark by {100 * AMPLITUDE:g} % of the "
            "contrast's 99.9th percentile, deep in the brain.",
            "Kept: contrast of lesions that only the target has, relative to the sinc's of them. Leaked: contrast of "
            "lesions that only the reference has, relative to theirs there, each in units of its own contrast's 99.9th "
            "percentile; absolute value, mean over lesions. RMS: the same for the root of mean squares within 4 mm.",
            "Real lesions: those of the mask, filled from their surroundings in one contrast or in both.",
            *self.warnings,
        ]

    def table(self, format: str = "markdown") -> str:
        """As "markdown", "text", "csv" (one line per subject, pair, scale, row) or "json".

        Raises:
            InputError: unknown format.
        """
        check_format(format)
        if format == "json":
            return json.dumps(self.as_dict(), indent=2, allow_nan=False) + "\n"
        if format == "csv":
            return self._csv()
        parts = [heading(format, 1, f"Lesions: {self.protocol.title}")]
        blocks = [None, *self.pairs] if len(self.pairs) > 1 else list(self.pairs)
        for pair in blocks:
            title = f"All {len(self.pairs)} pairs" if pair is None else " ← ".join(filter(None, pair))
            rows = []
            for scale in self.scales:
                for row in self.rows:
                    shares = self.shares(scale, row, pair)
                    rows.append([f"×{scale_name(scale)} {row}", *(number(100 * shares[c], 1) for c in COLUMNS)])
            columns = [c for n, c in enumerate(COLUMNS) if any(row[n + 1] != "–" for row in rows)]
            kept = [0, *(1 + list(COLUMNS).index(c) for c in columns)]
            rows = [[row[n] for n in kept] for row in rows]
            header = ["Method", *(COLUMNS[c] for c in columns)]
            parts += [heading(format, 2, title), GRIDS[format](header, rows, [set() for _ in header])]
        parts.append(bullets(format, self.description()))
        return "\n\n".join(parts) + "\n"

    def as_dict(self) -> dict:
        """In JSON's types; undefined values are None."""
        results = [
            {
                "pair": "all pairs" if pair is None else list(pair),
                "scale": scale,
                "method": row,
                "shares": {
                    key: None if np.isnan(value) else value for key, value in self.shares(scale, row, pair).items()
                },
            }
            for pair in (None, *self.pairs)
            for scale in self.scales
            for row in self.rows
        ]
        return {
            "protocol": self.protocol.name,
            "subjects": list(self.subjects),
            "holds": {row: self.meets_criteria(row) for row in self.rows},
            "conditions": self.description(),
            "results": results,
        }

    def _csv(self) -> str:
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(["subject", "target", "reference", "scale", "method", "lesions", *COLUMNS])
        for score in self.scores:
            shares = LesionFindings((score,), self.protocol).shares(score.scale, score.row)
            values = ["" if np.isnan(shares[column]) else f"{shares[column]:.6g}" for column in COLUMNS]
            scale = scale_name(score.scale).replace("×", "x")
            writer.writerow([score.subject, *score.pair, scale, score.row, len(score.radius), *values])
        return out.getvalue()
