"""What is to be made: one `Subject` for every participant and session, with the images that the recipe asks for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..core.errors import InputError, MultiContrastSRError
from . import bids, plain
from .naming import bids_output, plain_output
from .recipe import Recipe
from .scans import Scan, SubjectError, choose

Find = Callable[[str], list[Scan]]


@dataclass(frozen=True)
class Image:
    """One image to be made: `target` with the help of `reference`, at `output` below the output folder."""

    target: Scan
    reference: Scan | None
    output: str


@dataclass(frozen=True)
class Subject:
    """What is to be made of one subject, in one session where there are several.

    Attributes:
        participant, session: "sub-01" and "ses-2", or the name in a plain layout; no session is "".
        folder: the folder of its results below the output folder.
        images: what can be made.
        problems: contrasts of the targets that cannot be made, each with a sentence why that ends with the remedy.
        bids: whether the input is a BIDS dataset.
        source: the input folder.
    """

    participant: str
    session: str
    folder: str
    images: tuple[Image, ...] = ()
    problems: tuple[tuple[str, str], ...] = ()
    bids: bool = False
    source: str = ""

    @property
    def name(self) -> str:
        """Name of its record, log and report: "sub-01_ses-2", or the name of a plain layout with "/" replaced."""
        return "_".join(filter(None, (self.participant, self.session))).replace("/", "_")


def plan_bids(
    folder: Path, recipe: Recipe, participants: Sequence[str] = (), sessions: Sequence[str] = ()
) -> list[Subject]:
    """Subjects of a BIDS dataset; raises as `bids.find_scans`."""
    contrasts = list(dict.fromkeys([*recipe.targets, *recipe.references]))
    found = bids.find_scans(folder, contrasts, participants, sessions)
    if not found:
        raise InputError(
            f"No participant of {folder} has any of {', '.join(contrasts)}; expected at least one. Check the recipe, "
            "--participant-label and --session-label."
        )
    subjects = []
    for (participant, session), scans in found.items():
        here = f"{participant}/{session}" if session else participant
        images, problems = _images(recipe, lambda contrast, s=scans: s.get(contrast, []), bids_output, here)
        subjects.append(Subject(participant, session, here, images, problems, True, str(folder)))
    return subjects


def plan_plain(folder: Path, template: str, recipe: Recipe, chosen: Sequence[str] = ()) -> list[Subject]:
    """Subjects of a plain layout; raises as `plain.subjects_of`."""
    layout = plain.layout_of(folder, template)
    subjects = []
    for name in plain.subjects_of(layout, recipe.targets, chosen):
        images, problems = _images(
            recipe, lambda contrast, n=name: plain.scan_of(layout, n, contrast), plain_output, name
        )
        subjects.append(Subject(name, "", name, images, problems, False, str(folder)))
    return subjects


def _images(
    recipe: Recipe, find: Find, name: Callable[[Recipe, Scan, Scan | None, str], str], folder: str
) -> tuple[tuple[Image, ...], tuple[tuple[str, str], ...]]:
    images: list[Image] = []
    problems: list[tuple[str, str]] = []
    for contrast in recipe.targets:
        try:
            targets = choose(find(contrast), contrast, recipe.runs)
            if not targets:
                raise SubjectError(
                    f"No scan of the target {contrast} was found. Add it, or leave the subject or the target out."
                )
            reference = _reference(recipe, find, contrast)
        except MultiContrastSRError as error:
            problems.append((contrast, str(error)))
            continue
        images += [Image(target, reference, name(recipe, target, reference, folder)) for target in targets]
    return tuple(images), tuple(problems)


def _reference(recipe: Recipe, find: Find, target: str) -> Scan | None:
    wanted = [contrast for contrast in recipe.references if contrast != target]
    for contrast in wanted:
        chosen = choose(find(contrast), contrast, "last" if recipe.runs == "all" else recipe.runs)
        if chosen:
            return chosen[0]
    if not wanted:
        return None
    raise SubjectError(
        f"No reference for {target} was found; expected one of {', '.join(wanted)}. Add the scan, name another "
        "contrast in the recipe's references, or leave the subject out."
    )


def share(subjects: Sequence[Subject], part: int, parts: int) -> list[Subject]:
    """The subjects of task `part` (1 to `parts`) of an array of tasks; every subject is in exactly one of them.

    >>> names = [Subject(str(n), "", str(n)) for n in range(100)]
    >>> [len(share(names, part, 3)) for part in (1, 2, 3)]
    [34, 33, 33]
    """
    return list(subjects[part - 1 :: parts])
