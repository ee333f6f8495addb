"""Text and Markdown tables from rows of cells, and the writing of numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...core.errors import InputError

FORMATS = ("markdown", "csv", "json", "text")


def check_format(format: str) -> None:
    """Raise `InputError` for a format that is not one of `FORMATS`."""
    if format not in FORMATS:
        raise InputError(f"Table format is {format!r}; expected one of {', '.join(FORMATS)}.")


def heading(format: str, level: int, text: str) -> str:
    """A heading: marked in Markdown, plain in text."""
    return f"{'#' * level} {text}" if format == "markdown" else text


def bullets(format: str, sentences: Sequence[str]) -> str:
    """One line per sentence: a list in Markdown, plain in text."""
    return "\n".join(f"{'- ' if format == 'markdown' else ''}{sentence}" for sentence in sentences)


def number(value: float, decimals: int, sign: bool = False) -> str:
    """`value` with fixed decimals, "–" where undefined, "∞" where infinite, and with a minus sign (−)."""
    if np.isnan(value):
        return "–"
    if np.isinf(value):
        return "∞" if value > 0 else "−∞"
    return f"{value:{'+' if sign else ''}.{decimals}f}".replace("-", "−")


def markdown_grid(header: list[str], rows: list[list[str]], best: list[set[int]]) -> str:
    """A Markdown table; the cells of `best` (per column, rows) are bold."""
    lines = ["| " + " | ".join(header) + " |", "| :-- |" + " --: |" * (len(header) - 1)]
    for r, row in enumerate(rows):
        cells = [f"**{cell}**" if r in best[c] else cell for c, cell in enumerate(row)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def text_grid(header: list[str], rows: list[list[str]], best: list[set[int]]) -> str:
    """The same table for a terminal; best cells have a star."""
    marked = [
        [f"{cell}{'*' if r in best[c] else ' '}" if c else cell for c, cell in enumerate(row)]
        for r, row in enumerate(rows)
    ]
    # headers wrap at their words, so that a column is little wider than its numbers
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
