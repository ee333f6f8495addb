"""A whole study: the output folder, its subjects through an engine, its table and pages."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .._version import __version__
from ..core.errors import FileWriteError
from ..io.files import same_file
from . import page, table
from .bids import dataset_name
from .engine import Engine, Event, Task
from .locks import same_settings
from .plan import Subject
from .recipe import Recipe
from .records import (
    STATE,
    Record,
    common_files,
    make_folder,
    read_record,
    without_lost_files,
    write_record,
    write_text,
)
from .subject import failure

_OFTEN = 2.0  # s between two versions of the table while the study runs
_IGNORED = "*.html\nbatch.tsv\nlogs/\nfigures\n*_xfm.*\n"  # of our files, what the BIDS specification does not name
_README = """# Super-resolved images

Made by MultiContrastSR from the dataset that `dataset_description.json` names. `batch.tsv` lists the subjects with
their states, `batch.html` shows them, and the side-car of each image says how it was made. Research use only; not for
diagnosis.
"""
_HOME = "https://github.com/MultiContrastSR/SlicerMultiContrastSR"
_DESCRIPTION = "dataset_description.json"


@dataclass
class Study:
    """Subjects, what is made of them, and where.

    Attributes:
        subjects: all of the study, for the table.
        recipe: what is made of each.
        source, output: the folders.
        bids: whether the source is a BIDS dataset.
    """

    subjects: Sequence[Subject]
    recipe: Recipe
    source: Path
    output: Path
    bids: bool
    _written: float = field(default=0.0, init=False)
    _unwritten: dict[str, Record] = field(default_factory=dict, init=False)

    def run(
        self,
        engine: Engine,
        chosen: Sequence[Subject] | None = None,
        on_event: Callable[[Event], None] = lambda event: None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> list[Record]:
        """Make what is missing; returns the records of the chosen subjects (default all), with `with_outliers`.

        Args:
            on_event: called with every event of the engine; the value of a result is a `Record`, also where a subject
                failed.

        Raises:
            FileWriteError: an output folder that cannot be written, is an input, or is in use with other settings.
            CancelledError: `cancelled()` returned True; finished subjects stay, the table is up to date.
        """
        chosen = self.subjects if chosen is None else chosen
        self.check_output()
        settings = json.dumps([__version__, str(self.source.resolve()), self.recipe.as_dict()], sort_keys=True)
        with same_settings(self.output / STATE / "settings.lock", settings):
            self._prepare_output()
            by_name = {subject.name: subject for subject in chosen}
            function = f"{__package__}.subject:process"
            tasks = [Task(each.name, function, (each, self.recipe, self.output)) for each in chosen]
            events = engine.run(tasks, cancelled)
            try:
                for event in events:
                    if event.kind == "error":
                        event = Event(event.name, "result", self._failed(by_name[event.name], event.value))
                    on_event(event)
                    if event.kind == "result" and time.monotonic() - self._written > _OFTEN:
                        self.write_table()
            finally:
                events.close()
                self.write_table()
                self.write_pages()
        named = {record.name: record for record in self.records()}
        return [named[subject.name] for subject in chosen]

    def records(self) -> list[Record]:
        """The records of all subjects by this recipe, with `with_outliers`."""
        return table.with_outliers([self._record(subject) for subject in self.subjects])

    def _record(self, subject: Subject) -> Record:
        found = self._unwritten.get(subject.name) or read_record(self.output, subject.name)
        if found is None or found.recipe != self.recipe.digest:
            return Record(subject.name, subject.participant, subject.session)
        return without_lost_files(self.output, found)

    def write_table(self) -> None:
        """Rewrite `batch.tsv` from the records, those of other processes included."""
        with common_files(self.output):
            write_text(self.output / table.NAME, table.as_tsv(self.records()))
        self._written = time.monotonic()

    def write_pages(self) -> None:
        """Rewrite the pages of the subjects and of the study from the records."""
        with common_files(self.output):
            records = self.records()
            pages = {f"{each.name}.html": page.of_subject(self.output, each) for each in records if each.images}
            pages[page.NAME] = page.of_study(records, self.recipe, str(self.source))
            for name, text in pages.items():
                place = self.output / name
                if not (place.is_file() and place.read_text(encoding="utf-8") == text):
                    write_text(place, text)

    def check_output(self) -> None:
        """Refuse an output folder that is the input, or holds what another program made.

        Raises:
            FileWriteError: it is, or does.
        """
        if same_file(self.source, self.output):
            raise FileWriteError(
                f"Output folder {self.output} is the input folder; expected another one. Give, for example, "
                f"{self.output / 'derivatives' / 'multicontrastsr'}."
            )
        generated = _generators(self.output / _DESCRIPTION)
        if generated is not None and "MultiContrastSR" not in generated:
            raise FileWriteError(
                f"Output folder {self.output} holds a dataset that this program did not make; expected a new folder or "
                "one of its own. Choose another output folder."
            )

    # ------------------------------------------------------------------ output folder

    def _prepare_output(self) -> None:
        make_folder(self.output / "logs")
        if not self.bids:
            return
        link = os.path.relpath(self.source.resolve(), self.output.resolve())
        description: Mapping[str, object] = {
            "Name": f"{dataset_name(self.source)}: super-resolved images",
            "BIDSVersion": "1.10.0",
            "DatasetType": "derivative",
            "GeneratedBy": [{"Name": "MultiContrastSR", "Version": __version__, "CodeURL": _HOME}],
            "SourceDatasets": [{"URL": self.source.resolve().as_uri()}],
            "DatasetLinks": {"raw": Path(link).as_posix()},
        }
        with common_files(self.output):
            write_text(self.output / _DESCRIPTION, json.dumps(description, indent=2) + "\n")
            write_text(self.output / ".bidsignore", _IGNORED)
            if not (self.output / "README.md").exists():
                write_text(self.output / "README.md", _README)

    def _failed(self, subject: Subject, error: object) -> Record:
        """The record of a subject whose process failed as a whole."""
        problem = error if isinstance(error, Exception) else RuntimeError(str(error))
        images = tuple(failure(image.target.label, problem) for image in subject.images)
        images = images or (failure("", problem),)
        record = Record(subject.name, subject.participant, subject.session, images, recipe=self.recipe.digest)
        try:
            write_record(self.output, record)
        except FileWriteError:  # no space, perhaps; the table of this run holds it nevertheless
            self._unwritten[subject.name] = record
        return record


def _generators(place: Path) -> list[str] | None:
    """Names of what made the dataset whose description is `place`; None where there is none."""
    try:
        found = json.loads(place.read_text(encoding="utf-8"))
        return [str(each.get("Name")) for each in found.get("GeneratedBy", [])]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, AttributeError, TypeError):
        return []
