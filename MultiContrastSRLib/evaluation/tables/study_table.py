"""Tables of a study in the papers' layout: rows are methods, columns scales; published rows below ours."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from ..baselines import BASELINE, BETTER, MASK_TRICK
from ..metrics.catalogue import GAINS, METRICS
from ..protocols.scales import Scale, scale_name
from .evaluation_table import write_csv, write_evaluation
from .formats import GRIDS, bullets, check_format, heading, number
from .published import published_for

if TYPE_CHECKING:
    from ..layout import Pair
    from ..study import Study

_BRIEF = ("psnr", "psnr_brain", "ssim")  # of each pair; the mean over pairs shows the rest
_SHOWN = ("psnr", "psnr_brain", "ssim", "psnr_lesion", "psnr_rescaled", "ssim_rescaled", "mi_error", "mi_error_both")


def write_study(study: Study, format: str) -> str:
    """See `Study.table`.

    Raises:
        InputError: unknown format.
    """
    check_format(format)
    if format == "json":
        return json.dumps(study.as_dict(), indent=2, allow_nan=False) + "\n"
    if format == "csv":
        return write_csv(study.evaluations, cache(study.baseline))
    return "\n\n".join(_Writer(study, format).parts()) + "\n"


class _Writer:
    """One table after another."""

    def __init__(self, study: Study, format: str) -> None:
        self.study, self.format = study, format

    def parts(self) -> list[str]:
        """Heading, tables, description."""
        study = self.study
        several = len(study.pairs) > 1
        parts = [self._heading(1, f"{study.protocol.title} ({study.protocol.source})")]
        blocks: list[Pair | None] = [*((None,) if several else ()), *study.pairs]
        for pair in blocks:
            parts.append(self._heading(2, f"Mean over {len(study.pairs)} pairs" if pair is None else _title(pair)))
            known = study.metrics_of(pair)
            for metric in _BRIEF if pair is not None and several else _SHOWN:
                if metric not in known:
                    continue
                parts += self._values(metric, pair)
                if metric in GAINS:
                    parts += self._gains(metric, self._baseline(), pair)
        if len(study.evaluations) == 1:
            parts.append(self._heading(2, "Everything that was measured"))
            parts.append(write_evaluation(study.evaluations[0], self.format).rstrip())
            parts.append(bullets(self.format, (study.population,)))
        else:
            parts.append(bullets(self.format, study.description))
        return parts

    def _baseline(self) -> str:
        against = self.study.against
        return BASELINE if against == BETTER and "guided" not in self.study.rows else against

    def _counts(self, metric: str, pair: Pair | None) -> tuple[int, int]:
        """(values, subjects): the smallest numbers that a mean of `metric` is over."""
        study = self.study
        found = [study.estimate(scale, row, metric, None, pair) for scale in study.scales for row in study.rows]
        found = [one for one in found if one.subjects] or found
        return min(one.slices for one in found), min(one.subjects for one in found)

    def _size(self, metric: str, pair: Pair | None) -> str:
        study = self.study
        values, subjects = self._counts(metric, pair)
        each = [len(one.values(one.scales[0], BASELINE, metric)) for one in study.evaluations if metric in one.metrics]
        unit = "slice" if max(each) > 1 else "volume"
        return f"n = {values} {unit}{'s' * (values != 1)} of {subjects} subject{'s' * (subjects != 1)}"

    def _values(self, metric: str, pair: Pair | None) -> list[str]:
        kind = METRICS[metric]
        rank = {"high": 1, "low": -1}

        def cell(scale: Scale, row: str) -> tuple[str, float]:
            found = self.study.estimate(scale, row, metric, None, pair)
            spread = "" if np.isnan(found.std) else f" ± {number(found.std, kind.decimals)}"
            return number(found.mean, kind.decimals) + spread, rank[kind.better] * found.mean

        quoted = published_for(self.study.protocol, metric)
        scales = self.study.scales
        below = [
            [row.row, *(number(row.values.get(scale, np.nan), kind.decimals) for scale in scales)] for row in quoted
        ]
        if pair is not None and len(self.study.pairs) > 1:
            below = []  # quoted once, with the mean
        unit = f", {kind.unit}" if kind.unit else ""
        title = f"{kind.label}{unit}: mean ± standard deviation; {self._size(metric, pair)}"
        return [self._heading(3, title), self._grid(cell, below)]

    def _gains(self, metric: str, baseline: str, pair: Pair | None) -> list[str]:
        several = pair is None
        units = "subjects" if self._counts(metric, pair)[1] > 1 else "slices"

        def cell(scale: Scale, row: str) -> tuple[str, float]:
            found = self.study.estimate(scale, row, metric, baseline, pair)
            text = number(found.mean, 2, sign=True)
            if np.isfinite(found.interval).all():
                text += " [" + ", ".join(number(limit, 2, sign=True) for limit in found.interval) + "]"
            if several:
                value, worst = self.study.lowest(scale, row, metric, baseline)
                text += f"; {number(value, 2, sign=True)} {_title(worst)}"
            return text, found.mean

        title = f"{METRICS[metric].label} gain over {baseline}, dB [95 % CI over {units}]; {self._size(metric, pair)}"
        return [self._heading(3, title + ("; lowest pair" if several else "")), self._grid(cell, [])]

    def _grid(self, cell: Callable[[Scale, str], tuple[str, float]], below: list[list[str]]) -> str:
        study = self.study
        made = {(scale, row): cell(scale, row) for scale in study.scales for row in study.rows}
        rows = [[row, *(made[scale, row][0] for scale in study.scales)] for row in study.rows]
        best: list[set[int]] = [set()]
        for scale in study.scales:
            ranks = [np.nan if row == MASK_TRICK else made[scale, row][1] for row in study.rows]
            top = None if np.isnan(ranks).all() else np.nanmax(ranks)
            best.append({n for n, rank in enumerate(ranks) if rank == top})
        header = ["Method", *(f"×{scale_name(scale)}" for scale in study.scales)]
        return GRIDS[self.format](header, rows + below, best)

    def _heading(self, level: int, text: str) -> str:
        return heading(self.format, level, text)


def _title(pair: Pair) -> str:
    return " ← ".join(filter(None, pair))
