"""Dual-ArbNet (Zhang et al., MICCAI 2023): target and reference at any resolution, output at any scale."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..bounded import corrected
from ..layers import CBAM, RDN, channels_last, conv3, residual_add, zero_init
from ..network import Network
from ..positions import Positions, nearest, sample_linear, sample_nearest, to_device

if TYPE_CHECKING:
    from .spec import DualArbNetSpec


class Encoded(NamedTuple):
    """The encoding of an image, on its own grid.

    Attributes:
        fusion: (B, 2G, h, w), the contribution of this image to the first fusion layer before its ReLU.
        skip: (B, G or in_channels, h, w), the branch's skip, up to the layer that must follow the resampling.
    """

    fusion: Tensor
    skip: Tensor


class Sine(nn.Module):
    """Elementwise sine."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape, which is kept."""
        return x.sin()


class FusionLayer(nn.Module):
    """K_i after its 1×1 convolution and ReLU: a residual block of 3×3 convolutions and CBAM.

    (B, 2G, H, W) → (B, 2G, H, W): convolutions x ← relu(conv x) + x, CBAM, plus the block's input.
    """

    def __init__(self, channels: int, convs: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(conv3(channels, channels) for _ in range(convs))
        self.attention = CBAM(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 2G, H, W) → (B, 2G, H, W)."""
        y = x
        for conv in self.convs:
            y = residual_add(conv(y).relu_(), y)
        return residual_add(self.attention(y), x)


class DualArbNet(Network):
    """Dual-ArbNet: one RDN for both images, an implicit decoder that fuses them at the output's positions.

    Encoder (Sec. 2.1): the same RDN for target and reference. Decoder (Sec. 2.2): 3×3 neighbourhoods of features
    ("unfold") are resampled to the output, fused by K_0…K_4, whose 2G channels are G of the target and G of the
    reference, and modulate a query S, P of relative position and resolution ratios (Eq. 3). Output: a shared 1×1
    plus a skip per branch.

    Nothing is unfolded explicitly. Resampling selects or averages pixels, and the 1×1 convolution of unfolded features
    is linear, so it may run first, as a 3×3 convolution on the image's own grid (zero padding, as unfold's): the weight
    (2G, 2·9G, 1, 1), read as (2G, 2G, 3, 3), is `fuse_in`; likewise the first layers of the skips, and with
    `alignment="nearest"` all of them, pixel by pixel. The result is the same.

    The authors' code, two channels: 13,737,184 parameters in use (13,736,413 with one channel), 10,462,016 of them
    in the RDN. Options: `modulation="paper"` has a sixth query layer (+4,160); `skip="paper"` is sin(conv₁) from the
    unfolded features straight to the image (2 × (576·2 + 2) parameters instead of 2 × 41,218: −80,128 with two
    channels); `skip="linear"` and `alignment` change no count. Unlike the code, gradients reach the encoder through the
    reference too (option), and positions are physical.

    Without a reference its features are zero, and so is its resolution ratio in the query, from which the network can
    infer it. Images are in about 0…1; inside x → 2x − 1.

    With a base image (ours) that image enters the first fusion layer by one convolution, and the output is a correction
    of it, limited by its local range.
    """

    def __init__(self, spec: DualArbNetSpec) -> None:
        super().__init__(spec)
        channels, g = spec.in_channels, spec.features
        self.encoder = RDN(channels, g, spec.blocks, spec.layers)
        self.fuse_in = conv3(2 * g, 2 * g)
        self.fuse = nn.ModuleList(nn.Conv2d(2 * g, 2 * g, 1) for _ in range(spec.fusion_layers - 1))
        self.fusion = nn.ModuleList(FusionLayer(2 * g, spec.fusion_convs) for _ in range(spec.fusion_layers))
        queries = spec.fusion_layers + (spec.modulation == "paper")
        self.query = nn.ModuleList(nn.Conv2d(4 if i == 0 else g, g, 1) for i in range(queries))
        self.last = nn.Conv2d(g, channels, 1)
        self.skip_target, self.skip_reference = (self._skip() for _ in range(2))
        if spec.base_image is not None:
            self.base_head = conv3(channels, 2 * g)
            # the correction is initialised with zeros; the rest of the skip maps 0 to 0
            zero_init(self.last)
            zero_init([layer for layer in self.skip_target if isinstance(layer, nn.Conv2d)][-1])

    def _skip(self) -> nn.Sequential:
        channels, g = self.spec.in_channels, self.spec.features
        if self.spec.skip == "paper":
            return nn.Sequential(conv3(g, channels), Sine())
        layers = [conv3(g, g), nn.ReLU(), nn.Conv2d(g, g, 1), nn.ReLU(), nn.Conv2d(g, channels, 1)]
        return nn.Sequential(*layers, *([nn.ReLU()] if self.spec.skip == "code" else []))

    # ------------------------------------------------------------------ encoding

    def encode_target(self, target: Tensor) -> Encoded:
        """Target (B, in_channels, h, w) → its encoding, on the same grid."""
        features = self.encoder(2 * target - 1)
        fusion = F.conv2d(features, self.fuse_in.weight[:, : self.spec.features], self.fuse_in.bias, padding=1)
        return Encoded(fusion, self._before(self.skip_target, features))

    def encode_reference(self, reference: Tensor) -> Encoded:
        """Reference (B, in_channels, any size) → its encoding, on the same grid."""
        features = self.encoder(2 * reference - 1)
        if self.spec.detach_reference:
            features = features.detach()
        fusion = F.conv2d(features, self.fuse_in.weight[:, self.spec.features :], padding=1)
        return Encoded(fusion, self._before(self.skip_reference, features))

    def _before(self, skip: nn.Sequential, features: Tensor) -> Tensor:
        return skip(features) if self.spec.alignment == "nearest" else skip[0](features)

    def _after(self, skip: nn.Sequential, x: Tensor) -> Tensor:
        return x if self.spec.alignment == "nearest" else skip[1:](x)

    # ------------------------------------------------------------------ decoding

    def decode(
        self, target: Encoded, reference: Encoded | None, positions: Positions, *, base: Tensor | None = None
    ) -> Tensor:
        """See `Network.decode`."""
        return self._decode(target, reference, positions, base, both=False)[0]

    def decode_both(
        self, target: Encoded, reference: Encoded, positions: Positions, *, base: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The decoder's two images at `positions`, of the target as of `decode` and of the reference."""
        return self._decode(target, reference, positions, base, both=True)

    def _decode(
        self, target: Encoded, reference: Encoded | None, positions: Positions, base: Tensor | None, *, both: bool
    ) -> tuple[Tensor, Tensor | None]:
        g, paper = self.spec.features, self.spec.modulation == "paper"
        sample = sample_nearest if self.spec.alignment == "nearest" else sample_linear
        k = sample(target.fusion, *positions.in_target)
        if reference is not None:
            k = k + sample(reference.fusion, *positions.in_reference)
        corrects = self.spec.base_image is not None
        if corrects:
            base = self.checked_base(base)
            k = k + self.base_head(2 * base - 1)
        q = self._first_query(target.fusion, reference is not None, positions)
        q_reference = q
        if paper:
            q = q_reference = q.sin()
        for i, layer in enumerate(self.fusion):
            k = layer(k.relu() if i == 0 else self.fuse[i - 1](k).relu_())
            q = self._modulate(i, q, k[:, :g])
            if both:
                q_reference = self._modulate(i, q_reference, k[:, g:])
        skip = self._after(self.skip_target, sample(target.skip, *positions.in_target))
        image = self.last(q) + skip
        # x → 2x − 1 undone
        image = corrected(base, image, positions.scale) if corrects else image / 2 + 0.5
        if not both:
            return image, None
        skip = self._after(self.skip_reference, sample(reference.skip, *positions.in_reference))
        return image, (self.last(q_reference) + skip) / 2 + 0.5

    def _modulate(self, i: int, q: Tensor, k: Tensor) -> Tensor:
        if self.spec.modulation == "paper":
            return (self.query[i + 1](q) * k).sin()
        return (q if i == 0 else self.query[i](q)).sin() * k

    def _first_query(self, like: Tensor, with_reference: bool, positions: Positions) -> Tensor:
        """W⁰·[S, P] + b⁰, (1, G, H, W); `like` (B, ·, h, w) lies on the target's grid.

        P is the position relative to the nearest target pixel, ±1 at its borders; S are √(output pixel's area) in
        target and in reference pixels. As P is a row and a column vector, the 1×1 convolution is a sum of the two.
        """
        layer = self.query[0]
        weight = layer.weight[:, :, 0, 0]
        constant = layer.bias
        if self.spec.with_scale:
            constant = constant + math.sqrt(math.prod(positions.step_t)) * weight[:, 2]
            if with_reference:
                constant = constant + math.sqrt(math.prod(positions.step_r)) * weight[:, 3]
        rows, cols = (
            2 * to_device(nearest(vector, n)[1], weight.device, weight.dtype)  # not in a half type that `like` may have
            for vector, n in zip(positions.in_target, like.shape[2:], strict=True)
        )
        if not self.spec.with_coordinates:
            rows, cols = torch.zeros_like(rows), torch.zeros_like(cols)
        by_row = weight[:, 0, None] * rows + constant[:, None]
        by_col = weight[:, 1, None] * cols
        return channels_last((by_row[:, :, None] + by_col[:, None, :])[None])
