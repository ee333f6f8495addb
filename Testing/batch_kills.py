"""A batch that is killed at random moments and started again, and what its output must then be."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from batch_fixtures import RECIPE, results_of, start

KILL = signal.SIGKILL


def workers_of(pid: int) -> list[int]:
    """Processes that the command `pid` started."""
    found = []
    for place in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, ValueError):  # where it has ended
            if int(place.read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(place.parent.name))
    return found


def run_and_kill(
    dataset: Path, output: Path, victims: Sequence[str], chance: random.Random, *more: object, most: int = 9
) -> int:
    """Start the batch, and kill `victims` one after another, each after a random number of events; the exit code.

    Args:
        victims: "command", or "worker" for any process that it started.
        most: number of events between two kills at the latest.
    """
    process = start("batch", dataset, output, *RECIPE, "--json", *more, start_new_session=True)
    waiting, left = chance.randint(1, most), list(victims)
    for line in process.stdout:
        waiting -= 1
        if waiting > 0 or not left or json.loads(line)["event"] == "end":
            continue
        time.sleep(chance.uniform(0.0, 0.3))  # somewhere between two events, also between the moves of files
        pids = [process.pid] if left.pop(0) == "command" else workers_of(process.pid)
        _kill(chance.choice(pids or [process.pid]))
        waiting = chance.randint(1, most)
    process.stderr.read()
    return process.wait()


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):  # it has just ended by itself
        os.kill(pid, KILL)


def differences(straight: Path, killed: Path) -> list[str]:
    """Files of results that are missing, different, or too many after a run with interruptions."""
    expected, found = results_of(straight), results_of(killed)
    wrong = [f"missing {name}" for name in sorted(expected.keys() - found.keys())]
    wrong += [f"too many: {name}" for name in sorted(found.keys() - expected.keys())]
    return wrong + [
        f"different {name}" for name in sorted(expected.keys() & found.keys()) if expected[name] != found[name]
    ]
