"""Swift: a correction of the base image by one small U-Net, for whole volumes and live views. Ours."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..bounded import corrected
from ..layers import channels_last, conv3, zero_init
from ..network import Network
from ..positions import Positions, sample_linear

if TYPE_CHECKING:
    from .spec import SwiftSpec

_CONDITION = 32  # width of the layer that maps the scale to the gains and offsets of channels
_LARGEST = 32.0  # activation, so that no weights and input overflow; trained weights reach 6 on noise and checkerboards


class Swift(Network):
    """base + U-Net(base, auxiliary image, reference, interpolated target), limited: the guided image, corrected.

    Where the auxiliary image, which is made in another way, differs from the base image, one of them is wrong. All
    images lie on the output's lattice, so one network serves every scale along each axis, and nothing is computed
    twice when a slice is viewed again. The base image's errors show best in a comparison with the reference, pixel by
    pixel; at strong downscaling they are as wide as the target's pixels, which the two coarser resolutions of the U-Net
    (Ronneberger et al., MICCAI 2015) cover at a fraction of the cost. The scale acts by gains and offsets of the
    channels (FiLM, Perez et al., AAAI 2018). No statistics of the slice are used: the correction of a crop is the crop
    of the correction. Inputs and activations are clamped and the output is limited: nothing runs away. Norms over the
    channels of each pixel (as in NAFNet, Chen et al., ECCV 2022) cost 0.1 dB. The last layer is initialised with zeros:
    an untrained network returns its base image.
    """

    black_reference_is_none = True
    INPUT_RANGE = (-0.5, 1.75)  # of normalised intensities; inputs are clamped to it
    GAIN = 4.0  # of the differences of auxiliary image and interpolated target from the base image
    _MULTIPLE = 4  # pixels: two halvings of the resolution

    def __init__(self, spec: SwiftSpec) -> None:
        super().__init__(spec)
        channels, width, blocks = spec.in_channels, spec.features, spec.blocks
        half, quarter = 2 * width, 4 * width
        # convolutions at the output's resolution, at half and a quarter of it, and where the halvings begin
        self.reach = 18 * blocks + 17
        self.condition = nn.Sequential(nn.Linear(2, _CONDITION), nn.ReLU())
        self.head = conv3(spec.base_channels + 2 * channels, width)
        self.before = _blocks(width, 1)
        self.down = nn.Conv2d(width, half, 2, stride=2)
        self.before_half = _blocks(half, blocks)
        self.down_half = nn.Conv2d(half, quarter, 2, stride=2)
        self.middle = _blocks(quarter, blocks + 1)
        self.up_half = nn.ConvTranspose2d(quarter, half, 2, stride=2)
        self.after_half = _blocks(half, blocks)
        self.up = nn.ConvTranspose2d(half, width, 2, stride=2)
        self.after = _blocks(width, blocks)
        self.tail = conv3(width, channels)
        zero_init(self.tail)

    def encode_target(self, target: Tensor) -> Tensor:
        """The target itself."""
        return target

    def encode_reference(self, reference: Tensor) -> Tensor:
        """The reference itself."""
        return reference

    def decode(
        self, target: Tensor, reference: Tensor | None, positions: Positions, *, base: Tensor | None = None
    ) -> Tensor:
        """See `Network.decode`."""
        base, *auxiliary = self.checked_base(base).split(self.spec.in_channels, dim=1)
        other = torch.zeros_like(base) if reference is None else sample_linear(reference, *positions.in_reference)
        low, high = self.INPUT_RANGE
        others = [*auxiliary, sample_linear(target, *positions.in_target)]
        differences = torch.cat([self.GAIN * (image - base) for image in others], dim=1).clamp(low - high, high - low)
        images = torch.cat([torch.cat([base, other], dim=1).clamp(low, high), differences], dim=1)
        h, w = base.shape[-2:]
        images = F.pad(images, (0, -w % self._MULTIPLE, 0, -h % self._MULTIPLE))
        output = self._correct(channels_last(images), positions.scale)
        return corrected(base, output[..., :h, :w], positions.scale)

    def _correct(self, images: Tensor, scale: tuple[float, float]) -> Tensor:
        rows, columns = (math.log2(factor) for factor in scale)
        # the same for both orders of the axes, and so for transposed slices; filled in, which needs no copy to a device
        numbers = (rows + columns) / 2, abs(rows - columns)
        condition = self.condition(torch.stack([images.new_full((), number) for number in numbers]))

        def through(blocks: nn.ModuleList, x: Tensor) -> Tensor:
            for block in blocks:
                x = block(x, condition)
            return x

        full = through(self.before, self.head(images))
        half = through(self.before_half, self.down(full))
        coarse = through(self.middle, self.down_half(half))
        half = through(self.after_half, half + self.up_half(coarse))
        return self.tail(through(self.after, full + self.up(half)))


class Block(nn.Module):
    """x + two 3×3 convolutions of x, after gains and offsets of its channels that depend on the scale.

    (B, C, H, W) → (B, C, H, W).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gains = nn.Linear(_CONDITION, 2 * channels)
        zero_init(self.gains)
        self.conv1, self.conv2 = conv3(channels, channels), conv3(channels, channels)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """`x` (B, C, H, W), condition (32,) → (B, C, H, W)."""
        gain, offset = self.gains(condition).to(x.dtype).view(2, -1, 1, 1)
        return x + self.conv2(self.conv1(x * (1 + gain) + offset).clamp_(0, _LARGEST))


def _blocks(channels: int, count: int) -> nn.ModuleList:
    return nn.ModuleList(Block(channels) for _ in range(count))
