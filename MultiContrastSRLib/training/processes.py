"""Several processes that share a batch (`torchrun`): one gradient, one decision to stop."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.distributed as distributed
from torch import Tensor, nn


@dataclass(frozen=True)
class Processes:
    """This process among its fellows.

    Attributes:
        rank, count: which of how many. local: which on this machine, hence its GPU.
    """

    rank: int = 0
    count: int = 1
    local: int = 0

    @classmethod
    def join(cls, device: str) -> Processes:
        """By the environment that torchrun sets; alone without it. gloo on CPUs, NCCL on GPUs."""
        count = int(os.environ.get("WORLD_SIZE", "1"))
        if count > 1 and not distributed.is_initialized():
            distributed.init_process_group("gloo" if device == "cpu" else "nccl")
        return cls(int(os.environ.get("RANK", "0")), count, int(os.environ.get("LOCAL_RANK", "0")))

    @property
    def first(self) -> bool:
        """Whether this one validates and writes files."""
        return self.rank == 0

    @property
    def part(self) -> slice:
        """The examples of a batch that are this one's."""
        return slice(self.rank, None, self.count)

    def average(self, parameters: Sequence[nn.Parameter], numbers: Tensor) -> Tensor:
        """Average the parameters' gradients in place over the processes, and `numbers` (n,), which is returned."""
        if self.count == 1:
            return numbers
        gradients = [p.grad for p in parameters]
        flat = torch.cat([*(g.flatten() for g in gradients), numbers.to(gradients[0])])
        distributed.all_reduce(flat)
        flat /= self.count
        start = 0
        for gradient in gradients:
            gradient.copy_(flat[start : start + gradient.numel()].view_as(gradient))
            start += gradient.numel()
        return flat[start:]

    def wait(self) -> None:
        """Until all are here."""
        if self.count > 1:
            distributed.barrier()

    def leave(self) -> None:
        """The end of the work together."""
        if self.count > 1 and distributed.is_initialized():
            distributed.destroy_process_group()
