"""The correction that a network adds to its base image, from base image and reference. Ours, not the papers'."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from ..core.errors import InputError
from .layers import channels_last, conv3, zero_init
from .test_time_augmentation import mean_over_transforms, transform


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions around which the input is added, no normalisation: (B, C, H, W) → (B, C, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = conv3(channels, channels)
        self.conv2 = conv3(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (B, C, H, W)."""
        return x + self.conv2(self.conv1(x).relu_())


class Correction(nn.Module):
    """A residual network of three resolutions (after U-Net, Ronneberger et al., MICCAI 2015; blocks as EDSR's).

    The base image is a good image already, and its errors show best in a comparison with the reference, pixel by
    pixel; so both enter at the output's resolution, and so may an auxiliary image of the same contrast that is made in
    another way: where the two differ, one of them is wrong. At strong downscaling an error is as wide as the target's
    pixels, which the coarser resolutions cover at a fraction of the cost. Feature maps of the network are added to
    those of the images. The last layer is initialised with zeros: an untrained network returns its base image. No
    statistics of the slice are used, so that the correction of a crop is the crop of the correction.

    Mild and strong downscaling need different corrections, and one set of weights is a compromise. So there can be one
    set at each of several scales; between two of them the weights are interpolated linearly in the logarithm of the
    scale (weights mixed by a condition: Yang, Bender, Le, Ngiam, NeurIPS 2019, "CondConv"). A slice costs no more than
    with one set.

    Attributes:
        test_time_augmentation: over how many flips and transpositions the correction is averaged, 1 to 8.
    """

    # inputs are clamped to this range: far from the intensities that it was trained on the network diverges
    INPUT_RANGE = (-0.25, 2.0)
    AUXILIARY_GAIN = 4.0  # factor on the difference of the auxiliary image from the base image
    SCALES = (2.0, 4.0, 6.0)  # with a set of weights each; the first also serves below, the last above
    _MULTIPLE = 4  # pixels: two halvings of the resolution

    def __init__(
        self,
        in_channels: int,
        width: int,
        blocks: int,
        features: int = 0,
        *,
        auxiliary_image: bool = False,
        by_scale: bool = False,
    ) -> None:
        """`width` channels, and twice and four times as many; `blocks` residual blocks a side; maps of `features`.

        `auxiliary_image`: one is given in addition to the base image. `by_scale`: a set of weights at each of `SCALES`,
        initialised alike.
        """
        super().__init__()
        half, quarter = 2 * width, 4 * width
        self.in_channels = in_channels
        self.test_time_augmentation = 1
        self.head = conv3(2 * in_channels, width)
        self.auxiliary_head = conv3(in_channels, width) if auxiliary_image else None
        self.enter = nn.Conv2d(features, width, 1) if features else None
        # zeros, so that weights of a correction without these inputs are a valid initialisation
        for optional in (self.auxiliary_head, self.enter):
            if optional is not None:
                zero_init(optional)
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
        zero_init(self.tail)
        first, self.experts = self.state_dict(), nn.ModuleList()  # of SCALES[1:]
        for _ in self.SCALES[1:] if by_scale else ():
            expert = Correction(in_channels, width, blocks, auxiliary_image=auxiliary_image)
            expert.load_state_dict({name: first[name] for name in expert.state_dict()})
            self.experts.append(expert)

    def weights_at(self, scale: tuple[float, float]) -> dict[str, Tensor]:
        """The weights for a scale of rows and columns, by the names that they have with one set."""
        weights = {name: weight for name, weight in self.named_parameters() if not name.startswith("experts.")}
        place = math.log(math.sqrt(scale[0] * scale[1]))
        for expert, lower, upper in zip(self.experts, self.SCALES, self.SCALES[1:], strict=False):
            share = min(max((place - math.log(lower)) / math.log(upper / lower), 0.0), 1.0)
            if share:
                for name, weight in expert.named_parameters():
                    weights[name] = weight if share == 1.0 else torch.lerp(weights[name], weight, share)
        return weights

    def forward(
        self,
        base: Tensor | None,
        reference: Tensor | None,
        features: Tensor | None = None,
        scale: tuple[float, float] | None = None,
    ) -> Tensor:
        """Base and reference (B, C, H, W) in about 0…1, features (B, F, H, W) → correction (B, C, H, W).

        Args:
            base: with an auxiliary image (B, 2·C, H, W), that image last.
            reference: None counts as zeros.
            scale: of rows and columns (`Positions.scale`); None takes the weights for mild scales.

        Raises:
            InputError: there is no base image, or it has another number of channels.
        """
        if len(self.experts) and scale is not None:
            return functional_call(self, self.weights_at(scale), (base, reference, features))
        # 1×1, and so the same for all transforms
        features = None if features is None else self.enter(features)
        base = self._checked(base)
        if self.test_time_augmentation == 1:
            return self._correct(base, reference, features)

        def correct(code: int) -> Tensor:
            return self._correct(*(None if x is None else transform(x, code) for x in (base, reference, features)))

        return mean_over_transforms(correct, self.test_time_augmentation)

    def _checked(self, base: Tensor | None) -> Tensor:
        if base is None:
            raise InputError(
                "This network corrects a base image but none is given; pass `base` on the output's lattice."
            )
        expected = self.in_channels * (1 if self.auxiliary_head is None else 2)
        if base.shape[1] != expected:
            raise InputError(
                f"`base` has {base.shape[1]} channels; expected {expected}: those of the base image, and of the "
                "auxiliary image where the network has one. Pass the images that its configuration names."
            )
        return base

    def _correct(self, base: Tensor, reference: Tensor | None, features: Tensor | None) -> Tensor:
        h, w = base.shape[-2:]
        base, auxiliary = base[:, : self.in_channels], base[:, self.in_channels :]
        reference = torch.zeros_like(base) if reference is None else reference
        low, high = self.INPUT_RANGE
        x = channels_last(self.head(torch.cat([base, reference], dim=1).clamp(low, high)))
        if self.auxiliary_head is not None:
            difference = self.AUXILIARY_GAIN * (auxiliary - base)
            x = x + self.auxiliary_head(difference.clamp(low - high, high - low))
        if features is not None:
            x = x + features
        x = self.before(F.pad(x, (0, -w % self._MULTIPLE, 0, -h % self._MULTIPLE)))
        y = self.before_half(self.down(x))
        y = self.after_half(y + self.up_half(self.quarter(self.down_half(y))))
        return self.tail(self.after(x + self.up(y)))[..., :h, :w]


def _blocks(channels: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(ResidualBlock(channels) for _ in range(count)))
