"""Descriptions of methods for the command line, the panel and the documentation, from their class attributes."""

from __future__ import annotations

from collections.abc import Iterable

from .contract import GROUPS, Method, Option

REFERENCE_TEXTS = {"none": "not used", "optional": "used when there is one", "required": "needed"}


def as_dict(method: Method) -> dict[str, object]:
    """All attributes of a method, JSON-able."""
    return {
        "name": method.name,
        "label": method.label,
        "summary": method.summary,
        "group": method.group,
        "reference": method.reference,
        "both": method.makes_companion,
        "dimensions": method.dimensions,
        "scale_range": list(method.scale_range),
        "fixed_scales": list(method.fixed_scales),
        "requires": list(method.requires),
        "devices": list(method.devices),
        "unavailable": method.unavailable(),
        "citation": method.citation,
        "options": [
            {
                "name": option.name,
                "label": option.label,
                "help": option.help,
                "type": option.type.__name__,
                "default": option.default,
                "minimum": option.minimum,
                "maximum": option.maximum,
                "choices": list(option.choices),
            }
            for option in method.options
        ],
    }


def as_text(method: Method) -> str:
    """One method as plain text for a terminal."""
    low, high = method.scale_range
    lines = [
        f"{method.name}: {method.label}",
        f"  {method.summary}",
        f"  group        {method.group}",
        f"  reference    {REFERENCE_TEXTS[method.reference]}",
        f"  scale        {low:g} to {high:g}",
        f"  devices      {', '.join(method.devices)}",
        f"  needs        {', '.join(method.requires) or 'nothing beyond the library'}",
        f"  cite         {method.citation}",
    ]
    reason = method.unavailable()
    if reason:
        lines.append(f"  unavailable  {reason}")
    lines.append("  options" if method.options else "  options      none")
    lines += [
        f"    {option.name}={option.default}  {option.help} ({option.describe_range()})" for option in method.options
    ]
    return "\n".join(lines)


def as_markdown(methods: Iterable[Method]) -> str:
    """The methods section of the documentation: a table per group, then the options."""
    chosen = list(methods)
    lines: list[str] = []
    for group in GROUPS:
        members = [method for method in chosen if method.group == group]
        if not members:
            continue
        lines += [
            "",
            f"### {group.capitalize()}",
            "",
            "| method | name | reference | when to use it |",
            "|---|---|---|---|",
        ]
        lines += [f"| {m.label} | `{m.name}` | {REFERENCE_TEXTS[m.reference]} | {m.summary} |" for m in members]
    lines += ["", "### Options and sources", ""]
    for method in chosen:
        lines.append(f"- `{method.name}`: {method.citation}.")
        lines += [f"  - `{o.name}` ({_default(o)}, {o.describe_range()}): {o.help}" for o in method.options]
    return "\n".join(lines).strip()


def _default(option: Option) -> str:
    return "empty by default" if option.default == "" else f"default `{option.default}`"
