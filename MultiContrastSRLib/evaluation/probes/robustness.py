"""A probe: what a method makes of wrong references, against itself without one.

A study of the rows that `robustness_rows` makes of some methods, read by `RobustnessFindings`:

    rows = robustness_rows(["guided"])
    print(RobustnessFindings(evaluate_study(folder, methods=rows, protocol="p3")).table("text"))
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from ...core.errors import InputError
from ...methods import get
from ..method_under_test import Entry, checked_entries
from ..metrics.statistics import Estimate
from ..protocols.references import FULL, NONE, REFERENCES
from ..protocols.scales import Scale, scale_name
from ..results import BASELINE
from ..study import Study
from ..tables.evaluation_table import FORMATS, GRIDS, number, write_csv

TOLERANCE = 0.1  # dB: a wrong reference may cost no more
WRONG = tuple(kind for kind in REFERENCES if kind not in (FULL, NONE, "low"))


def robustness_rows(methods: Sequence[str | Entry]) -> list[Entry]:
    """Each of `methods` without a reference, with the right one and with each wrong one; sinc once.

    Raises:
        InputError: none of them works with and without a reference.
    """
    given = [entry for entry in checked_entries(methods) if get(entry.method).reference == "optional"]
    if not given:
        raise InputError("No method works both with and without a reference; expected one that does, as 'guided'.")
    rows = [Entry(BASELINE)]
    for entry in given:
        rows += [replace(entry, label=_row(entry.row, kind), reference=kind) for kind in (NONE, FULL, *WRONG)]
    return rows


def _row(method: str, kind: str) -> str:
    return f"{method}, reference {kind}"


@dataclass(frozen=True)
class RobustnessFindings:
    """What a study of `robustness_rows` says."""

    study: Study

    @property
    def methods(self) -> tuple[str, ...]:
        """Rows as they were called before they were multiplied."""
        ending = _row("", NONE)
        return tuple(row.removesuffix(ending) for row in self.study.rows if row.endswith(ending))

    def gain(self, scale: Scale, method: str, kind: str, metric: str = "psnr", pair=None) -> Estimate:
        """Of a reference of `kind`, over no reference; mean over pairs, or of one."""
        return self.study.estimate(scale, _row(method, kind), metric, _row(method, NONE), pair)

    def worst(self, method: str, kind: str, metric: str = "psnr") -> tuple[float, str]:
        """The smallest mean gain of any pair at any scale, and which."""
        return min(
            (self.gain(scale, method, kind, metric, pair).mean, f"{' ← '.join(pair)} ×{scale_name(scale)}")
            for pair in self.study.pairs
            for scale in self.study.scales
        )

    def holds(self, method: str) -> bool:
        """Whether no wrong reference costs more than `TOLERANCE` for any pair, at any scale."""
        return all(self.worst(method, kind)[0] >= -TOLERANCE for kind in WRONG)

    def table(self, format: str = "markdown") -> str:
        """As "markdown", "text", "csv" or "json".

        Raises:
            InputError: unknown format.
        """
        if format not in FORMATS:
            raise InputError(f"Table format is {format!r}; expected one of {', '.join(FORMATS)}.")
        if format == "csv":
            return write_csv(self.study.evaluations)
        if format == "json":
            return json.dumps({"robustness": self._as_list(), **self.study.as_dict()}, indent=2, allow_nan=False) + "\n"
        mark = "# " if format == "markdown" else ""
        bullet = "- " if format == "markdown" else ""
        scales = self.study.scales
        header = ["Method", "Reference", *(f"×{scale_name(scale)}" for scale in scales), "Lowest pair and scale"]
        rows = []
        for method in self.methods:
            base = [self.study.estimate(scale, _row(method, NONE), "psnr") for scale in scales]
            rows.append([method, "none: PSNR, dB", *(number(found.mean, 2) for found in base), ""])
            for kind in (FULL, *WRONG):
                gains = [number(self.gain(scale, method, kind).mean, 2, sign=True) for scale in scales]
                value, where = self.worst(method, kind)
                rows.append([method, kind, *gains, f"{number(value, 2, sign=True)} ({where})"])
        verdicts = [
            f"{method}: {'no' if self.holds(method) else 'a'} wrong reference costs more than {TOLERANCE:g} dB."
            for method in self.methods
        ]
        kinds = [f"{kind}: {REFERENCES[kind]}." for kind in (FULL, *WRONG)]
        said = [*verdicts, *kinds, *self.study.conditions]
        return "\n\n".join(
            [
                f"{mark}Wrong references: PSNR gain over the same method without reference, dB",
                GRIDS[format](header, rows, [set() for _ in header]),
                "\n".join(bullet + sentence for sentence in said),
            ]
        ) + "\n"  # fmt: skip

    def _as_list(self) -> list[dict]:
        return [
            {
                "method": method,
                "reference": kind,
                "scale": scale,
                "pair": list(pair),
                "gain_over_no_reference": {
                    key: None if isinstance(value, float) and value != value else value
                    for key, value in asdict(self.gain(scale, method, kind, "psnr", pair)).items()
                    if key in ("mean", "std", "slices", "subjects")
                },
            }
            for method in self.methods
            for kind in (FULL, *WRONG)
            for scale in self.study.scales
            for pair in self.study.pairs
        ]
