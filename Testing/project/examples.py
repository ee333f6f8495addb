"""The examples of the documentation: blocks of shell and Python, and commands named in the text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = (
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "MultiContrastSRLib/training/README.md",
    *sorted((ROOT / "docs").glob("*.md")),
)
LANGUAGES = {"sh": "shell", "bash": "shell", "python": "python"}
FENCE = re.compile(
    r"(?:<!-- not run: (?P<reason>[^\n]+) -->\n)?```(?P<language>\w+)\n(?P<text>.*?)^```$", re.DOTALL | re.M
)
COMMAND = re.compile(r"(?:^|&& )\s*multicontrastsr (.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Example:
    """A block of code on a page.

    Attributes:
        place: page and line, for people.
        language: "shell" or "python".
        text: the code.
        not_run: why no test runs it; empty if one does.
    """

    place: str
    language: str
    text: str
    not_run: str

    def commands(self) -> list[str]:
        """The arguments of each `multicontrastsr` in a block of shell, continued lines joined."""
        return [found.removesuffix("&&") for found in COMMAND.findall(self.text.replace("\\\n", " "))]


def examples() -> list[Example]:
    """All blocks of shell and Python of all pages."""
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for block in FENCE.finditer(text):
            if block["language"] in LANGUAGES:
                line = text.count("\n", 0, block.start("text")) + 1
                place = f"{page.relative_to(ROOT).as_posix()}:{line}"
                found.append(Example(place, LANGUAGES[block["language"]], block["text"], block["reason"] or ""))
    return found


def mentions(pattern: str) -> dict[str, set[str]]:
    """What is quoted in backticks in the text of the pages and matches `pattern`: group 1 → pages."""
    found: dict[str, set[str]] = {}
    for page in PAGES:
        text = FENCE.sub("", page.read_text(encoding="utf-8"))
        for mention in re.findall(rf"`{pattern}`", text):
            found.setdefault(mention, set()).add(page.name)
    return found
