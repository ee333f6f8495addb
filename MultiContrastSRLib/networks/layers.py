"""Blocks that several networks use: the residual dense network, channel attention and blocks with it."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def conv3(channels_in: int, channels_out: int) -> nn.Conv2d:
    """3×3 convolution that keeps the size: (B, channels_in, H, W) → (B, channels_out, H, W), zeros outside."""
    return nn.Conv2d(channels_in, channels_out, 3, padding=1)


def channels_last(x: Tensor) -> Tensor:
    """`x` (B, C, H, W) in channels-last memory format for inference on a CPU, otherwise unchanged.

    Convolutions are up to 1.9 times as fast in this format, and layers preserve the format of their input.
    """
    if torch.is_grad_enabled() or x.device.type != "cpu":
        return x
    return x.contiguous(memory_format=torch.channels_last)


def residual_add(x: Tensor, y: Tensor) -> Tensor:
    """The sum x + y, in place of x where no gradient needs x: an allocation costs more than the sum."""
    return x + y if torch.is_grad_enabled() else x.add_(y)


class DenseBlock(nn.Module):
    """Residual dense block (Zhang et al., CVPR 2018, Eqs. 4–6): C layers, each on the outputs of all previous ones.

    (B, G, H, W) → (B, G, H, W); `buffer` for 1 + C maps, see `_buffer`.
    """

    def __init__(self, features: int, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(conv3(features * (1 + c), features) for c in range(layers))
        self.fusion = nn.Conv2d(features * (1 + layers), features, 1)

    def forward(self, x: Tensor, buffer: Tensor | None) -> Tensor:
        """(B, G, H, W) → (B, G, H, W)."""
        maps = [x]
        for layer in self.layers:
            maps.append(layer(_concatenate(maps, buffer)).relu_())
        return residual_add(self.fusion(_concatenate(maps, buffer)), x)


def _buffer(x: Tensor, count: int) -> Tensor | None:
    """Memory for `count` maps of the size of `x`, which `_concatenate` reuses; None where it is not applicable."""
    if torch.is_grad_enabled() or not x.is_contiguous(memory_format=torch.channels_last):
        return None
    return x.new_empty(count * x.numel())


def _concatenate(maps: list[Tensor], buffer: Tensor | None) -> Tensor:
    """The maps concatenated along the channels; the next call with the same `buffer` overwrites the result."""
    if buffer is None:
        return torch.cat(maps, dim=1)
    b, c, h, w = maps[0].shape
    whole = buffer[: len(maps) * maps[0].numel()].view(b, h, w, len(maps) * c).permute(0, 3, 1, 2)
    return torch.cat(maps, dim=1, out=whole)


class RDN(nn.Module):
    """Residual dense network without its upsampler (Zhang et al., CVPR 2018, Eqs. 1–8). No normalisation.

    (B, in_channels, H, W) → (B, G, H, W). Two shallow convolutions, D dense blocks of C layers, global fusion of all
    blocks (1×1, 3×3), plus the first convolution's output. D=5, C=10, G=64, two channels: 10,462,016 parameters.
    """

    def __init__(self, in_channels: int, features: int, blocks: int, layers: int) -> None:
        super().__init__()
        self.shallow1 = conv3(in_channels, features)
        self.shallow2 = conv3(features, features)
        self.blocks = nn.ModuleList(DenseBlock(features, layers) for _ in range(blocks))
        self.fusion = nn.Sequential(nn.Conv2d(features * blocks, features, 1), conv3(features, features))

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) → (B, G, H, W)."""
        first = channels_last(self.shallow1(x))
        x = self.shallow2(first)
        buffer = _buffer(x, max(1 + len(self.blocks[0].layers), len(self.blocks)))
        outputs = []
        for block in self.blocks:
            x = block(x, buffer)
            outputs.append(x)
        return residual_add(self.fusion(_concatenate(outputs, buffer)), first)


class ChannelAttention(nn.Module):
    """Channel weights from statistics over the whole map: (B, C, H, W) → (B, C, 1, 1) in 0…1.

    RCAN's form (Zhang et al., ECCV 2018, Eqs. 9–10): the mean, with biases. CBAM's (Woo et al., ECCV 2018, Eq. 2):
    `with_max`, mean and maximum through the same two layers, summed, without biases.
    """

    def __init__(self, channels: int, with_max: bool = False, ratio: int = 16) -> None:
        super().__init__()
        hidden = max(1, channels // ratio)
        self.with_max = with_max
        self.squeeze = nn.Conv2d(channels, hidden, 1, bias=not with_max)
        self.excite = nn.Conv2d(hidden, channels, 1, bias=not with_max)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (B, C, 1, 1)."""
        gate = self.excite(self.squeeze(x.mean((2, 3), keepdim=True)).relu())
        if self.with_max:
            gate = gate + self.excite(self.squeeze(x.amax((2, 3), keepdim=True)).relu())
        return gate.sigmoid()


class CBAM(nn.Module):
    """Convolutional block attention (Woo et al., ECCV 2018, Eqs. 1–3), spatial kernel 3×3, no biases.

    (B, C, H, W) → (B, C, H, W).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channel = ChannelAttention(channels, with_max=True)
        self.spatial = nn.Conv2d(2, 1, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (B, C, H, W)."""
        x = x * self.channel(x)
        summary = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], dim=1)
        weight = self.spatial(summary).sigmoid()
        return x * weight if torch.is_grad_enabled() else x.mul_(weight)


class RCAB(nn.Module):
    """Residual channel attention block (Zhang et al., ECCV 2018, Eq. 12): (B, C, H, W) → (B, C, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = conv3(channels, channels)
        self.conv2 = conv3(channels, channels)
        self.attention = ChannelAttention(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (B, C, H, W)."""
        y = self.conv2(self.conv1(x).relu_())
        return torch.addcmul(x, y, self.attention(y))


class ResidualGroup(nn.Module):
    """RCABs and a convolution, around which the input is added (ibid., Eq. 5): (B, C, H, W) → (B, C, H, W)."""

    def __init__(self, channels: int, blocks: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(RCAB(channels) for _ in range(blocks)))
        self.conv = conv3(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (B, C, H, W)."""
        return residual_add(self.conv(self.blocks(x)), x)


def zero_init(layer: nn.Conv2d) -> None:
    """Initialise `layer` to return zeros."""
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
