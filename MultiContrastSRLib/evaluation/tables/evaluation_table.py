"""Tables of an evaluation for people (Markdown, text), spreadsheets (CSV) and programs (JSON)."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ...core.errors import InputError
from ..metrics.formulas import GAINS, METRICS
from ..metrics.statistics import PairedDifference
from ..protocols.scales import Scale, scale_name
from ..results import BASELINE

if TYPE_CHECKING:
    from ..results import Evaluation

FORMATS = ("markdown", "csv", "json", "text")


def write_table(evaluation: Evaluation, format: str) -> str:
    """See `Evaluation.table`.

    Raises:
        InputError: unknown format.
    """
    if format not in FORMATS:
        raise InputError(f"Table format is {format!r}; expected one of {', '.join(FORMATS)}.")
    if format == "json":
        return json.dumps(evaluation.as_dict(), indent=2, allow_nan=False) + "\n"
    if format == "csv":
        return write_csv([evaluation])
    parts = [f"{'## ' if format == 'markdown' else ''}{evaluation.title}: {evaluation.protocol.title}"]
    for scale in evaluation.scales:
        parts.append(f"{'### ' if format == 'markdown' else ''}×{scale_name(scale)}{_effective(evaluation, scale)}")
        parts.append(GRIDS[format](*_cells(evaluation, scale)))
    parts.append("\n".join(f"{'- ' if format == 'markdown' else ''}{line}" for line in evaluation.conditions))
    return "\n\n".join(parts) + "\n"


def _effective(evaluation: Evaluation, scale: Scale) -> str:
    factors = evaluation.effective[scale]
    if all(np.abs(f - np.array(scale)).min() < 5e-4 or f == 1.0 for f in factors):
        return ""
    return " (effective " + " × ".join(f"{f:.3f}" for f in factors) + ", k × j × i)"


def number(value: float, decimals: int, sign: bool = False) -> str:
    """`value` with fixed decimals, "–" where undefined, "∞" where infinite, a true minus sign."""
    if np.isnan(value):
        return "–"
    if np.isinf(value):
        return "∞" if value > 0 else "−∞"
    return f"{value:{'+' if sign else ''}.{decimals}f}".replace("-", "−")


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


def markdown_grid(header: list[str], rows: list[list[str]], best: list[set[int]]) -> str:
    """A Markdown table; the cells of `best` (per column, rows) are bold."""
    lines = ["| " + " | ".join(header) + " |", "| :-- |" + " --: |" * (len(header) - 1)]
    for r, row in enumerate(rows):
        cells = [f"**{cell}**" if r in best[c] else cell for c, cell in enumerate(row)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def text_grid(header: list[str], rows: list[list[str]], best: list[set[int]]) -> str:
    """The same for a terminal, best cells with a star."""
    marked = [
        [f"{cell}{'*' if r in best[c] else ' '}" if c else cell for c, cell in enumerate(row)]
        for r, row in enumerate(rows)
    ]
    # headers wrap at their words, so that a column is hardly wider than its numbers
    wrapped = [_wrap(text, max(12, *(len(row[c]) for row in marked))) for c, text in enumerate(header)]
    height = max(len(lines) for lines in wrapped)
    top = [
        [lines[n - height + len(lines)] if n >= height - len(lines) else "" for lines in wrapped] for n in range(height)
    ]
    widths = [max(len(line[c]) for line in [*top, *marked]) for c in range(len(header))]

    def join(cells: list[str]) -> str:
        padded = [
            cell.rjust(width) if c else cell.ljust(width)
            for c, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return "  ".join(padded).rstrip()

    legend = ["* best of its column"] if any(best) else []
    return "\n".join([*map(join, top), "-" * (sum(widths) + 2 * (len(widths) - 1)), *map(join, marked), *legend])


def _wrap(text: str, width: int) -> list[str]:
    lines: list[str] = []
    for word in text.split(" "):
        if lines and len(lines[-1]) + 1 + len(word) <= width:
            lines[-1] += " " + word
        else:
            lines.append(word)
    return lines


GRIDS = {"markdown": markdown_grid, "text": text_grid}


def write_csv(evaluations: Sequence[Evaluation]) -> str:
    """One line per subject, pair, scale and row; cells of what does not exist are empty."""
    names = [name for name in METRICS if any(name in evaluation.metrics for evaluation in evaluations)]
    header = ["subject", "target", "reference", "protocol", "degradation", "scale"]
    header += ["effective_k", "effective_j", "effective_i", "method", "n"]
    header += [column for name in names for column in (name, f"{name}_std")]
    header += [column for name in GAINS for column in (f"{name}_gain", f"{name}_gain_low", f"{name}_gain_high")]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(header)
    for found in evaluations:
        for scale in found.scales:
            for row in found.rows:
                writer.writerow(_line(found, scale, row, names))
    return out.getvalue()


def _line(found: Evaluation, scale: Scale, row: str, names: Sequence[str]) -> list[str | int]:
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
    for name in GAINS:
        difference = found.difference(scale, row, name)
        line += [_plain(difference.mean), _plain(difference.low), _plain(difference.high)]
    return line


def _plain(value: float) -> str:
    """A number for a spreadsheet: empty where undefined."""
    return "" if np.isnan(value) else f"{value:.6g}"
