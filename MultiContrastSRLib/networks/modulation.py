"""Modulation of reference features by gates and statistics of the target (DINet)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from .layers import conv3
from .positions import Positions, sample_linear


class Gates(NamedTuple):
    """Statistics of one slice for the modulation; R channels, rank M.

    Attributes:
        channels (B, M, R), rows (B, M, H), cols (B, M, W): sigmoid gates.
        mean, std, reference_mean, reference_std: (B, R, 1, 1).
    """

    channels: Tensor
    rows: Tensor
    cols: Tensor
    mean: Tensor
    std: Tensor
    reference_mean: Tensor
    reference_std: Tensor

    def at(self, measured: Positions, positions: Positions) -> Gates:
        """Gates measured at one lattice's rows and columns, for those of another lattice or a part of it."""
        rows, cols = (
            sample_linear(gate[:, :, None], torch.zeros(1), _index(old, new))[:, :, 0]
            for gate, old, new in (
                (self.rows, measured.rows_t, positions.rows_t),
                (self.cols, measured.cols_t, positions.cols_t),
            )
        )
        return self._replace(rows=rows, cols=cols)


def _index(measured: Tensor, positions: Tensor) -> Tensor:
    """Fractional index of positions (p,) in the regular vector `measured`."""
    step = measured[1] - measured[0] if len(measured) > 1 else 1.0
    return (positions - measured[0]) / step


class Modulation(nn.Module):
    """Makes the reference's features look like the target's: (B, R, H, W) twice → (B, R, H, W).

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

    def measure(self, target: Tensor, reference: Tensor) -> Gates:
        """The gates of a whole slice."""
        channels = self.channels(target.mean((2, 3))).view(len(target), self.rank, -1)
        std, mean = torch.std_mean(target, (2, 3), keepdim=True)
        variance, reference_mean = torch.var_mean(reference, (2, 3), keepdim=True, correction=0)
        return Gates(
            channels.sigmoid(),
            self.rows(target.mean(3)).sigmoid(),
            self.cols(target.mean(2)).sigmoid(),
            mean,
            std,
            reference_mean,
            (variance + 1e-5).sqrt(),
        )

    def forward(self, target: Tensor, reference: Tensor, gates: Gates) -> Tensor:
        products = torch.einsum("bmc,bmh,bmw->bchw", gates.channels, gates.rows, gates.cols)
        cube = products / self.rank * target
        normalised = (reference - gates.reference_mean) / gates.reference_std
        return torch.addcmul(self.beta(cube) + gates.mean, normalised, self.gamma(cube) + gates.std)
