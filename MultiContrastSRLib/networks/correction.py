"""What a network adds to its base image, from the base and the reference side by side. Ours, not the papers'."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from ..errors import InputError
from .layers import channels_last, conv3, zeroed


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions around which the input is added, no normalisation: (B, C, H, W) → (B, C, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = conv3(channels, channels)
        self.conv2 = conv3(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(self.conv1(x).relu_())


class Correction(nn.Module):
    """A residual network of three resolutions (after U-Net, Ronneberger et al., MICCAI 2015; blocks as EDSR's).

    The base is a good image already, and what is wrong with it shows best beside the reference, pixel by pixel; so
    both enter at the output's resolution. At strong downscaling an error is as wide as the target's pixels, which the
    coarser resolutions oversee at a fraction of the cost. The network's own features come on top. The last layer starts
    at zero: an untrained network returns its base. No statistics of the slice enter: a tile is the crop of the whole.

    What is to be done at mild and at strong downscaling differs, and one set of weights is a compromise. So there can
    be two, of which a scale takes the mean that its place between them gives (weights mixed by a condition: Yang,
    Bender, Le, Ngiam, NeurIPS 2019, "CondConv"); a slice costs no more than with one.
    """

    # all else is seen as the nearer end: far from what it was trained on it runs wild
    SEEN = (-0.25, 2.0)
    MILD, STRONG = 1.5, 4.0  # scales that have a set of their own, as all below and above
    MULTIPLE = 4  # pixels: a tile must begin at a multiple of this of the whole's pixels

    def __init__(self, in_channels: int, width: int, blocks: int, features: int = 0, by_scale: bool = False) -> None:
        """`width` channels, and twice and four times as many; `blocks` residual blocks a side; `features` given.

        `by_scale`: a second set of weights for strong downscaling, held as what it differs by from the first.
        """
        super().__init__()
        half, quarter = 2 * width, 4 * width
        self.head = conv3(2 * in_channels, width)
        if features:
            self.enter = nn.Conv2d(features, width, 1)
            zeroed(self.enter)  # so that weights of a correction without features are a good start
        self.before = ResidualBlock(width)
        self.down = nn.Conv2d(width, half, 2, stride=2)
        self.before_half = _blocks(half, blocks)
        self.down_half = nn.Conv2d(half, quarter, 2, stride=2)
        self.quarter = _blocks(quarter, blocks + 1)
        self.up_half = nn.ConvTranspose2d(quarter, half, 2, stride=2)
        self.after_half = _blocks(half, blocks)
        self.up = nn.ConvTranspose2d(half, width, 2, stride=2)
        self.after = _blocks(width, blocks)
        self.tail = conv3(width, in_channels)
        zeroed(self.tail)
        self.strong = Correction(in_channels, width, blocks) if by_scale else None
        if by_scale:
            for weight in self.strong.parameters():
                nn.init.zeros_(weight)

    @property
    def halo(self) -> int:
        """Pixels around a tile on which its own depend."""
        blocks = len(self.after)
        return (4 + 2 * blocks) + 2 * 4 * blocks + 4 * 2 * (blocks + 1) + self.MULTIPLE

    def forward(
        self,
        base: Tensor | None,
        reference: Tensor | None,
        features: Tensor | None = None,
        scale: tuple[float, float] | None = None,
    ) -> Tensor:
        """base and reference (B, C, H, W) in about 0…1, features (B, F, H, W) → correction (B, C, H, W).

        Args:
            scale: of rows and columns (`Positions.scale`); None takes the weights for mild scales.

        Raises:
            InputError: there is no base.
        """
        if self.strong is not None and scale is not None:
            share = (math.sqrt(scale[0] * scale[1]) - self.MILD) / (self.STRONG - self.MILD)
            share, mild = min(max(share, 0.0), 1.0), dict(self.named_parameters())
            mixed = {name: mild[name] + share * more for name, more in self.strong.named_parameters()}
            return functional_call(self, mixed, (base, reference, features))
        if base is None:
            raise InputError(
                "This network corrects a base image but none is given; pass `base` on the output's lattice."
            )
        h, w = base.shape[-2:]
        seen = torch.zeros_like(base) if reference is None else reference
        x = channels_last(self.head(torch.cat([base, seen], dim=1).clamp(*self.SEEN)))
        if features is not None:
            x = x + self.enter(features)
        x = self.before(F.pad(x, (0, -w % self.MULTIPLE, 0, -h % self.MULTIPLE)))
        y = self.before_half(self.down(x))
        y = self.after_half(y + self.up_half(self.quarter(self.down_half(y))))
        return self.tail(self.after(x + self.up(y)))[..., :h, :w]


def _blocks(channels: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(ResidualBlock(channels) for _ in range(count)))
