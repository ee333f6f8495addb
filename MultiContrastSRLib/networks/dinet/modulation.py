"""Modulation of reference features by gates and statistics of the target (DINet)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..layers import conv3


class Modulation(nn.Module):
    """Adapts the reference's features to the target's: (B, R, H, W) twice → (B, R, H, W).

    From the target three sigmoid gates of rank M: per channel, per row, per column. The mean over M of their product
    times the target is a cube; γ = conv(cube) + the target's std, β = conv(cube) + the target's mean. Result: the
    reference, instance-normalised, times γ plus β.
    """

    def __init__(self, channels: int, rank: int) -> None:
        super().__init__()
        self.rank = rank
        self.channels = nn.Linear(channels, rank * channels)
        self.rows = nn.Conv1d(channels, rank, 1)
        self.cols = nn.Conv1d(channels, rank, 1)
        self.gamma = conv3(channels, channels)
        self.beta = conv3(channels, channels)

    def forward(self, target: Tensor, reference: Tensor) -> Tensor:
        """Target and reference (B, R, H, W) → (B, R, H, W)."""
        channels = self.channels(target.mean((2, 3))).view(len(target), self.rank, -1).sigmoid()
        rows, cols = self.rows(target.mean(3)).sigmoid(), self.cols(target.mean(2)).sigmoid()
        cube = torch.einsum("bmc,bmh,bmw->bchw", channels, rows, cols) / self.rank * target
        std, mean = torch.std_mean(target, (2, 3), keepdim=True)
        variance, reference_mean = torch.var_mean(reference, (2, 3), keepdim=True, correction=0)
        normalised = (reference - reference_mean) / (variance + 1e-5).sqrt()
        return torch.addcmul(self.beta(cube) + mean, normalised, self.gamma(cube) + std)
