"""Subjects and their contrasts, found below a data folder by the path patterns of a recipe."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ...core.errors import InputError
from ..recipe import Source

HELD_OUT = "open_ms_data/*/*/patient12"  # for demonstration and test: not used for training or model selection
_PLACEHOLDER = "{subject}"


@dataclass(frozen=True)
class SubjectFiles:
    """The scans of one subject.

    Attributes:
        source: the entry of the recipe, with the part ("train" or "validation") that this subject belongs to.
        subject: its name.
        files: contrast → file.
    """

    source: Source
    subject: str
    files: Mapping[str, Path]


def find_all(sources: tuple[Source, ...], root: Path) -> list[SubjectFiles]:
    """The subjects of all sources of a recipe.

    Raises:
        InputError: a subject in both parts, and whatever `find_subjects` raises.
    """
    found = [entry for source in sources for entry in _divided(source, find_subjects(source, root))]
    places = {part: {_place(entry, contrast, root) for entry in found if entry.source.part == part
                     for contrast in entry.files} for part in ("train", "validation")}  # fmt: skip
    shared = sorted(path.name for path in places["train"] & places["validation"])
    if shared:
        raise InputError(
            f"Subject {shared[0]!r} is in the training and in the validation data; list it in one of them (`exclude`)."
        )
    return found


def find_subjects(source: Source, root: Path) -> dict[str, dict[str, Path]]:
    """Subject → contrast → file, of the subjects that have at least two of the contrasts.

    Raises:
        InputError: nothing found, a subject that is missing or held out, or several files for one contrast.
    """
    found: dict[str, dict[str, Path]] = {}
    for contrast, pattern in source.contrasts.items():
        for subject, path in _matches(contrast, pattern, root):
            if (source.subjects and subject not in source.subjects) or subject in source.exclude:
                continue
            if path.match(f"{HELD_OUT}/*"):
                raise InputError(
                    f"Subject {subject!r} is held out for tests and must not be used for training or model selection; "
                    "leave it out (`exclude`)."
                )
            files = found.setdefault(subject, {})
            if contrast in files:
                raise InputError(
                    f"Contrast {contrast!r} of {subject!r} has several files, {files[contrast].name} and "
                    f"{path.name}; make the path {pattern!r} fit one of them."
                )
            files[contrast] = path
    usable = {subject: files for subject, files in sorted(found.items()) if len(files) >= 2}
    absent = sorted(set(source.subjects) - set(usable)) or ([] if usable else ["any"])
    if absent:
        raise InputError(
            f"No two contrasts of subject {absent[0]!r} were found below {root} by {dict(source.contrasts)}; check the "
            "paths and the subjects of the recipe."
        )
    return usable


def _place(entry: SubjectFiles, contrast: str, root: Path) -> Path:
    """The path of a scan up to the subject's name, without the folders of sessions and contrasts below it."""
    depth = entry.source.contrasts[contrast].partition(_PLACEHOLDER)[0].count("/")
    return Path(*entry.files[contrast].relative_to(root).parts[:depth], entry.subject)


def _matches(contrast: str, pattern: str, root: Path) -> Iterator[tuple[str, Path]]:
    """(subject, file) of the files that a path pattern fits."""
    if _PLACEHOLDER not in pattern:
        raise InputError(
            f"Path of contrast {contrast!r} is {pattern!r}; expected one with {_PLACEHOLDER} in the place of the "
            f"subject's name, for example {_PLACEHOLDER}/{contrast}.nii.gz."
        )
    before, after = (_expression(part) for part in pattern.split(_PLACEHOLDER, 1))
    after = after.replace(re.escape(_PLACEHOLDER), "(?P=subject)")
    expression = re.compile(f"{before}(?P<subject>[^/]+?){after}")
    for path in sorted(root.glob(pattern.replace(_PLACEHOLDER, "*"))):
        match = expression.fullmatch(path.relative_to(root).as_posix())
        if match is not None:
            yield match["subject"], path


def _expression(pattern: str) -> str:
    return re.escape(pattern).replace(r"\*", "[^/]*").replace(r"\?", "[^/]")


def _divided(source: Source, subjects: Mapping[str, Mapping[str, Path]]) -> Iterator[SubjectFiles]:
    """The subjects of a source, an evenly spaced share of them in the validation part."""
    count = int(np.ceil(source.validation_share * len(subjects)))
    chosen = set(np.linspace(0, len(subjects) - 1, count).round().astype(int)) if count else set()
    for number, (subject, files) in enumerate(subjects.items()):
        yield SubjectFiles(replace(source, part="validation") if number in chosen else source, subject, files)
