"""Work in several threads, and the number of threads that torch computes with."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from queue import Empty, SimpleQueue
from threading import Event, Lock
from typing import TypeVar

from .progress import Monitor

Item = TypeVar("Item")
_LOCK = Lock()
_PAUSES = (0.0, 0.002, 0.006)  # seconds before each look at what runs
_POLL = 0.05  # seconds between two checks for cancellation


def idle_threads(most: int) -> int:
    """How many threads can compute at once, 1 to `most`: cores that nothing else keeps busy, where that is known.

    Threads of OpenMP wait busily for 5 to 7 ms after they have worked, and do not count: the call takes up to 8 ms
    where cores seem to be busy.

    >>> idle_threads(1)
    1
    """
    found = 1
    for pause in _PAUSES:
        if found >= most:
            break
        time.sleep(pause)
        running = _running()
        found = max(found, most if running is None else min(most, (os.cpu_count() or 1) - (running - 1)))
    return found


def _running() -> int | None:
    """How many threads run or wait for a core now, this one among them; None where it is not known (not on Linux)."""
    try:
        with open("/proc/loadavg", encoding="ascii") as line:
            return int(line.read().split()[3].partition("/")[0])
    except (OSError, IndexError, ValueError):
        return None


def in_threads(
    items: Iterable[Item],
    work: Callable[[Item, Monitor], None],
    monitor: Monitor,
    most: int | None = None,
    context: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> None:
    """`work(item, monitor)` for all items in up to `most` threads (None: one a core), the calling one among them.

    Each thread takes the next item when it is ready: none waits for others. Busy cores get no thread (`idle_threads`).

    Args:
        work: independent of the other items; is given a monitor to ask in its thread. Works outside the GIL, or most
            threads wait.
        monitor: asked in the calling thread only, which works as well.
        context: of each thread.

    Raises:
        CancelledError: the monitor's caller wants to cancel; all threads have ended.
    """
    left: SimpleQueue[Item] = SimpleQueue()
    for item in items:
        left.put(item)
    stop = Event()

    def run(monitor: Monitor) -> None:
        with context(), suppress(Empty):
            while not stop.is_set():
                work(left.get_nowait(), monitor)

    others = idle_threads(min(left.qsize(), most or os.cpu_count() or 1)) - 1
    if not others:
        run(monitor)
        return
    with ThreadPoolExecutor(max_workers=others) as pool:
        futures = [pool.submit(run, Monitor(None, stop.is_set, stage=monitor.stage)) for _ in range(others)]
        try:
            run(monitor)
            while wait(futures, _POLL, FIRST_EXCEPTION).not_done and not any(map(_has_failed, futures)):
                monitor.check()
        finally:
            stop.set()
    for future in futures:
        future.result()


def for_each(items: Iterable[Item], work: Callable[[Item, Monitor], None], monitor: Monitor) -> None:
    """`in_threads` for work of torch on the CPU, in up to as many threads as torch uses in the calling one.

    Each thread computes by itself (`single_threaded`): none waits busily for others, as the threads within an operation
    of torch do, so that neighbours on the machine cost their share only.
    """
    import torch

    inference = torch.is_inference_mode_enabled()  # is a thread's own

    @contextmanager
    def alone() -> Iterator[None]:
        with single_threaded(), torch.inference_mode(inference):
            yield

    in_threads(items, work, monitor, torch.get_num_threads(), alone)


def _has_failed(future: Future[None]) -> bool:
    return future.done() and future.exception() is not None


@contextmanager
def single_threaded() -> Iterator[None]:
    """CPU work of torch in the calling thread alone; other threads keep their numbers of threads.

    Faster than several threads for many operations on small blocks, above all on a busy machine, where threads that
    meet after each operation wait for each other. Results are then the same, bit by bit, on any number of cores.

    torch keeps a number for every thread, and one that later threads begin with. `torch.set_num_threads` changes both
    of them; the second is put back at once, so that this context has no effect outside the calling thread.

    >>> import torch
    >>> with single_threaded():
    ...     torch.get_num_threads()
    1
    """
    import torch

    before = torch.get_num_threads()
    set_threads_of_caller(1)
    try:
        yield
    finally:
        set_threads_of_caller(before)


@contextmanager
def threads_by_load() -> Iterator[None]:
    """CPU work of torch in no more threads than cores are idle now (`idle_threads`), for work of a second or so.

    The threads within an operation wait for each other: on a busy machine, two can take many times as long as one.
    """
    import torch

    before = torch.get_num_threads()
    count = idle_threads(before)
    if count == before:
        yield
        return
    set_threads_of_caller(count)
    try:
        yield
    finally:
        set_threads_of_caller(before)


def set_threads_of_caller(count: int) -> None:
    """Set the number of torch's threads in the calling thread, and leave the one that later threads begin with."""
    import torch

    if torch.get_num_threads() == count:
        return
    with _LOCK, ThreadPoolExecutor(max_workers=1) as other:
        of_new_threads = other.submit(torch.get_num_threads).result()
        torch.set_num_threads(count)
        other.submit(torch.set_num_threads, of_new_threads).result()
