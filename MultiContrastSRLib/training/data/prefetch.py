"""Making the next batch while the network trains on the present one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import torch

from ...core.threads import set_threads_of_caller
from .batch import Batch
from .examples import Examples


def prefetched(examples: Examples, steps: Iterable[int]) -> Iterator[Batch]:
    """The batches of `steps` in order, each made in a thread while the caller uses the one before.

    Making a batch takes a third of a training step on a CPU, and uses more than one core for a small part of it only:
    half of torch's threads make batches. Closing the iterator waits for the batch that is being made.
    """
    threads = max(1, torch.get_num_threads() // 2)
    with ThreadPoolExecutor(1, "multicontrastsr-batches", set_threads_of_caller, (threads,)) as pool:
        pending = None
        for step in steps:
            batch, pending = pending, pool.submit(examples.__getitem__, step)
            if batch is not None:
                yield batch.result()
        if pending is not None:
            yield pending.result()
