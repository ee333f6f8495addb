"""Convolution whose kernel is mixed for each image from its features and the scale (DINet)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..layers import conv3
from ..positions import to_device


class DynamicConvolution(nn.Module):
    """Scale-adaptive dynamic convolution, one set of kernels for both branches.

    x, y ← x + kernel_0(x), y + kernel_0(y); then kernels and biases are mixed by a softmax (temperature 20) of a query,
    from the means of both branches and the scale, on a learned key, and x, y ← x + mixed(x), y + mixed(y).
    """

    def __init__(self, features: int, kernels: int, temperature: float) -> None:
        super().__init__()
        self.temperature = temperature
        self.kernels = nn.ModuleList(conv3(features, features) for _ in range(kernels))
        if kernels > 1:
            hidden = max(1, features // 4)
            self.query = nn.Sequential(
                nn.Linear(features + 2, 2 * features), nn.ReLU(), nn.Linear(2 * features, hidden), nn.ReLU()
            )
            self.key = nn.Linear(hidden, kernels, bias=False)

    def forward(self, x: Tensor, y: Tensor | None, scale: tuple[float, float]) -> tuple[Tensor, Tensor | None]:
        """`x` (B, G, h, w), y (B, G, any size) or None, scale (rows, columns) → both, shapes kept."""
        x = x + self.kernels[0](x)
        if y is not None:
            y = y + self.kernels[0](y)
        shares = self._shares(x, y, scale)
        weight = torch.einsum("bk,koixy->boixy", shares, torch.stack([k.weight for k in self.kernels]))
        bias = shares @ torch.stack([k.bias for k in self.kernels])
        return tuple(None if z is None else z + _conv_per_sample(z, weight, bias) for z in (x, y))

    def _shares(self, x: Tensor, y: Tensor | None, scale: tuple[float, float]) -> Tensor:
        """The weight of each kernel for each sample, (B, kernels)."""
        if len(self.kernels) == 1:
            return x.new_ones(len(x), 1)
        mean = x.mean((2, 3))
        if y is not None:
            mean = mean + y.mean((2, 3))
        scales = to_device(torch.tensor(scale), mean.device, mean.dtype).expand(len(mean), 2)
        query = self.query(torch.cat([mean, scales], dim=1))
        return (self.key(query) / self.temperature).softmax(dim=1)


def _conv_per_sample(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """`x` (B, I, h, w), weight (B, O, I, 3, 3), bias (B, O) → (B, O, h, w), each sample by its own kernel."""
    b, _, h, w = x.shape
    y = F.conv2d(x.reshape(1, -1, h, w), weight.flatten(0, 1), bias.flatten(), padding=1, groups=b)
    return y.reshape(b, -1, h, w)
