"""The command `multicontrastsr batch` in a process of its own, followed without a thread and without waiting."""

from __future__ import annotations

import enum
import json
import logging
import os
import re
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import qt
import slicer

from ..library import NAME, library, library_folder
from .status import BatchStatus, BatchSubject

# The command stops when its input ends, also when Slicer crashes: it deletes what is incomplete and ends its workers,
# which may take two seconds. After this time it is killed; the next batch then deletes what is incomplete.
STOP_GRACE_MS = 8000
_ERROR = re.compile(r"^multicontrastsr(?: batch)?: error: (.*)", re.MULTILINE | re.DOTALL)


class BatchState(enum.Enum):
    """The states of a batch; the last three are final."""

    RUNNING = "running"
    STOPPING = "stopping"
    DONE = "done"  # some subjects may have failed
    STOPPED = "stopped"
    ERROR = "error"


class BatchProcess:
    """A batch under way. Callbacks come on the main thread, `on_end` exactly once.

    Args:
        output: the folder of the results.
        on_change: gets the subjects that changed.
        on_end: gets the error, or None after DONE and STOPPED.

    Attributes:
        state: see `BatchState`.
        status: the subjects.
    """

    def __init__(
        self,
        output: Path,
        on_change: Callable[[list[BatchSubject]], None] | None = None,
        on_end: Callable[[BaseException | None], None] | None = None,
    ) -> None:
        self._on_change, self._on_end = on_change, on_end
        self._unread = b""
        self.state = BatchState.RUNNING
        self.status = BatchStatus(output)
        scene = slicer.mrmlScene
        self._observer = (scene, scene.AddObserver(scene.StartCloseEvent, lambda caller, event: self.stop()))
        self._process = qt.QProcess()
        self._process.setProcessEnvironment(_environment())
        self._process.connect("readyReadStandardOutput()", self._read)
        self._process.connect("finished(int,QProcess::ExitStatus)", self._on_finished)
        self._process.connect("errorOccurred(QProcess::ProcessError)", self._on_process_error)

    def start(self, arguments: Sequence[str]) -> None:
        """Start the command; see `command.batch_arguments`. An error goes to `on_end`, perhaps at once."""
        self._process.start(_python(), ["-m", f"{NAME}.cli", "batch", *arguments, "--json", "--watch-input"])

    @property
    def active(self) -> bool:
        """Whether it has not ended yet."""
        return self.state in (BatchState.RUNNING, BatchState.STOPPING)

    def stop(self) -> None:
        """Stop; finished subjects stay, and nothing incomplete is left. Returns at once."""
        if self.state is BatchState.RUNNING:
            self.state = BatchState.STOPPING
            self._process.closeWriteChannel()
            qt.QTimer.singleShot(STOP_GRACE_MS, self._kill)

    def abandon(self) -> None:
        """Stop without calling any callback, and wait for the end of the process."""
        self._on_change = self._on_end = None
        if self.active:
            self.stop()
            if not self._process.waitForFinished(STOP_GRACE_MS):
                self._kill()
                self._process.waitForFinished(STOP_GRACE_MS)

    def _kill(self) -> None:
        if self.active:
            self._process.kill()

    def _read(self) -> None:
        self._take(_bytes(self._process.readAllStandardOutput()))

    def _take(self, printed: bytes) -> None:
        *lines, self._unread = (self._unread + printed).split(b"\n")
        changed: dict[str, BatchSubject] = {}
        for line in filter(lambda line: line.startswith(b"{"), lines):  # packages may print something else
            changed |= {subject.name: subject for subject in self.status.take(json.loads(line))}
        if changed and self._on_change is not None:
            self._on_change(list(changed.values()))

    def _on_finished(self, code: int, status: Any = None) -> None:
        self._read()
        errors = _bytes(self._process.readAllStandardError()).decode(errors="replace").strip()
        if self.status.complete:
            self._end(BatchState.DONE)
        elif self.state is BatchState.STOPPING:
            self._end(BatchState.STOPPED)
        else:
            self._end(BatchState.ERROR, _cause(errors, code))

    def _on_process_error(self, error: Any) -> None:
        if error == qt.QProcess.FailedToStart:  # other errors are followed by `finished`
            self._end(BatchState.ERROR, f"The batch could not be started: {self._process.errorString()}.")

    def _end(self, state: BatchState, error: str = "") -> None:
        if not self.active:
            return
        scene, tag = self._observer
        scene.RemoveObserver(tag)
        self._process.deleteLater()  # its connections keep this object alive
        self.state = state
        if (interrupted := self.status.interrupt()) and self._on_change is not None:
            self._on_change(interrupted)
        if self._on_end is not None:
            self._on_end(library().MultiContrastSRError(error) if error else None)


def _python() -> str:
    """Slicer's Python as a program of its own; in Slicer itself `sys.executable` may be the application."""
    return shutil.which("PythonSlicer") or sys.executable


def _environment() -> Any:
    """The environment of Slicer, in which Python finds the library."""
    environment = qt.QProcessEnvironment.systemEnvironment()
    folders = [str(library_folder().parent), environment.value("PYTHONPATH")]
    environment.insert("PYTHONPATH", os.pathsep.join(filter(None, folders)))
    return environment


def _bytes(data: Any) -> bytes:
    """A QByteArray as bytes."""
    return bytes(data.data())


def _cause(errors: str, code: int) -> str:
    """What the command said on standard error, without the name of the program."""
    found = _ERROR.search(errors)
    if found:
        return found[1].strip()
    logging.error(errors)
    last = errors.splitlines()[-1:] or ["it said nothing"]
    return f"The batch ended with code {code} ({last[0]}). Press Start to go on; Slicer's log has the details."
