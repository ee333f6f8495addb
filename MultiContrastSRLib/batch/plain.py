"""Scans of a study in any layout: a template of paths with {subject} and {contrast}."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from ..core.errors import FileReadError, InputError, MultiContrastSRError
from ..evaluation.layout import Layout
from .scans import Scan, SubjectError


def subjects_of(layout: Layout, targets: Sequence[str]) -> list[str]:
    """Subjects that have any of the contrasts `targets`.

    Raises:
        InputError: a template without {subject} and {contrast}.
        FileReadError: no subject.
    """
    if "{subject}" not in layout.scans or "{contrast}" not in layout.scans:
        raise InputError(
            f"Template of the scans is {layout.scans!r}; expected one with {{subject}} and {{contrast}}, for example "
            '"{subject}/{contrast}.nii.gz".'
        )
    found: set[str] = set()
    for target in targets:
        with suppress(FileReadError):  # no subject has it
            found.update(layout.subjects([target]))
    if not found:
        raise FileReadError(
            f"No subject below {layout.folder} has any of {', '.join(targets)} as {layout.scans}; expected at least one"
            f"{f' outside the output folder {layout.ignored}' if layout.ignored else ''}. Check the folder and the "
            "names of the contrasts, or give another template."
        )
    return sorted(found)


def scan_of(layout: Layout, subject: str, contrast: str) -> list[Scan]:
    """The scan of a contrast of a subject, none where there is none.

    Raises:
        SubjectError: several files match.
    """
    try:
        path = layout.scan(subject, contrast)
    except FileReadError:
        return []
    except MultiContrastSRError as error:
        raise SubjectError(str(error)) from error
    return [Scan(path, contrast, path.relative_to(layout.folder).as_posix())]


def layout_of(folder: str | Path, template: str, output: Path | None = None) -> Layout:
    """The layout; the folder must exist. What lies in `output`, a folder within it, is no scan.

    Raises:
        FileReadError: it does not.
    """
    place = Path(folder)
    if not place.is_dir():
        raise FileReadError(f"Folder {place} does not exist; expected the folder of the scans. Check the path.")
    within = output is not None and place.resolve() in output.resolve().parents
    ignored = place / output.resolve().relative_to(place.resolve()) if output is not None and within else None
    return Layout(place, template, lesions="", ignored=ignored)
