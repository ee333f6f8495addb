"""The number of threads that torch computes with."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Lock

_LOCK = Lock()


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
    _set_threads_of_caller(1)
    try:
        yield
    finally:
        _set_threads_of_caller(before)


def _set_threads_of_caller(count: int) -> None:
    """Set the calling thread's number, and leave the number that later threads begin with."""
    import torch

    with _LOCK, ThreadPoolExecutor(max_workers=1) as other:
        of_new_threads = other.submit(torch.get_num_threads).result()
        torch.set_num_threads(count)
        other.submit(torch.set_num_threads, of_new_threads).result()
