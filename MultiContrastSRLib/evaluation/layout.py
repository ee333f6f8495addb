"""Paths of the scans of several subjects: templates with {subject} and {contrast}."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..core.errors import FileReadError, InputError

# the layout of the public 3D MR image database of multiple sclerosis patients (open_ms_data), at any depth
SCANS = "**/{subject}/{contrast}_*.nii.gz"
LESIONS = "**/{subject}/GOLD_STANDARD_*.nii.gz"

Pair = tuple[str, str]  # target, reference ("" without one)
_WILDCARD = re.compile(r"\*\*/|\*|\?")
_PIECE = re.compile(rf"({_WILDCARD.pattern}|\{{subject\}}|\{{contrast\}})")


@dataclass(frozen=True)
class Layout:
    """A folder of subjects.

    Attributes:
        folder: where the templates start.
        scans: template of a scan's path below `folder`, with {subject} and {contrast}; may contain *, ? and **. What
            these stand for up to the subject is the same for all scans of a subject, see `check_one_place`.
        lesions, masks: likewise, with {subject}: lesion and foreground masks, for subjects that have one.
        ignored: a folder below `folder` whose files are no scans.
    """

    folder: Path
    scans: str = SCANS
    lesions: str = LESIONS
    masks: str = ""
    ignored: Path | None = None

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
            paths = [path.relative_to(self.folder).as_posix() for path in self._glob(self.scans, None, contrast)]
            here = {match["subject"] for match in map(pattern.fullmatch, paths) if match}
            kept = here if kept is None else kept & here
        if not kept:
            raise FileReadError(
                f"No subject below {self.folder} has all of {', '.join(contrasts)} as {self.scans}; "
                "expected at least one. Check the folder, or give another template."
            )
        return sorted(kept)

    def check_one_place(self, subject: str, scans: Mapping[str, Path]) -> None:
        """Raise where the scans (contrast → path) and masks of `subject` may be of people who share a name.

        Wildcards up to the subject, as in "*/{subject}/{contrast}.nii.gz", must stand for the same in all of them.

        Raises:
            InputError: they do not.
        """
        regions = ((template, "", self._match(template, subject)) for template in (self.lesions, self.masks))
        found = [*((self.scans, contrast, path) for contrast, path in scans.items()), *regions]
        places: dict[str, tuple[Path, tuple[str, ...]]] = {}
        for template, contrast, path in found:
            if path is None:
                continue
            head = _head(template)
            place = self._place(template, head, path, contrast, subject)
            first = places.setdefault(head, (path, place))
            if first[1] != place:
                raise InputError(
                    f"Scans of subject {subject!r} lie in different places, {first[0]} and {path}; expected the same "
                    f"for the wildcards of {head} in all of them, since these may be different people of one name. "
                    "Give a template or folder of one place, or {contrast} for a wildcard that stands for the contrast."
                )

    def _place(self, template: str, head: str, path: Path, contrast: str, subject: str) -> tuple[str, ...]:
        """What the wildcards in the part `head` of a template stand for in `path`."""
        match = _as_expression(template, contrast, subject).fullmatch(path.relative_to(self.folder).as_posix())
        return match.groups()[: len(_WILDCARD.findall(head))] if match else ()

    def _match(self, template: str, subject: str, contrast: str = "") -> Path | None:
        if not template:
            return None
        found = sorted(self._glob(template, subject, contrast))
        if len(found) > 1:
            raise InputError(
                f"{len(found)} files match {self._path_text(template, subject, contrast)} ({found[0].name}, "
                f"{found[1].name}, …); expected one. Give a narrower template or folder."
            )
        return found[0] if found else None

    def _glob(self, template: str, subject: str | None, contrast: str) -> Iterable[Path]:
        """Files that match a template, of all subjects for None. Only wildcards of the template are wildcards."""
        known = {"{subject}": "*" if subject is None else glob.escape(subject), "{contrast}": glob.escape(contrast)}
        pieces = _PIECE.split(template)
        pattern = "".join(p if _WILDCARD.fullmatch(p) else known.get(p, glob.escape(p)) for p in pieces)
        return (path for path in self.folder.glob(pattern) if not self._is_ignored(path))

    def _is_ignored(self, path: Path) -> bool:
        return self.ignored is not None and path.is_relative_to(self.ignored)

    def _path_text(self, template: str, subject: str, contrast: str) -> Path:
        return self.folder / template.replace("{subject}", subject).replace("{contrast}", contrast)


def _as_expression(template: str, contrast: str, subject: str | None = None) -> re.Pattern[str]:
    """A template as a regular expression: a group a wildcard, and one that finds the subject's name if it is None."""
    parts, seen = [], False
    for piece in _PIECE.split(template):
        if piece == "{subject}" and subject is None:
            parts.append(r"(?P=subject)" if seen else r"(?P<subject>[^/]+)")
            seen = True
        else:
            known = {"**/": "((?:.*/)?)", "*": "([^/]*)", "?": "([^/])"}
            known |= {"{subject}": re.escape(subject or ""), "{contrast}": re.escape(contrast)}
            parts.append(known.get(piece, re.escape(piece)))
    # paths of a known subject were matched by the file system, which may not tell "t1" from "T1"
    return re.compile("".join(parts), re.IGNORECASE if subject else 0)


def _head(template: str) -> str:
    """The part of a template that tells people apart: up to the end of the subject's folder, or name of a file.

    >>> _head("*/{subject}_?/{contrast}_*.nii"), _head("*/{subject}*_{contrast}_*.nii")
    ('*/{subject}_?', '*/{subject}*')
    """
    before, name, after = template.partition("{subject}")
    folder, slash, _ = after.partition("/")
    return before + name + (folder if slash else after[: len(after) - len(after.lstrip("*?"))])


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
