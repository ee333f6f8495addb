"""Progress of a batch on the terminal: one line a finished subject, and a bar of the whole with the remaining time."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from .console import Bar, on_terminal

if TYPE_CHECKING:
    from ..batch.engine import Event


def print_line(**values: object) -> None:
    """Print one JSON object on a line of its own, in ASCII."""
    print(json.dumps(values, allow_nan=False), flush=True)


class BatchProgress:
    """Takes the events of an engine.

    Args:
        names: of the subjects.
        as_json: print every event as a line of JSON on standard output instead of text on standard error, and the names
            before the first one.
        quiet: print no text.
    """

    def __init__(self, names: Sequence[str], *, as_json: bool, quiet: bool) -> None:
        self._names, self._count = names, len(names)
        self._as_json, self._quiet, self._planned = as_json, quiet or as_json, False
        self._done, self._begin = 0, time.monotonic()
        self._fractions: dict[str, float] = {}
        self._bar = Bar() if on_terminal() and not self._quiet else None

    def __call__(self, event: Event) -> None:
        """Print the event."""
        if event.kind == "result":
            self._done += 1
            self._fractions.pop(event.name, None)
        else:
            self._fractions[event.name] = event.fraction
        if self._as_json:
            self._print_json(event)
        if event.kind in ("result", "retry") and not self._quiet:
            self._print_text(event)
        if self._bar is not None:
            running = len(self._fractions)
            self._bar(self._fraction, f"{running} running")

    def close(self) -> None:
        """Clear the bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    @property
    def _fraction(self) -> float:
        return min(1.0, (self._done + sum(self._fractions.values())) / max(1, self._count))

    @property
    def _remaining(self) -> float | None:
        """Seconds, as the time so far suggests; None before anything is done."""
        elapsed, done = time.monotonic() - self._begin, self._fraction
        return elapsed * (1 - done) / done if done > 0 else None

    def _print_json(self, event: Event) -> None:
        if not self._planned:
            self._planned = True
            print_line(event="plan", subjects=list(self._names), done=0, of=self._count)
        values: dict[str, object] = {"event": event.kind, "subject": event.name}
        if event.kind == "progress":
            values |= {"fraction": round(event.fraction, 4), "stage": event.stage}
        elif event.kind == "result":
            record = event.value
            values |= {"state": record.state, "message": record.message, "remedy": record.remedy}
            values |= {"warnings": list(record.warnings), "outputs": [i.output for i in record.images if i.output]}
            values |= {"seconds": record.seconds, "log": record.log}
        remaining = self._remaining
        values |= {"done": self._done, "of": self._count}
        print_line(**values, remaining=None if remaining is None else round(remaining, 1))

    def _print_text(self, event: Event) -> None:
        from ..batch.table import brief

        text = f"{event.name}: its process ended; it is tried again"
        if event.kind == "result":
            remaining = self._remaining
            left = "" if remaining is None or self._done >= self._count else f", about {_duration(remaining)} left"
            text = f"[{self._done}/{self._count}{left}] {brief(event.value)}"
        with suppress(BrokenPipeError):
            print(f"\r\033[K{text}" if self._bar is not None else text, file=sys.stderr, flush=True)


def _duration(seconds: float) -> str:
    """In words.

    >>> _duration(75), _duration(9000)
    ('2 min', '2.5 h')
    """
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60 + 0.5:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
