"""Model cards: provenance, training, validation scores and limits of weights, as JSON with a schema and as Markdown."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from ..core.errors import FileReadError
from ..io.files import replaced_together

SCHEMA = Path(__file__).with_name("card.schema.json")
_TYPES = {"string": str, "integer": int, "number": (int, float), "object": dict, "array": list, "boolean": bool}


def load_card(path: str | Path) -> dict[str, object]:
    """The card in a JSON file. Raises `FileReadError` when it cannot be read or lacks something."""
    try:
        card = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FileReadError(f"Model card {path} cannot be read ({error}). Restore the file.") from error
    for problem in problems(card):
        raise FileReadError(f"Model card {path}: {problem}. Restore the file.")
    return card


def save_card(card: Mapping[str, object], path: str | Path) -> tuple[Path, Path]:
    """Write a card as JSON at `path` and as Markdown next to it, both or neither.

    Raises:
        FileReadError: the card does not fit its schema.
        FileWriteError: not writable.
    """
    for problem in problems(card):
        raise FileReadError(f"Model card {path}: {problem}.")
    place = Path(path)
    markdown = place.with_suffix(".md")
    with replaced_together(place, markdown) as (partial, partial_text):
        partial.write_text(json.dumps(card, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        partial_text.write_text(as_markdown(card), encoding="utf-8")
    return place, markdown


def problems(card: object) -> list[str]:
    """Where a card does not fit the schema, as sentences without a full stop."""
    return list(_differences(card, json.loads(SCHEMA.read_text(encoding="utf-8")), "card"))


def _differences(value: object, schema: Mapping[str, object], place: str) -> Iterator[str]:
    """The part of JSON Schema that our schema uses: type, required, properties, additionalProperties, items."""
    kind = schema["type"]
    if not isinstance(value, _TYPES[kind]) or (isinstance(value, bool) and kind != "boolean"):
        yield f"{place} is {value!r}; expected {kind}"
    elif kind == "object":
        for name in schema.get("required", ()):
            if name not in value:
                yield f"{place} lacks {name!r}"
        known, rest = schema.get("properties", {}), schema.get("additionalProperties", True)
        for name, entry in value.items():
            if name in known:
                yield from _differences(entry, known[name], f"{place}.{name}")
            elif rest is False:
                yield f"{place} has the unknown field {name!r}"
            elif isinstance(rest, dict):
                yield from _differences(entry, rest, f"{place}.{name}")
    elif kind == "array" and "items" in schema:
        for number, entry in enumerate(value):
            yield from _differences(entry, schema["items"], f"{place}[{number}]")


def as_markdown(card: Mapping[str, object]) -> str:
    """The card in Markdown."""
    training, file = card["training"], card["file"]
    facts = [
        ("Network", f"{card['model']['network']}, {card['parameters']:,} parameters"),
        ("File", f"`{file['name']}`, {file['bytes'] / 1e6:.2f} MB, float16"),
        ("SHA-256", f"`{file['sha256']}`"),
        ("Licence", card["licence"]),
        ("Recipe", f"`{training['recipe']['name']}`"),
        ("Steps", f"{training['steps']:,} ({training['skipped']} skipped)"),
        ("Time", f"{training['seconds'] / 3600:.2f} h on {training['hardware']}"),
        ("Made with", f"MultiContrastSR {card['version']}"),
    ]
    lines = [f"# {card['title']}", "", "Research use only; not for diagnosis.", "", "| | |", "|---|---|"]
    lines += [f"| {name} | {value} |" for name, value in facts]
    lines += ["", "## Scores", "", *_score_lines(card["scores"])]
    for title, entries in (("Data", [*card["data"], *training["sources"]]), ("Limits", card["limits"])):
        lines += ["", f"## {title}", "", *(f"- {entry}" for entry in entries)]
    return "\n".join([*lines, ""])


def _score_lines(scores: Mapping[str, object]) -> list[str]:
    if not scores["validation"]:
        return ["None: the training had no validation scans."]
    lines = [f"{scores['what']} Printed by `{scores['command']}`.", ""]
    lines += ["| scale | PSNR | sinc | guided | gain over the better |", "|---|---|---|---|---|"]
    return lines + [
        f"| ×{scale} | {s['psnr']:.2f} dB | {s['sinc']:.2f} dB | {s['guided']:.2f} dB | {s['gain']:+.2f} dB |"
        for scale, s in scores["validation"].items()
    ]
