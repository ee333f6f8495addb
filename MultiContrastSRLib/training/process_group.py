"""Several processes that share a batch (`torchrun`): one gradient, and one decision to stop."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as distributed
from torch import Tensor, nn


@dataclass(frozen=True)
class ProcessGroup:
    """This process among those that share a batch.

    Attributes:
        rank: index of this process.
        size: number of processes.
        local_rank: index on this machine, which is the index of its GPU.
        local_size: number of processes on this machine.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1

    @classmethod
    @contextmanager
    def joined(cls, device: str) -> Iterator[ProcessGroup]:
        """The process group that torchrun's environment describes, left at the end in every case.

        A single process without that environment needs no group. The backend is gloo for "cpu", else NCCL.
        """
        size = int(os.environ.get("WORLD_SIZE", "1"))
        if size == 1:
            yield cls()
            return
        joins = not distributed.is_initialized()  # a caller may have joined it already, and then leaves it
        if joins:
            distributed.init_process_group("gloo" if device == "cpu" else "nccl")
        try:
            rank, local_rank = (int(os.environ.get(name, "0")) for name in ("RANK", "LOCAL_RANK"))
            yield cls(rank, size, local_rank, int(os.environ.get("LOCAL_WORLD_SIZE", str(size))))
        finally:
            if joins:
                distributed.destroy_process_group()

    @property
    def is_main(self) -> bool:
        """Whether this process validates and writes files."""
        return self.rank == 0

    @property
    def part(self) -> slice:
        """The examples of a batch that this process works on."""
        return slice(self.rank, None, self.size)

    def average(self, parameters: Sequence[nn.Parameter], numbers: Tensor) -> Tensor:
        """Average the gradients of `parameters` over the processes in place, and return the average of `numbers`.

        Args:
            numbers: (n,).
        """
        if self.size == 1:
            return numbers
        gradients = [p.grad for p in parameters]
        flat = torch.cat([*(g.flatten() for g in gradients), numbers.to(gradients[0])])
        distributed.all_reduce(flat)
        flat /= self.size
        start = 0
        for gradient in gradients:
            gradient.copy_(flat[start : start + gradient.numel()].view_as(gradient))
            start += gradient.numel()
        return flat[start:]

    def wait(self) -> None:
        """Wait until all processes have reached this call."""
        if self.size > 1:
            distributed.barrier()
