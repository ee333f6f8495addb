"""What became of each subject: one small JSON file a subject in the output folder, from which the tables are made."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from ..core.errors import FileWriteError
from ..io.files import replaced_together
from .locks import locked

STATE = ".multicontrastsr"  # folder of records and locks in the output folder
DONE, UNCHANGED, FAILED, MISSING, WAITING = "done", "unchanged", "failed", "missing", "not started"
_PARTIAL = re.compile(r"\.[0-9a-f]{8}(\.nii\.gz|\.\w+)?$")  # of `replaced_together`


@dataclass(frozen=True)
class ImageRecord:
    """One image of a subject.

    Attributes:
        target, reference: their contrasts.
        output: path below the output folder; "" where nothing is there.
        state: "done", "unchanged" (it was there, made of the same inputs by the same settings and version), "failed" or
            "missing" (the subject has no such scan, or the result is gone).
        message, remedy: of a failure, or of a result that is gone.
        warnings: sentences about possible faults.
        similarity: mutual information of target and reference in nats; None without a reference.
        device: where it was computed; "" where it was not.
        seconds: duration.
    """

    target: str
    reference: str = ""
    output: str = ""
    state: str = DONE
    message: str = ""
    remedy: str = ""
    warnings: tuple[str, ...] = ()
    similarity: float | None = None
    device: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class Record:
    """One subject, in one session where there are several.

    Attributes:
        name, participant, session: see `plan.Subject`.
        images: what the recipe asked for, in its order.
        started: ISO 8601 date and time of the last attempt.
        seconds: its duration.
        host: the computer.
        log: path of the log below the output folder.
        recipe: `Recipe.digest` of the run.
    """

    name: str
    participant: str
    session: str = ""
    images: tuple[ImageRecord, ...] = ()
    started: str = ""
    seconds: float = 0.0
    host: str = ""
    log: str = ""
    recipe: str = ""

    @property
    def state(self) -> str:
        """State of the subject: "failed" if any image failed, "unchanged" if none had to be made, else "done".

        "missing" if no image is there, "not started" before the first attempt.
        """
        states = {image.state for image in self.images} - {MISSING}
        if not states:
            return MISSING if self.images else WAITING
        return FAILED if FAILED in states else UNCHANGED if states == {UNCHANGED} else DONE

    @property
    def made(self) -> list[ImageRecord]:
        """Images that are there."""
        return [image for image in self.images if image.state in (DONE, UNCHANGED)]

    @property
    def message(self) -> str:
        """Failures of all images, and results that are gone, each named by its target."""
        return " ".join(f"{each.target}: {each.message}" for each in self.images if each.message)

    @property
    def remedy(self) -> str:
        """What can be done about the failures."""
        return " ".join(dict.fromkeys(each.remedy for each in self.images if each.remedy))

    @property
    def warnings(self) -> tuple[str, ...]:
        """Warnings of all images, each named by its target."""
        return tuple(f"{each.target}: {text}" for each in self.images for text in each.warnings)


def split_remedy(text: str) -> tuple[str, str]:
    """(message, remedy): messages of this library end with the remedy as their last sentence.

    >>> split_remedy("File a.nii is truncated: it ends early. Copy or download it again.")
    ('File a.nii is truncated: it ends early.', 'Copy or download it again.')
    """
    head, separator, tail = text.rpartition(". ")
    return (f"{head}.", tail) if separator else (text, "See the log of the subject.")


def write_record(output: Path, record: Record) -> None:
    """Write `record` into the output folder.

    Raises:
        FileWriteError: it cannot be written.
    """
    place = record_path(output, record.name)
    make_folder(place.parent)
    with common_files(output):
        write_text(place, json.dumps(asdict(record), indent=1) + "\n")


def read_record(output: Path, name: str) -> Record | None:
    """The record of a subject; None where there is none, or it is not readable."""
    try:
        values = json.loads(record_path(output, name).read_text(encoding="utf-8"))
        images = tuple(ImageRecord(**_known(ImageRecord, each)) for each in values.pop("images"))
        return Record(**_known(Record, values), images=images)
    except (OSError, ValueError, TypeError, KeyError):
        return None


def without_lost_files(output: Path, record: Record) -> Record:
    """`record` with images as missing that were made and are gone from the output folder."""
    return replace(record, images=tuple(_if_there(output, image) for image in record.images))


def _if_there(output: Path, image: ImageRecord) -> ImageRecord:
    if not image.output or (output / image.output).is_file():
        return image
    return ImageRecord(
        image.target,
        image.reference,
        state=MISSING,
        message=f"Result {image.output} was made and is gone.",
        remedy="Run the command at the level participant to make it again.",
    )


def record_path(output: Path, name: str) -> Path:
    """The file of a subject's record."""
    return output / STATE / "records" / f"{name}.json"


@contextmanager
def common_files(output: Path) -> Iterator[None]:
    """Hold the lock of the files that all subjects share: records, table, pages.

    Temporary files that a run left among them when it was killed are deleted first.
    """
    with locked(output / STATE / "common.lock"):
        remove_partial([output, output / STATE / "records"])
        yield


def write_text(place: Path, text: str) -> None:
    """Write a text file completely or not at all.

    Raises:
        FileWriteError: it cannot be written.
    """
    with replaced_together(place) as (partial,):
        partial.write_text(text, encoding="utf-8")


def make_folder(folder: Path) -> None:
    """Make a folder and those above it.

    Raises:
        FileWriteError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileWriteError(
            f"Output folder {folder} cannot be made: {error.strerror or error}. Remove what is in its place, or check "
            "the permissions of the folder above."
        ) from error


def remove_partial(folders: Sequence[Path]) -> None:
    """Delete what a run that was killed left in `folders`, whose lock must be held: temporary files of writers."""
    for folder in dict.fromkeys(folders):
        for place in folder.glob(".*") if folder.is_dir() else ():
            if _PARTIAL.fullmatch(place.name):
                place.unlink(missing_ok=True)


def _known(kind: type, values: Mapping[str, object]) -> dict[str, Any]:
    names = {each.name for each in fields(kind)}
    return {key: tuple(v) if isinstance(v, list) else v for key, v in values.items() if key in names}
