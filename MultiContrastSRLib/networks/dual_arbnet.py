"""Dual-ArbNet (Zhang et al., MICCAI 2023): target and reference at any resolution, output at any scale."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .correction import Correction
from .layers import CBAM, RDN, channels_last, conv3, plus, zeroed
from .positions import Positions, Window, nearest, sample_linear, sample_nearest, widen
from .specs import DualArbNetSpec


class Encoded(NamedTuple):
    """An encoded image, on its own grid; all that the decoder needs of it.

    Attributes:
        fusion: (B, 2G, h, w), what this image adds to the first fusion layer before its ReLU.
        skip: (B, G or in_channels, h, w), the branch's skip, as far as it can be computed before resampling.
        image: (B, in_channels, h, w), the image itself.
    """

    fusion: Tensor
    skip: Tensor
    image: Tensor


class Sine(nn.Module):
    """Elementwise sine."""

    def forward(self, x: Tensor) -> Tensor:
        return x.sin()


class FusionLayer(nn.Module):
    """K_i after its 1×1 convolution and ReLU: a residual block of 3×3 convolutions and CBAM.

    (B, 2G, H, W) → (B, 2G, H, W): convolutions x ← relu(conv x) + x, CBAM, plus the block's input.
    """

    def __init__(self, channels: int, convs: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(conv3(channels, channels) for _ in range(convs))
        self.attention = CBAM(channels)

    def forward(self, x: Tensor, gate: Tensor | None) -> tuple[Tensor, Tensor]:
        """(output, channel gate (B, 2G, 1, 1)); the gate is measured when it is not given."""
        y = x
        for conv in self.convs:
            y = plus(conv(y).relu_(), y)
        if gate is None:
            gate = self.attention.channel(y)
        return plus(self.attention(y, gate), x), gate


class DualArbNet(nn.Module):
    """Dual-ArbNet: one RDN for both images, an implicit decoder that fuses them at the output's positions.

    Encoder (Sec. 2.1): the same RDN for target and reference. Decoder (Sec. 2.2): 3×3 neighbourhoods of features
    ("unfold") are resampled to the output, fused by K_0…K_4, whose 2G channels are G of the target and G of the
    reference, and modulate a query S, P of relative position and resolution ratios (Eq. 3). Output: a shared 1×1
    plus a skip per branch.

    The unfolding is never carried out. Resampling picks or averages pixels, and the 1×1 convolution of unfolded
    features is linear, so it may run first, where it is a 3×3 convolution on the image's own grid (zeros outside, as
    unfold pads): the weight (2G, 2·9G, 1, 1), read as (2G, 2G, 3, 3), is `fuse_in`; likewise the first layers of the
    skips, and with `alignment="nearest"` all of them, pixel by pixel. The result is the same.

    The authors' code, two channels: 13,737,184 parameters in use (13,736,413 with one channel), 10,462,016 of them
    in the RDN. Options: `modulation="paper"` has a sixth query layer (+4,160); `skip="paper"` is sin(conv₁) from the
    unfolded features straight to the image (2 × (576·2 + 2) parameters instead of 2 × 41,218: −80,128 with two
    channels); `skip="linear"` and `alignment` change no count. Unlike the code, gradients reach the encoder through the
    reference too (option), and positions are physical.

    Without a reference its features are zero, and so is its resolution ratio in the query, by which the network can
    tell. Images are in about 0…1; inside x → 2x − 1.
    """

    def __init__(self, spec: DualArbNetSpec) -> None:
        super().__init__()
        self.spec = spec
        channels, g = spec.in_channels, spec.features
        self.encoder = RDN(channels, g, spec.blocks, spec.layers)
        self.fuse_in = conv3(2 * g, 2 * g)
        self.fuse = nn.ModuleList(nn.Conv2d(2 * g, 2 * g, 1) for _ in range(spec.fusion_layers - 1))
        self.fusion = nn.ModuleList(FusionLayer(2 * g, spec.fusion_convs) for _ in range(spec.fusion_layers))
        queries = spec.fusion_layers + (spec.modulation == "paper")
        self.query = nn.ModuleList(nn.Conv2d(4 if i == 0 else g, g, 1) for i in range(queries))
        self.last = nn.Conv2d(g, channels, 1)
        self.skip_target, self.skip_reference = (self._skip() for _ in range(2))
        if spec.base != "none":
            self.correction = Correction(
                channels, spec.correction_width, spec.correction_blocks, 2 * g, beside=spec.beside, by_scale=True
            )
            # the correction begins at zero; whatever follows in the skip maps 0 to 0
            zeroed(self.last)
            zeroed([layer for layer in self.skip_target if isinstance(layer, nn.Conv2d)][-1])

    def _skip(self) -> nn.Sequential:
        channels, g = self.spec.in_channels, self.spec.features
        if self.spec.skip == "paper":
            return nn.Sequential(conv3(g, channels), Sine())
        layers = [conv3(g, g), nn.ReLU(), nn.Conv2d(g, g, 1), nn.ReLU(), nn.Conv2d(g, channels, 1)]
        return nn.Sequential(*layers, *([nn.ReLU()] if self.spec.skip == "code" else []))

    @property
    def halo(self) -> int:
        """Output pixels around a tile on which its own pixels depend."""
        corrected = 0 if self.spec.base == "none" else self.correction.halo
        return self.spec.fusion_layers * (self.spec.fusion_convs + 1) + corrected

    # ------------------------------------------------------------------ encoding

    def encode_target(self, target: Tensor) -> Encoded:
        """target (B, in_channels, h, w) → its code, on the same grid."""
        features = self.encoder(2 * target - 1)
        fusion = F.conv2d(features, self.fuse_in.weight[:, : self.spec.features], self.fuse_in.bias, padding=1)
        return Encoded(fusion, self._before(self.skip_target, features), target)

    def encode_reference(self, reference: Tensor) -> Encoded:
        """reference (B, in_channels, any size) → its code, on the same grid."""
        features = self.encoder(2 * reference - 1)
        if self.spec.detach_reference:
            features = features.detach()
        fusion = F.conv2d(features, self.fuse_in.weight[:, self.spec.features :], padding=1)
        return Encoded(fusion, self._before(self.skip_reference, features), reference)

    def _before(self, skip: nn.Sequential, features: Tensor) -> Tensor:
        return skip(features) if self.spec.alignment == "nearest" else skip[0](features)

    def _after(self, skip: nn.Sequential, x: Tensor) -> Tensor:
        return x if self.spec.alignment == "nearest" else skip[1:](x)

    # ------------------------------------------------------------------ decoding

    def measure(
        self, target: Encoded, reference: Encoded | None, positions: Positions, base: Tensor | None = None
    ) -> list[Tensor]:
        """Statistics of the whole slice that `decode` of a tile needs: a channel gate (B, 2G, 1, 1) a fusion layer."""
        return self._run(target, reference, positions, base, None, False)[2]

    def decode(
        self,
        target: Encoded,
        reference: Encoded | None,
        positions: Positions,
        *,
        base: Tensor | None = None,
        window: Window | None = None,
        statistics: list[Tensor] | None = None,
    ) -> Tensor:
        """The image at `positions` (the whole slice, H×W), or the part `window` of it: (B, in_channels, H, W).

        Args:
            base: (B, in_channels, H, W), required when the spec names a base; twice the channels where it names another
                image beside it, see `Correction.forward`.
            window: (rows, columns) of a tile; it equals the crop of the whole.
            statistics: from `measure`; measured here when not given, which costs a decode of the whole slice.
        """
        if window is None:
            return self._run(target, reference, positions, base, statistics, False)[0]
        if statistics is None:
            statistics = self.measure(target, reference, positions, base)
        outer, inner = widen(window, self.halo, positions.shape, Correction.MULTIPLE)
        part = None if base is None else base[(..., *outer)]
        return self._run(target, reference, positions.crop(outer), part, statistics, False)[0][(..., *inner)]

    def forward(
        self,
        target: Tensor,
        reference: Tensor | None,
        positions: Positions,
        *,
        base: Tensor | None = None,
        with_reference: bool = False,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """target (B, C, h, w), reference (B, C, any size) or None → (B, C, H, W) at `positions`.

        `with_reference` also returns the decoder's reference image (B, C, H, W), for a loss on it.
        """
        encoded = None if reference is None else self.encode_reference(reference)
        image, mirrored, _ = self._run(self.encode_target(target), encoded, positions, base, None, with_reference)
        return (image, mirrored) if with_reference else image

    def _run(
        self,
        target: Encoded,
        reference: Encoded | None,
        positions: Positions,
        base: Tensor | None,
        gates: list[Tensor] | None,
        with_reference: bool,
    ) -> tuple[Tensor, Tensor | None, list[Tensor]]:
        """(target image, reference image or None, gates used)."""
        g, paper = self.spec.features, self.spec.modulation == "paper"
        sample = sample_nearest if self.spec.alignment == "nearest" else sample_linear
        k = sample(target.fusion, *positions.in_target)
        if reference is not None:
            k = k + sample(reference.fusion, *positions.in_reference)
        q = self._first_query(target.fusion, reference is not None, positions)
        q_reference = q
        if paper:
            q = q_reference = q.sin()
        used = []
        for i, layer in enumerate(self.fusion):
            k = k.relu() if i == 0 else self.fuse[i - 1](k).relu_()
            k, gate = layer(k, None if gates is None else gates[i])
            used.append(gate)
            q = self._modulate(i, q, k[:, :g])
            if with_reference:
                q_reference = self._modulate(i, q_reference, k[:, g:])
        skip = self._after(self.skip_target, sample(target.skip, *positions.in_target))
        image = self.last(q) + skip
        if self.spec.base == "none":
            image = image / 2 + 0.5  # x → 2x − 1 undone
        else:
            other = None if reference is None else sample_linear(reference.image, *positions.in_reference)
            image = image / 2 + self.correction(base, other, k, positions.scale) + base[:, : self.spec.in_channels]
        if not with_reference or reference is None:
            return image, None, used
        skip = self._after(self.skip_reference, sample(reference.skip, *positions.in_reference))
        return image, (self.last(q_reference) + skip) / 2 + 0.5, used

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
        rows = 2 * nearest(positions.rows_t, like.shape[2])[1].to(weight)  # not in a half type that `like` may have
        cols = 2 * nearest(positions.cols_t, like.shape[3])[1].to(weight)
        if not self.spec.with_coordinates:
            rows, cols = torch.zeros_like(rows), torch.zeros_like(cols)
        by_row = weight[:, 0, None] * rows + constant[:, None]
        by_col = weight[:, 1, None] * cols
        return channels_last((by_row[:, :, None] + by_col[:, None, :])[None])
