"""A batch that is killed at random moments and started again, and what its output must then be."""

from __future__ import annotations

import json
import os
import random
import signal
import time
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


def run_and_kill(dataset: Path, output: Path, victim: str, chance: random.Random, *more: object, most: int = 9) -> int:
    """Start the batch, and kill it or one of its workers after a random number of events; the exit code.

    Args:
        victim: "command", or "worker" for any process that it started.
        most: number of events after which it is killed at the latest.
    """
    process = start("batch", dataset, output, *RECIPE, "--json", *more, start_new_session=True)
    wanted = chance.randint(1, most)
    for number, line in enumerate(process.stdout, start=1):
        if number == wanted and json.loads(line)["event"] != "end":
            # somewhere between two events, also between the moves of files
            time.sleep(chance.uniform(0.0, 0.3))
            _kill(process.pid if victim == "command" else chance.choice(workers_of(process.pid) or [process.pid]))
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
