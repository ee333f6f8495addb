"""Making the next batches while the network trains on the present one."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
from torch.utils.data import DataLoader

from ...core.errors import MultiContrastSRError
from ...core.threads import set_threads_of_caller
from .batch import Batch
from .examples import Examples

_FEWEST_WORKERS = 3  # otherwise the device makes them, in a thread
_MOST_WORKERS = 32
_OF_PROCESSES = ("dataloader worker", "shared memory", "unable to open shared", "unable to write to file")


class WorkerError(MultiContrastSRError):
    """A process that makes batches has ended: memory does not suffice, or another program ended it."""

    exit_code = 1


def batch_workers(device: torch.device, processes: int = 1) -> int:
    """How many worker processes make batches for training on `device`: the cores but one, or none.

    A batch is thousands of small operations, in which a GPU is no faster than one core of a processor. On a CPU all
    cores train.

    Args:
        processes: that train on this machine and share its cores.

    >>> batch_workers(torch.device("cpu"))
    0
    """
    if device.type == "cpu":
        return 0
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    workers = min(cores // processes - 1, _MOST_WORKERS)
    return workers if workers >= _FEWEST_WORKERS else 0


def prefetched(examples: Examples, steps: Sequence[int], workers: int = 0) -> Iterator[Batch]:
    """The batches of `steps` in order, made while the caller uses those before. Closing the iterator ends this work.

    Making a batch takes a third of a training step on a CPU, and uses more than one core for a small part of it only:
    without `workers`, half of torch's threads make batches.

    Args:
        examples: on the CPU where there are workers.
        workers: number of processes, each of one thread.
    """
    return _by_processes(examples, steps, workers) if workers else _by_thread(examples, steps)


def _by_thread(examples: Examples, steps: Sequence[int]) -> Iterator[Batch]:
    threads = max(1, torch.get_num_threads() // 2)
    with ThreadPoolExecutor(1, "multicontrastsr-batches", set_threads_of_caller, (threads,)) as pool:
        pending = None
        for step in steps:
            batch, pending = pending, pool.submit(examples.__getitem__, step)
            if batch is not None:
                yield batch.result()
        if pending is not None:
            yield pending.result()


def _by_processes(examples: Examples, steps: Sequence[int], workers: int) -> Iterator[Batch]:
    own = torch.Generator()  # the loader draws a seed, which must not change the random state of the caller
    try:
        yield from DataLoader(examples, batch_size=None, sampler=steps, num_workers=workers, generator=own)
    except RuntimeError as error:
        if not any(words in str(error).lower() for words in _OF_PROCESSES):
            raise
        raise WorkerError(
            f"One of {workers} processes that make batches has ended ({str(error).splitlines()[0]}); the last "
            "checkpoint is unchanged. Give them more memory (of a container also shared memory: --shm-size), or train "
            "with fewer (--workers, 0 for none)."
        ) from error
