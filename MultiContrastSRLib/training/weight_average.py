"""Exponential moving average of the weights, which is what is validated and exported."""

from __future__ import annotations

from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel


def averaged_model(net: nn.Module, decay: float, updates: int = 0) -> AveragedModel:
    """An averaged copy of `net`, which starts as its current weights.

    The decay of update n is min(decay, n / (n + 9)), so that the initial weights are soon forgotten.

    Args:
        updates: number of updates that the weights of `net` have already averaged, for a resumed training run.
    """

    def average(averaged: list[Tensor], current: list[Tensor], n_averaged: Tensor) -> None:
        n = int(n_averaged)  # the initial weights are the first
        for mean, tensor in zip(averaged, current, strict=True):
            mean.lerp_(tensor, 1 - min(decay, n / (n + 9)))

    averaged = AveragedModel(net, multi_avg_fn=average, use_buffers=True)
    averaged.n_averaged.fill_(1 + updates)
    averaged.module.eval().requires_grad_(False)
    return averaged
