"""A worker process: takes calls from standard input, and answers on standard output, as pickled tuples.

It ends at once when its input ends, that is also when the process that started it was killed.
"""

from __future__ import annotations

import os
import pickle
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module

from ..core.errors import CancelledError
from ..core.progress import Monitor, ProgressCallback

_OFTEN = 0.2  # s between two reports of progress


def call(function: str, arguments: tuple, monitor: Monitor) -> object:
    """The value of `function` ("package.module:name") for `arguments` and `monitor`."""
    module, _, name = function.partition(":")
    return getattr(import_module(module), name)(*arguments, monitor)


def main() -> None:
    """Answer calls until the input ends."""
    channel = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print on standard output must not get among the answers
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda number, frame: stop.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends it to all; the main process decides
    calls: queue.SimpleQueue = queue.SimpleQueue()
    threading.Thread(target=_read, args=(calls,), daemon=True).start()

    def answer(*message: object) -> None:
        pickle.dump(message, channel)
        channel.flush()

    answer("ready")
    while True:
        function, arguments = calls.get()
        try:
            answer("result", call(function, arguments, Monitor(_limited(answer), stop.is_set)))
        except CancelledError:
            answer("cancelled")
        except BaseException as error:
            answer("error", _portable(error), traceback.format_exc())


def _read(calls: queue.SimpleQueue) -> None:
    with suppress(EOFError, OSError, pickle.UnpicklingError):
        while True:
            calls.put(pickle.load(sys.stdin.buffer))
    os._exit(0)


def _limited(answer: Callable[..., None]) -> ProgressCallback:
    """A progress callback that reports now and then."""
    last = [0.0]

    def report(fraction: float, stage: str) -> None:
        now = time.monotonic()
        if now - last[0] >= _OFTEN:
            last[0] = now
            answer("progress", fraction, stage)

    return report


def _portable(error: BaseException) -> BaseException:
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # an error of a library whose class cannot be pickled
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


if __name__ == "__main__":
    main()
