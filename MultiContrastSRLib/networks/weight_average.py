"""Exponential moving average of the weights of a network that is trained or fitted, which is what is used of it."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


def averaged_model(net: nn.Module, decay: float, updates: int = 0) -> AveragedModel:
    """An averaged copy of `net`, which starts as its current weights.

    The decay of update n is min(decay, n / (n + 9)), so that the initial weights are soon forgotten.

    Args:
        updates: number of updates that the weights of `net` have already averaged, for a resumed training run.
    """

    def average(averaged: list[Tensor], current: list[Tensor], n_averaged: Tensor) -> None:
        n = int(model.n_averaged)  # the initial weights are the first; `n_averaged` is a copy of it on their device
        get_ema_multi_avg_fn(min(decay, n / (n + 9)))(averaged, current, n_averaged)

    model = AveragedModel(net, multi_avg_fn=average, use_buffers=True)
    model.n_averaged = torch.tensor(1 + updates)  # in host memory: to read it must not wait for a device
    model.module.eval().requires_grad_(False)
    return model
