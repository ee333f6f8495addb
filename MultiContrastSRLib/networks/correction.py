"""What a network adds to its base image, from the base and the reference side by side. Ours, not the papers'."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from ..core.errors import InputError
from .layers import channels_last, conv3, zeroed
from .orientations import ORIENTATIONS, turned, turned_back


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
    both enter at the output's resolution, and so may another image of the same, made in another way: where the two
    differ there is something to put right. At strong downscaling an error is as wide as the target's pixels, which the
    coarser resolutions oversee at a fraction of the cost. The network's own features come on top. The last layer starts
    at zero: an untrained network returns its base. No statistics of the slice enter: a tile is the crop of the whole.

    What is to be done at mild and at strong downscaling differs, and one set of weights is a compromise. So there can
    be a set at each of some scales; between two of them their mean is taken, as near to each as the scale is (weights
    mixed by a condition: Yang, Bender, Le, Ngiam, NeurIPS 2019, "CondConv"). A slice costs no more than with one.

    Attributes:
        orientations: over how many of the eight mirrored and turned inputs the mean is taken; see `orientations`.
    """

    # all else is seen as the nearer end: far from what it was trained on it runs wild
    SEEN = (-0.25, 2.0)
    DIFFERENCE = 4.0  # what the other image differs by from the base is seen so many times larger
    SCALES = (2.0, 4.0, 6.0)  # that have a set of weights of their own, the first as all below, the last as all above
    orientations = 1
    MULTIPLE = 4  # pixels: a tile must begin at a multiple of this of the whole's pixels

    def __init__(
        self,
        in_channels: int,
        width: int,
        blocks: int,
        features: int = 0,
        *,
        beside: bool = False,
        by_scale: bool = False,
    ) -> None:
        """`width` channels, and twice and four times as many; `blocks` residual blocks a side; `features` given.

        `beside`: another image is seen. `by_scale`: a set of weights at each of `SCALES`, which begin alike.
        """
        super().__init__()
        half, quarter = 2 * width, 4 * width
        self.in_channels = in_channels
        self.head = conv3(2 * in_channels, width)
        if beside:
            self.beside = conv3(in_channels, width)
            zeroed(self.beside)  # as `enter`
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
        own, self.further = self.state_dict(), nn.ModuleList()
        for _ in self.SCALES[1:] if by_scale else ():
            further = Correction(in_channels, width, blocks, beside=beside)
            further.load_state_dict({name: own[name] for name in further.state_dict()})
            self.further.append(further)

    @property
    def halo(self) -> int:
        """Pixels around a tile on which its own depend."""
        blocks = len(self.after)
        return (4 + 2 * blocks) + 2 * 4 * blocks + 4 * 2 * (blocks + 1) + self.MULTIPLE

    def weights_at(self, scale: tuple[float, float]) -> dict[str, Tensor]:
        """The weights for a scale of rows and columns, by the names that they have with one set."""
        weights = {name: weight for name, weight in self.named_parameters() if not name.startswith("further.")}
        place = math.log(math.sqrt(scale[0] * scale[1]))
        for further, low, high in zip(self.further, self.SCALES, self.SCALES[1:], strict=False):
            share = min(max((place - math.log(low)) / math.log(high / low), 0.0), 1.0)
            if share:
                for name, weight in further.named_parameters():
                    weights[name] = weight if share == 1.0 else torch.lerp(weights[name], weight, share)
        return weights

    def forward(
        self,
        base: Tensor | None,
        reference: Tensor | None,
        features: Tensor | None = None,
        scale: tuple[float, float] | None = None,
    ) -> Tensor:
        """base and reference (B, C, H, W) in about 0…1, features (B, F, H, W) → correction (B, C, H, W).

        Args:
            base: with another image beside it (B, 2·C, H, W), that image last.
            scale: of rows and columns (`Positions.scale`); None takes the weights for mild scales.

        Raises:
            InputError: there is no base, or not the images that are seen.
        """
        if len(self.further) and scale is not None:
            return functional_call(self, self.weights_at(scale), (base, reference, features))
        # pixel by pixel, and so the same for all orientations
        entering = None if features is None else self.enter(features)
        if self.orientations > 1:
            return self._mean((base, reference, entering))
        return self._correct(base, reference, entering)

    def _mean(self, images: tuple[Tensor | None, ...]) -> Tensor:
        """Over the first `orientations`."""
        total = 0.0
        for code in ORIENTATIONS[: self.orientations]:
            seen = (None if image is None else turned(image, code) for image in images)
            total = total + turned_back(self._correct(*seen), code)
        return total / self.orientations

    def _correct(self, base: Tensor | None, reference: Tensor | None, entering: Tensor | None) -> Tensor:
        if base is None:
            raise InputError(
                "This network corrects a base image but none is given; pass `base` on the output's lattice."
            )
        c, h, w = self.in_channels, *base.shape[-2:]
        expected = c * (1 + hasattr(self, "beside"))
        if base.shape[1] != expected:
            raise InputError(
                f"`base` has {base.shape[1]} channels; expected {expected}: the image to correct, and any beside it."
            )
        base, other = base[:, :c], base[:, c:]
        seen = torch.zeros_like(base) if reference is None else reference
        x = channels_last(self.head(torch.cat([base, seen], dim=1).clamp(*self.SEEN)))
        if len(other[0]):
            low, high = self.SEEN
            x = x + self.beside((self.DIFFERENCE * (other - base)).clamp(low - high, high - low))
        if entering is not None:
            x = x + entering
        x = self.before(F.pad(x, (0, -w % self.MULTIPLE, 0, -h % self.MULTIPLE)))
        y = self.before_half(self.down(x))
        y = self.after_half(y + self.up_half(self.quarter(self.down_half(y))))
        return self.tail(self.after(x + self.up(y)))[..., :h, :w]


def _blocks(channels: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(ResidualBlock(channels) for _ in range(count)))
