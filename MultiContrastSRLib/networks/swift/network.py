"""Swift: a correction of the base image by one small residual network, for whole volumes and live views. Ours."""

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
_SHARE = 0.2  # of what a block's convolutions compute, that it adds
_STRIP_PIXELS = 1 << 15  # whose features stay in a processor's cache


class Swift(Network):
    """base + network(base, auxiliary image, reference, interpolated target), limited: the guided image, corrected.

    Where the auxiliary image, which is made in another way, differs from the base image, one of them is wrong. All
    images lie on the output's lattice, so one network serves every scale along each axis, and nothing is computed twice
    when a slice is viewed again. The network is EDSR's without its upsampler (Lim et al., CVPRW 2017): the base image's
    errors show best in a comparison with the reference, pixel by pixel, at the output's resolution; blocks at half and
    a quarter of it, as in a U-Net, learned nothing. What a block adds is scaled down, as there: in the first steps of a
    training random features only disturb, and blocks that add all of them learn to be silent for good. The scale acts
    by gains and offsets of the channels (FiLM, Perez et al., AAAI 2018). No statistics of the slice are used: the
    correction of a crop is the crop of the correction. Inputs and activations are clamped and the output is limited:
    nothing runs away. Norms over the channels of each pixel (as in NAFNet, Chen et al., ECCV 2022) cost 0.1 dB. The
    last layer is initialised with zeros: an untrained network returns its base image.
    """

    black_reference_is_none = True
    INPUT_RANGE = (-0.5, 1.75)  # of normalised intensities; inputs are clamped to it
    GAIN = 4.0  # of the differences of auxiliary image and interpolated target from the base image

    def __init__(self, spec: SwiftSpec) -> None:
        super().__init__(spec)
        channels, width = spec.in_channels, spec.features
        self.reach = 2 * spec.blocks + 3  # a pixel a convolution, and one of the interpolation
        self.condition = nn.Sequential(nn.Linear(2, _CONDITION), nn.ReLU())
        self.head = conv3(spec.base_channels + 2 * channels, width)
        self.blocks = nn.ModuleList(Block(width) for _ in range(spec.blocks))
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
        return corrected(base, self._correct(channels_last(images), positions.scale), positions.scale)

    def _correct(self, images: Tensor, scale: tuple[float, float]) -> Tensor:
        rows, columns = (math.log2(factor) for factor in scale)
        # the same for both orders of the axes, and so for transposed slices; filled in, which needs no copy to a device
        numbers = (rows + columns) / 2, abs(rows - columns)
        condition = self.condition(torch.stack([images.new_full((), number) for number in numbers]))
        condition = condition / _CONDITION  # so that all of it, in one step, moves a gain as far as a weight
        with torch.autocast(images.device.type, enabled=False):  # the images, and so the sum of the blocks
            x = self.head(images)
        for block in self.blocks:
            x = block(x, condition)
        with torch.autocast(images.device.type, enabled=False):
            return self.tail(x)


class Block(nn.Module):
    """x + a share of two 3×3 convolutions of x; the first's channels have gains and offsets that depend on the scale.

    (B, C, H, W) → (B, C, H, W).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gains = nn.Linear(_CONDITION, 2 * channels)
        zero_init(self.gains)
        self.conv1, self.conv2 = conv3(channels, channels), conv3(channels, channels)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """`x` (B, C, H, W), condition (32,) → (B, C, H, W); on a CPU in place of x where no gradient needs x."""
        gain, offset = self.gains(condition).view(2, -1)
        weight = self.conv1.weight * (1 + gain).view(-1, 1, 1, 1)  # costs nothing, unlike gains of the maps
        bias = self.conv1.bias * (1 + gain) + offset
        if torch.is_grad_enabled() or x.device.type != "cpu":
            return torch.add(x, self._convolved(x, weight, bias), alpha=_SHARE)
        height, rows, added = x.shape[2], slice(0, 0), x[:, :, :0]
        step = max(2, _STRIP_PIXELS // (len(x) * x.shape[3]))  # no fewer rows than features reach beyond a strip
        for start in range(0, height, step):
            stop = min(start + step, height)
            first, last = max(0, start - 2), min(stop + 2, height)
            features = self._convolved(x[:, :, first:last], weight, bias)[:, :, start - first : stop - first]
            x[:, :, rows].add_(added, alpha=_SHARE)  # only now: these features depend on the strip before
            rows, added = slice(start, stop), features
        x[:, :, rows].add_(added, alpha=_SHARE)
        return x

    def _convolved(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return self.conv2(F.conv2d(x, weight, bias, padding=1).clamp_(0, _LARGEST))
