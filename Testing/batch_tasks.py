"""Functions that the tests of the batch's engines call in worker processes."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from MultiContrastSRLib.core.errors import InputError


def double(number, monitor):
    monitor.update(0.5)
    return 2 * number


def fail(monitor):
    raise InputError("Value is 3; expected 4. Give another.")


def fail_oddly(monitor):
    class LocalError(Exception):  # cannot be pickled
        pass

    raise LocalError("odd")


def die(folder, times, monitor):
    """Kill the own process the first `times` times."""
    count = len(list(Path(folder).iterdir()))
    if count < times:
        (Path(folder) / str(count)).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return count


def fill(megabytes, monitor):
    kept = bytearray(megabytes << 20)
    kept[:: 1 << 12] = b"\1" * len(kept[:: 1 << 12])
    wait(monitor)
    return len(kept)


def wait(monitor):
    for _ in range(600):
        monitor.update(0.0)
        time.sleep(0.05)


def environment(name, monitor):
    return os.environ.get(name)


def print_and_answer(monitor):
    print("not an answer", flush=True)
    os.write(1, b"nor this\n")
    return "answer"
