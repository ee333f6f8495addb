"""Paths of the scans of several subjects: templates with {subject} and {contrast}."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..core.errors import FileReadError, InputError

# the layout of the public 3D MR image database of multiple sclerosis patients (open_ms_data), at any depth
SCANS = "**/{subject}/{contrast}_*.nii.gz"
LESIONS = "**/{subject}/GOLD_STANDARD_*.nii.gz"

Pair = tuple[str, str]  # target, reference ("" without one)


@dataclass(frozen=True)
class Layout:
    """A folder of subjects.

    Attributes:
        folder: where the templates start.
        scans: template of a scan's path below `folder`, with {subject} and {contrast}; may contain *, ? and **.
        lesions, masks: likewise, with {subject}: lesion and foreground masks, for subjects that have one.
    """

    folder: Path
    scans: str = SCANS
    lesions: str = LESIONS
    masks: str = ""

    def scan(self, subject: str, contrast: str) -> Path:
        """The one file of a contrast.

        Raises:
            FileReadError: none.
            InputError: several.
        """
        found = self._match(self.scans, subject, contrast)
        if found is None:
            raise FileReadError(
                f"No scan {self._path_text(self.scans, subject, contrast)}; expected one file. Check subject and "
                "contrast, or give another template."
            )
        return found

    def lesion_mask(self, subject: str) -> Path | None:
        """The subject's lesion mask, or None."""
        return self._match(self.lesions, subject)

    def mask(self, subject: str) -> Path | None:
        """The subject's foreground mask, or None."""
        return self._match(self.masks, subject)

    def subjects(self, contrasts: Sequence[str]) -> list[str]:
        """All subjects that have every one of `contrasts`, in alphabetical order.

        Raises:
            FileReadError: none has.
        """
        kept: set[str] | None = None
        for contrast in contrasts:
            pattern = _as_expression(self.scans, contrast)
            glob = self.scans.replace("{subject}", "*").replace("{contrast}", contrast)
            paths = [path.relative_to(self.folder).as_posix() for path in self.folder.glob(glob)]
            here = {match["subject"] for match in map(pattern.fullmatch, paths) if match}
            kept = here if kept is None else kept & here
        if not kept:
            raise FileReadError(
                f"No subject below {self.folder} has all of {', '.join(contrasts)} as {self.scans}; "
                "expected at least one. Check the folder, or give another template."
            )
        return sorted(kept)

    def _match(self, template: str, subject: str, contrast: str = "") -> Path | None:
        if not template:
            return None
        found = sorted(self.folder.glob(template.replace("{subject}", subject).replace("{contrast}", contrast)))
        if len(found) > 1:
            raise InputError(
                f"{len(found)} files match {self._path_text(template, subject, contrast)} ({found[0].name}, "
                f"{found[1].name}, …); expected one. Give a narrower template or folder."
            )
        return found[0] if found else None

    def _path_text(self, template: str, subject: str, contrast: str) -> Path:
        return self.folder / template.replace("{subject}", subject).replace("{contrast}", contrast)


def _as_expression(template: str, contrast: str) -> re.Pattern[str]:
    """A template as a regular expression that finds the subject's name."""
    parts, seen = [], False
    for piece in re.split(r"(\*\*/|\*|\?|\{subject\}|\{contrast\})", template):
        if piece == "{subject}":
            parts.append(r"(?P=subject)" if seen else r"(?P<subject>[^/]+)")
            seen = True
        else:
            known = {"**/": "(?:.*/)?", "*": "[^/]*", "?": "[^/]", "{contrast}": re.escape(contrast)}
            parts.append(known.get(piece, re.escape(piece)))
    return re.compile("".join(parts))


def parse_pairs(texts: Sequence[str]) -> tuple[Pair, ...]:
    """Pairs from text: TARGET:REFERENCE, or TARGET alone, separated by commas or as separate texts.

    >>> parse_pairs(["T2:T1,FLAIR:T1", "T1"])
    (('T2', 'T1'), ('FLAIR', 'T1'), ('T1', ''))

    Raises:
        InputError: a pair without a target, of a contrast with itself, or given twice.
    """
    pairs = []
    for text in ",".join(texts).split(","):
        target, _, reference = text.strip().partition(":")
        if not target or target == reference or (target, reference) in pairs:
            raise InputError(f"Pair is {text!r}; expected TARGET:REFERENCE, two contrasts, each pair once: T2:T1.")
        pairs.append((target, reference))
    return tuple(pairs)
