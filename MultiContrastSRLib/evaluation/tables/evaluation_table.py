"""Tables of one evaluation as Markdown, text, CSV or JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..baselines import BASELINE
from ..metrics.catalogue import GAINS, METRICS
from ..metrics.statistics import PairedDifference
from ..protocols.scales import Scale, scale_name
from .formats import GRIDS, bullets, check_format, heading, number

if TYPE_CHECKING:
    from ..layout import Pair
    from ..results import Evaluation

BaselineOf = Callable[[Scale, str, "Pair"], str]  # scale, metric and pair → the row that gains are over


def write_evaluation(evaluation: Evaluation, format: str) -> str:
    """See `Evaluation.table`.

    Raises:
        InputError: unknown format.
    """
    check_format(format)
    if format == "json":
        return json.dumps(evaluation.as_dict(), indent=2, allow_nan=False) + "\n"
    if format == "csv":
        return write_csv([evaluation])
    parts = [heading(format, 2, f"{evaluation.title}: {evaluation.protocol.title}")]
    for scale in evaluation.scales:
        parts.append(heading(format, 3, f"×{scale_name(scale)}{_effective(evaluation, scale)}"))
        parts.append(GRIDS[format](*_cells(evaluation, scale)))
    parts.append(bullets(format, evaluation.description))
    return "\n\n".join(parts) + "\n"


def _effective(evaluation: Evaluation, scale: Scale) -> str:
    factors = evaluation.effective[scale]
    if all(np.abs(f - np.array(scale)).min() < 5e-4 or f == 1.0 for f in factors):
        return ""
    return " (effective " + " × ".join(f"{f:.3f}" for f in factors) + ", k × j × i)"


def _gain(difference: PairedDifference) -> str:
    text = number(difference.mean, 2, sign=True)
    if np.isfinite(difference.low):
        text += f" [{number(difference.low, 2, sign=True)}, {number(difference.high, 2, sign=True)}]"
    return text


def _cells(evaluation: Evaluation, scale: Scale) -> tuple[list[str], list[list[str]], list[set[int]]]:
    """Header, rows of text, and per column the rows that are best."""
    header, columns, best = ["Method"], [list(evaluation.rows)], [set()]
    for name in evaluation.metrics:
        metric = METRICS[name]
        header.append(f"{metric.label} ({metric.unit})" if metric.unit else metric.label)
        means = np.array([evaluation.mean(scale, row, name) for row in evaluation.rows])
        texts = [number(value, metric.decimals) for value in means]
        columns.append(texts)
        rank = {"high": means, "low": -means, "one": -np.abs(means - 1)}[metric.better]
        top = None if np.isnan(rank).all() or name == "seconds" else texts[int(np.nanargmax(rank))]
        best.append({r for r, text in enumerate(texts) if text == top})
        if name in GAINS:
            header.append(f"Δ{metric.label} over {BASELINE} ({metric.unit}) [95 % CI]")
            differences = [evaluation.difference(scale, row, name) for row in evaluation.rows]
            columns.append(
                ["" if row == BASELINE else _gain(d) for row, d in zip(evaluation.rows, differences, strict=True)]
            )
            best.append(set())
    return header, [list(row) for row in zip(*columns, strict=True)], best


def _over_sinc(scale: Scale, metric: str, pair: Pair) -> str:
    return BASELINE


def write_csv(evaluations: Sequence[Evaluation], baseline_of: BaselineOf = _over_sinc) -> str:
    """One line per subject, pair, scale and row, gains over the row that they name; undefined cells are empty."""
    names = [name for name in METRICS if any(name in evaluation.metrics for evaluation in evaluations)]
    header = ["subject", "target", "reference", "protocol", "degradation", "scale"]
    header += ["effective_k", "effective_j", "effective_i", "method", "n"]
    header += [column for name in names for column in (name, f"{name}_std")]
    gains = [name for name in names if name in GAINS]
    header += [f"{name}_gain{part}" for name in gains for part in ("", "_low", "_high", "_over")]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(header)
    for found in evaluations:
        for scale in found.scales:
            for row in found.rows:
                writer.writerow(_line(found, scale, row, names, gains, baseline_of))
    return out.getvalue()


def _line(
    found: Evaluation, scale: Scale, row: str, names: Sequence[str], gains: Sequence[str], baseline_of: BaselineOf
) -> list[str | int]:
    protocol = found.protocol
    line: list[str | int] = [found.subject, found.target, found.reference, protocol.name, protocol.degradation]
    line += [scale_name(scale).replace("×", "x"), *(f"{factor:.6g}" for factor in found.effective[scale])]
    line += [row, len(found.units)]
    for name in names:
        if name not in found.metrics:
            line += ["", ""]
            continue
        values = found.values(scale, row, name)
        finite = values[np.isfinite(values)]
        spread = finite.std(ddof=1) if len(finite) > 1 else float("nan")
        line += [_plain(found.mean(scale, row, name)), _plain(spread)]
    for name in gains:
        if name not in found.metrics:
            line += ["", "", "", ""]
            continue
        baseline = baseline_of(scale, name, (found.target, found.reference))
        difference = found.difference(scale, row, name, baseline)
        line += [_plain(difference.mean), _plain(difference.low), _plain(difference.high), baseline]
    return line


def _plain(value: float) -> str:
    """A number for a spreadsheet: empty where undefined."""
    return "" if np.isnan(value) else f"{value:.6g}"
