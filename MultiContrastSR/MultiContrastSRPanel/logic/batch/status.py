"""What became of each subject of a batch, as the lines of JSON say that the command prints."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class SubjectState(enum.Enum):
    """The states of a subject; the values of the last three are those of the command."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    UNCHANGED = "unchanged"  # the results of an earlier batch are there
    FAILED = "failed"


@dataclasses.dataclass
class BatchSubject:
    """One subject, in one session where there are several.

    Attributes:
        name: as the command calls it: "sub-01_ses-2".
        fraction: how far its work is, 0 to 1.
        message: why it failed, with the remedy.
        warnings: sentences about its results.
        outputs: paths of the volumes that are there.
    """

    name: str
    state: SubjectState = SubjectState.WAITING
    fraction: float = 0.0
    message: str = ""
    warnings: tuple[str, ...] = ()
    outputs: tuple[Path, ...] = ()


class BatchStatus:
    """All subjects of a batch.

    Args:
        output: the folder of the results.

    Attributes:
        subjects: by name, in the order of the command.
        remaining: estimated seconds until the end; None while unknown.
        complete: whether the command came to its end, with or without failed subjects.
    """

    def __init__(self, output: Path) -> None:
        self.output = output
        self.subjects: dict[str, BatchSubject] = {}
        self.remaining: float | None = None
        self.complete = False

    def take(self, event: Mapping[str, Any]) -> list[BatchSubject]:
        """Note an event, one line of the command's stream; the subjects that it changed."""
        kind = event["event"]
        if kind == "plan":
            self.subjects = {name: BatchSubject(name) for name in event["subjects"]}
            return list(self.subjects.values())
        if kind == "end":
            self.complete = True
            return []
        self.remaining = event.get("remaining")
        subject = self.subjects[event["subject"]]
        if kind == "result":
            subject.state, subject.fraction = SubjectState(event["state"]), 1.0
            subject.message = " ".join(filter(None, (event["message"], event["remedy"])))
            subject.warnings = tuple(event["warnings"])
            subject.outputs = tuple(self.output / path for path in event["outputs"])
        else:  # start, progress, or another attempt
            subject.state, subject.fraction = SubjectState.RUNNING, event.get("fraction", 0.0)
        return [subject]

    def interrupt(self) -> list[BatchSubject]:
        """Note that the command ended early; the subjects that it was working on."""
        running = [each for each in self.subjects.values() if each.state is SubjectState.RUNNING]
        for subject in running:
            subject.state, subject.fraction = SubjectState.WAITING, 0.0
        return running

    def count(self, *states: SubjectState) -> int:
        """The number of subjects in these states."""
        return sum(subject.state in states for subject in self.subjects.values())

    @property
    def finished(self) -> int:
        """The number of subjects that will not change any more."""
        return self.count(SubjectState.DONE, SubjectState.UNCHANGED, SubjectState.FAILED)

    @property
    def fraction(self) -> float:
        """How far the whole is, 0 to 1."""
        total = sum(subject.fraction for subject in self.subjects.values())
        return total / len(self.subjects) if self.subjects else 0.0

    @property
    def page(self) -> Path:
        """The page of the study."""
        return self.output / "batch.html"
