"""A probe: the effect of wrong references, compared with the same method without a reference.

`robustness_rows` multiplies methods by variants of the reference; `RobustnessFindings` reads a study of these rows:

    rows = robustness_rows(["guided"])
    print(RobustnessFindings(evaluate_study(folder, methods=rows, protocol="p3")).table("text"))
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from ...core.errors import InputError
from ...methods import get
from ..baselines import BASELINE
from ..method_under_test import MethodUnderTest, methods_under_test
from ..metrics.statistics import Estimate
from ..protocols.references import DEGRADED, FULL, NONE, REFERENCES
from ..protocols.scales import Scale, scale_name
from ..study import Study
from ..tables.formats import GRIDS, bullets, check_format, heading, number

TOLERANCE = 0.1  # dB that a wrong reference may cost
WRONG = tuple(kind for kind in REFERENCES if kind not in (FULL, NONE, DEGRADED))


def robustness_rows(methods: Sequence[str | MethodUnderTest]) -> list[MethodUnderTest]:
    """Each of `methods` without a reference, with the right one and with each wrong one; sinc once.

    Raises:
        InputError: none of them works with and without a reference.
    """
    given = [method for method in methods_under_test(methods) if get(method.method).reference == "optional"]
    if not given:
        raise InputError("No method works both with and without a reference; expected one that does, as 'guided'.")
    rows = [MethodUnderTest(BASELINE)]
    for method in given:
        rows += [replace(method, label=_row(method.row, kind), reference=kind) for kind in (NONE, FULL, *WRONG)]
    return rows


def _row(method: str, kind: str) -> str:
    return f"{method}, reference {kind}"


@dataclass(frozen=True)
class RobustnessFindings:
    """The outcome of a study of `robustness_rows`."""

    study: Study

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is missing."""
        return self.study.warnings

    @property
    def methods(self) -> tuple[str, ...]:
        """Names of the methods that `robustness_rows` was given."""
        ending = _row("", NONE)
        return tuple(row.removesuffix(ending) for row in self.study.rows if row.endswith(ending))

    def gain(
        self, scale: Scale, method: str, kind: str, metric: str = "psnr", pair: tuple[str, str] | None = None
    ) -> Estimate:
        """Gain of a reference of `kind` over no reference; mean over pairs, or of one pair."""
        return self.study.estimate(scale, _row(method, kind), metric, _row(method, NONE), pair)

    def worst(self, method: str, kind: str, metric: str = "psnr") -> tuple[float, str]:
        """The smallest mean gain of any pair at any scale, and which."""
        return min(
            (self.gain(scale, method, kind, metric, pair).mean, f"{' ← '.join(pair)} ×{scale_name(scale)}")
            for pair in self.study.pairs
            for scale in self.study.scales
        )

    def is_robust(self, method: str) -> bool:
        """Whether no wrong reference costs more than `TOLERANCE` for any pair, at any scale."""
        return all(self.worst(method, kind)[0] >= -TOLERANCE for kind in WRONG)

    def table(self, format: str = "markdown") -> str:
        """As "markdown", "text", "csv" or "json".

        Raises:
            InputError: unknown format.
        """
        check_format(format)
        if format == "csv":
            return self.study.table("csv")
        if format == "json":
            return json.dumps({"robustness": self._as_list(), **self.study.as_dict()}, indent=2, allow_nan=False) + "\n"
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
            f"{method}: {'no' if self.is_robust(method) else 'a'} wrong reference costs more than {TOLERANCE:g} dB."
            for method in self.methods
        ]
        kinds = [f"{kind}: {REFERENCES[kind]}." for kind in (FULL, *WRONG)]
        title = "Wrong references: PSNR gain over the same method without reference, dB"
        parts = [
            heading(format, 1, title),
            GRIDS[format](header, rows, [set() for _ in header]),
            bullets(format, [*verdicts, *kinds, *self.study.description]),
        ]
        return "\n\n".join(parts) + "\n"

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
