"""What is to be made: one `Subject` for every participant and session, with the images that the recipe asks for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
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
        missing: targets that the subject does not have, while it has others.
        bids: whether the input is a BIDS dataset.
    """

    participant: str
    session: str
    folder: str
    images: tuple[Image, ...] = ()
    problems: tuple[tuple[str, str], ...] = ()
    missing: tuple[str, ...] = ()
    bids: bool = False

    @property
    def name(self) -> str:
        """Name of its record, log and report: "sub-01_ses-2", or the name of a plain layout with "/" replaced."""
        return "_".join(filter(None, (self.participant, self.session))).replace("/", "_")


def plan_bids(folder: Path, recipe: Recipe) -> list[Subject]:
    """Subjects of a BIDS dataset; raises as `bids.find_scans`."""
    contrasts = list(dict.fromkeys([*recipe.targets, *recipe.references]))
    found = bids.find_scans(folder, contrasts)
    if not found:
        raise InputError(
            f"No participant of {folder} has any of {', '.join(contrasts)}; expected at least one. Check the recipe."
        )
    subjects = []
    for (participant, session), scans in found.items():
        here = f"{participant}/{session}" if session else participant
        made = _images(recipe, partial(_among, scans), bids_output, here)
        subjects.append(Subject(participant, session, here, *made, bids=True))
    return subjects


def plan_plain(folder: Path, template: str, recipe: Recipe, output: Path | None = None) -> list[Subject]:
    """Subjects of a plain layout; raises as `plain.subjects_of`. What lies in `output` is no input."""
    layout = plain.layout_of(folder, template, output)
    subjects = []
    for name in plain.subjects_of(layout, recipe.targets):
        images, problems, missing = _images(recipe, partial(plain.scan_of, layout, name), plain_output, name)
        try:
            scans = [scan for image in images for scan in (image.target, image.reference) if scan is not None]
            layout.check_one_place(name, {scan.contrast: scan.path for scan in scans})
        except InputError as error:
            problems += tuple((image.target.contrast, str(error)) for image in images)
            images = ()
        subjects.append(Subject(name, "", name, images, problems, missing))
    return subjects


def _among(scans: Mapping[str, list[Scan]], contrast: str) -> list[Scan]:
    return scans.get(contrast, [])


def _images(
    recipe: Recipe, find: Find, name: Callable[[Recipe, Scan, Scan | None, str], str], folder: str
) -> tuple[tuple[Image, ...], tuple[tuple[str, str], ...], tuple[str, ...]]:
    """(images, problems, missing) of a `Subject`."""
    images: list[Image] = []
    problems: list[tuple[str, str]] = []
    missing: list[str] = []
    for contrast in recipe.targets:
        try:
            targets = choose(find(contrast), contrast, recipe.runs)
            if not targets:
                missing.append(contrast)
                continue
            reference = _reference(recipe, find, contrast)
        except MultiContrastSRError as error:
            problems.append((contrast, str(error)))
            continue
        images += [Image(target, reference, name(recipe, target, reference, folder)) for target in targets]
    if not images and not problems:
        problems = [
            (contrast, f"No scan of {contrast} was found. Add it, or leave the subject out.") for contrast in missing
        ]
        missing = []
    return tuple(images), tuple(problems), tuple(missing)


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


def select(subjects: Sequence[Subject], participants: Sequence[str], sessions: Sequence[str] = ()) -> list[Subject]:
    """The subjects of these labels, with or without "sub-" and "ses-"; empty sequences select all.

    Raises:
        InputError: a label that no subject has, or labels that no subject has together.
    """
    chosen = list(subjects)
    for prefix, kind, labels in (("sub-", "participant", participants), ("ses-", "session", sessions)):
        plain_labels = {label.removeprefix(prefix) for label in labels}
        existing = {getattr(each, kind).removeprefix(prefix) for each in subjects}
        if unknown := sorted(plain_labels - existing):
            raise InputError(
                f"{kind.capitalize()} {unknown[0]!r} has none of the scans; found {', '.join(sorted(existing))}. "
                f"Correct --{kind}-label, or the recipe."
            )
        chosen = [each for each in chosen if not labels or getattr(each, kind).removeprefix(prefix) in plain_labels]
    if not chosen:
        known = ", ".join(each.session or "none" for each in select(subjects, participants))
        raise InputError(
            f"Participant {', '.join(participants)} has none of the scans in session {', '.join(sessions)}; found "
            f"{known}. Correct --participant-label or --session-label."
        )
    return chosen


def share(subjects: Sequence[Subject], part: int, parts: int) -> list[Subject]:
    """The subjects of task `part` (1 to `parts`) of an array of tasks; every subject is in exactly one of them.

    >>> names = [Subject(str(n), "", str(n)) for n in range(100)]
    >>> [len(share(names, part, 3)) for part in (1, 2, 3)]
    [34, 33, 33]
    """
    return list(subjects[part - 1 :: parts])
