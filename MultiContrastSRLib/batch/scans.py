"""Scans of a study as they were found on disk, and how those of one contrast are chosen."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..core.errors import InputError, MultiContrastSRError


class SubjectError(MultiContrastSRError):
    """A subject that cannot be processed as the recipe says. The last sentence is the remedy."""


@dataclass(frozen=True)
class Scan:
    """One image of one subject.

    Attributes:
        path: file, or folder of a DICOM series.
        contrast: the name by which the recipe asked for it.
        relative: path below the input folder, with "/".
        entities: BIDS entities of the name in their order ("sub", "ses", "run", …); empty in a plain layout.
        suffix: BIDS suffix ("T2w").
    """

    path: Path
    contrast: str
    relative: str
    entities: Mapping[str, str] = field(default_factory=dict)
    suffix: str = ""

    @property
    def label(self) -> str:
        """The contrast, with the run where the name states one."""
        return f"{self.contrast} run {self.entities['run']}" if "run" in self.entities else self.contrast


def choose(found: list[Scan], contrast: str, runs: str) -> list[Scan]:
    """Those of `found` that a recipe's `runs` takes; several only for "all".

    Scans with just the entities that the contrast names, in any order, are preferred: "T1w" is not "ce-gad_T1w" where
    both are there.

    Raises:
        SubjectError: several runs where one is expected, or scans that differ in more than their runs.

    >>> scans = [Scan(Path(name), "T2w", name, {"run": name}, "T2w") for name in ("1", "2", "10")]
    >>> [scan.relative for scan in choose(scans, "T2w", "last")]
    ['10']
    """
    wanted = set(contrast.split("_")[:-1])
    exact = [scan for scan in found if set(_distinction(scan)) == wanted]
    ordered = sorted(exact or found, key=_run_number)
    if len(ordered) <= 1:
        return ordered
    names = ", ".join(scan.relative for scan in ordered)
    distinctions = {frozenset(_distinction(scan)) for scan in ordered}
    if len(distinctions) > 1 or not all("run" in scan.entities for scan in ordered):
        example = "_".join(filter(None, (*_distinction(ordered[0]), ordered[0].suffix)))
        raise SubjectError(
            f"{len(ordered)} scans match contrast {contrast} ({names}); expected one. Name it more narrowly in the "
            f"recipe, for example {example!r}, or remove the others."
        )
    if runs == "one":
        raise SubjectError(
            f"{len(ordered)} runs of {contrast} were found ({names}); expected one. Set runs to first, last or all in "
            "the recipe, or remove the runs that are not to be used."
        )
    return ordered if runs == "all" else [ordered[-1 if runs == "last" else 0]]


def _distinction(scan: Scan) -> list[str]:
    """The entities that tell a contrast from others, in the order of the name: ["acq-fast", "ce-gad"]."""
    return [f"{key}-{value}" for key, value in scan.entities.items() if key not in ("sub", "ses", "run")]


def _run_number(scan: Scan) -> tuple[int, str]:
    digits = re.sub(r"\D", "", scan.entities.get("run", ""))
    return int(digits or 0), scan.relative


def parse_contrast(text: str) -> tuple[dict[str, str], str]:
    """(entities, suffix) of a BIDS contrast.

    Raises:
        InputError: an entity without a value.

    >>> parse_contrast("acq-mprage_T1w")
    ({'acq': 'mprage'}, 'T1w')
    """
    *pairs, suffix = text.split("_")
    entities = dict(pair.partition("-")[::2] for pair in pairs)
    if "-" in suffix or not suffix or not all(entities.values()):
        raise InputError(f"Contrast is {text!r}; expected a BIDS suffix, for example T1w or acq-mprage_T1w.")
    return entities, suffix
