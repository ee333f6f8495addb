"""Pages of a study for people: one a subject with pictures, warnings and provenance, and a sortable table of all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from urllib.parse import quote

from .._version import __version__
from .derivative import KEY, read_sidecar
from .naming import picture_output
from .recipe import Recipe
from .records import MISSING, ImageRecord, Record

NAME = "batch.html"
_STATEMENT = "Research use only; not for diagnosis. Images are super-resolved, not acquired."
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 76em; padding: 0 1em; color: #222; }
table { border-collapse: collapse; margin: 1em 0; }
th, td { padding: .3em .8em; text-align: left; vertical-align: top; white-space: nowrap; }
th { border-bottom: 2px solid #888; } td { border-bottom: 1px solid #ddd; } th[data-sort] { cursor: pointer; }
th[data-sort]::after { content: " \\2195"; color: #999; } img { max-width: 100%; background: #000; display: block; }
.failed { color: #b00020; } .done { color: #1b6e2d; }
.warning { background: #fff4d6; padding: .4em .8em; margin: .3em 0; }
.error { background: #fde4e4; padding: .4em .8em; margin: .3em 0; } figure { margin: 1em 0; } code { font-size: .9em; }
td.wide { min-width: 20em; max-width: 40em; overflow-wrap: anywhere; white-space: normal; }
"""
_SORT = """
for (const head of document.querySelectorAll("th[data-sort]")) head.onclick = () => {
  const body = head.closest("table").tBodies[0], column = head.cellIndex, up = head.dataset.sort !== "up";
  const key = row => row.cells[column].dataset.value ?? row.cells[column].textContent;
  const order = (a, b) => key(a).localeCompare(key(b), undefined, { numeric: true });
  [...body.rows].sort((a, b) => up ? order(a, b) : order(b, a)).forEach(row => body.append(row));
  head.dataset.sort = up ? "up" : "down";
};
"""


def of_study(records: Sequence[Record], recipe: Recipe, source: str) -> str:
    """The page of the study: counts, settings, and a table of the subjects that can be sorted."""
    states = [record.state for record in records]
    counts = ", ".join(f"{states.count(state)} {state}" for state in sorted(set(states)))
    rows = [
        [
            _link(f"{record.name}.html", record.name) if record.images else escape(record.name),
            f'<span class="{record.state}">{record.state}</span>',
            _lines(f"{image.target} ← {image.reference or 'no reference'}" for image in record.images),
            _failure(record) + _lines(record.warnings),
            _lines(f"{i.similarity:.3f}" for i in record.images if i.similarity is not None),
            f"{record.seconds:.1f}" if record.started else "",
        ]
        for record in records
    ]
    heads = ("Subject", "State", "Images", "Failures and warnings", "Similarity, nats", "Time, s")
    settings = [
        [escape(key), escape(_words(value))]
        for key, value in recipe.as_dict().items()
        if value is not None and value not in ([], {})
    ]
    body = [
        f"<p>{len(records)} subjects: {counts}. Input: <code>{escape(source)}</code>.</p>",
        _table(heads, rows, wide=(3,), sortable=True),
        "<h2>Settings</h2>",
        _table(("Setting", "Value"), settings),
    ]
    return _document("Super-resolved study", body)


def of_subject(output: Path, record: Record) -> str:
    """The page of a subject: for each image its warnings, pictures, and of what and how it was made."""
    body = [
        f'<p><a href="{NAME}">All subjects</a></p>',
        f'<p>State: <span class="{record.state}">{record.state}</span>. '
        f"Started {escape(_time(record.started) or 'never')} on {escape(record.host or 'no computer')}, "
        f"{record.seconds:.1f} s." + (f" Log: {_link(record.log, record.log)}.</p>" if record.log else "</p>"),
    ]
    for image in record.images:
        body += _section(output, image)
    return _document(record.name, body)


def _section(output: Path, image: ImageRecord) -> Iterable[str]:
    title = f"{image.target} with {image.reference}" if image.reference else image.target
    yield f"<h2>{escape(title)}</h2>"
    if image.message:
        yield f'<p class="error">{escape(image.message)} {escape(image.remedy)}</p>'
        return
    for text in image.warnings:
        yield f'<p class="warning">{escape(text)}</p>'
    if image.state == MISSING:
        return
    for kind, caption in (
        ("before-after", "Above the acquired scan, below the result: axial, coronal, sagittal."),
        ("edges", "Edges of the reference, where it was placed for the run, on the acquired scan."),
    ):
        name = picture_output(image.output, kind)
        if (output / name).is_file():
            yield f'<figure><img src="{quote(name)}" alt="{caption}"><figcaption>{caption}</figcaption></figure>'
    sidecar = read_sidecar(output / image.output)
    if sidecar is not None:
        yield _table(("", ""), [[escape(key), escape(text)] for key, text in _provenance(image, sidecar).items()])


def _provenance(image: ImageRecord, sidecar: Mapping) -> dict[str, str]:
    ours = sidecar[KEY]
    report = ours["Report"]
    alignment, consistency = report["alignment"], report["consistency"]
    rows = {
        "Result": image.output,
        "Method": f"{report['method']} {_words(report['options'])}",
        "Resolution": sidecar["Resolution"],
        "Device": report["device"],
        "Data consistency": _residuals(consistency),
        "Software": _words(ours["Software"]),
    }
    if ours["WeightsSHA256"]:
        rows["Weights, SHA-256"] = " ".join(ours["WeightsSHA256"])
    if "displacement_mm" in alignment:
        how = f"moved by {alignment['displacement_mm']:.2f} mm" if alignment["registered"] else "not moved"
        rows["Registration"] = f"reference {how}; similarity {alignment['similarity']:.3f} nats"
    for each in ours["Inputs"]:
        rows[f"Input, {each['role']}"] = f"{each['path']} (SHA-256 {each['sha256']}) {_words(each['stated'])}"
    for note in report["notes"]:
        rows["Notes"] = " ".join(filter(None, (rows.get("Notes"), note)))
    return rows


def _residuals(consistency: Mapping) -> str:
    """The difference to the acquired data, see `acquisition.consistency.ConsistencyReport`."""
    if consistency.get("residual_after") is None:
        return _words(consistency.get("mode", "off"))
    before, after = consistency["residual_before"], consistency["residual_after"]
    return f"{consistency['mode']}; residual {100 * after:.2g} % of the scan, without it {100 * before:.2g} %"


def _document(title: str, body: Iterable[str]) -> str:
    return "\n".join(
        [
            "<!DOCTYPE html>",
            f'<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>',
            f"<style>{_STYLE}</style></head><body>",
            f"<h1>{escape(title)}</h1>",
            *body,
            f"<p>MultiContrastSR {__version__}. {_STATEMENT}</p>",
            f"<script>{_SORT}</script></body></html>\n",
        ]
    )


def _failure(record: Record) -> str:
    """What failed, and the remedy, as a paragraph of its own; empty where nothing did."""
    text = " ".join(filter(None, (record.message, record.remedy)))
    return f'<div class="failed">{escape(text)}</div>' if text else ""


def _lines(texts: Iterable[str]) -> str:
    return "<br>".join(map(escape, texts))


def _table(
    heads: Sequence[str], rows: Iterable[Sequence[str]], *, wide: Sequence[int] = (1,), sortable: bool = False
) -> str:
    """A table; the columns `wide` may break their lines."""
    mark = ' data-sort=""' if sortable else ""
    head = "".join(f"<th{mark}>{escape(text)}</th>" for text in heads)
    kinds = [' class="wide"' if column in wide else "" for column in range(len(heads))]
    lines = (
        "<tr>" + "".join(f"<td{kind}>{cell}</td>" for kind, cell in zip(kinds, row, strict=True)) + "</tr>"
        for row in rows
    )
    top = f"<thead><tr>{head}</tr></thead>" if any(heads) else ""
    return f"<table>{top}<tbody>{''.join(lines)}</tbody></table>"


def _link(target: str, text: str) -> str:
    return f'<a href="{quote(target)}">{escape(text)}</a>'


def _time(started: str) -> str:
    """An ISO 8601 date and time in UTC, for people.

    >>> _time("2026-11-26T20:42:10+00:00")
    '2026-11-26 20:42:10 UTC'
    """
    return started.replace("T", " ").replace("+00:00", " UTC")


def _words(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_words(each)}" for key, each in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_words, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)
