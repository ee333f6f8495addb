"""MINet (Feng et al., MICCAI 2021): multi-stage integration at a fixed scale, reference on the output's lattice."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from .correction import Correction
from .layers import ResidualGroup, channels_last, conv3, zeroed
from .positions import Positions
from .specs import MINetSpec


class Encoded(NamedTuple):
    """An encoded reference: head feature and stage outputs (B, G, H, W) each, and the image (B, in_channels, H, W)."""

    maps: list[Tensor]
    image: Tensor


class Upsampler(nn.Sequential):
    """Sub-pixel upsampling and a convolution: (B, G, h, w) → (B, G, scale·h, scale·w); ×4 is ×2 twice."""

    def __init__(self, features: int, scale: int) -> None:
        steps = [2, 2] if scale == 4 else [scale]
        layers = [m for s in steps for m in (conv3(features, s * s * features), nn.PixelShuffle(s))]
        super().__init__(*layers, conv3(features, features))


class Integration(nn.Module):
    """Multi-stage integration (Sec. 2.3, Eqs. 3–4): every stage of both branches is refined by all the others.

    (B, N, C, H, W) → (B, N, C, H, W): affinity S = softmax(F Fᵀ / dimension) of the flattened maps, output S F + F.
    The paper's sign; the undivided product saturates the softmax. With `gamma`, γ S F + F, γ learned from 0.
    """

    def __init__(self, gamma: bool) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(1)) if gamma else None

    def forward(self, stages: Tensor) -> Tensor:
        flat = stages.flatten(2)
        affinity = (flat @ flat.transpose(1, 2) / flat.shape[2]).softmax(dim=2)
        mixed = (affinity @ flat).view_as(stages)
        return stages + (mixed if self.gamma is None else self.gamma * mixed)


class ChannelSpatialAttention(nn.Module):
    """x + x·sigmoid(conv over channels, rows and columns) (Eq. 5): (B, C, H, W) → (B, C, H, W).

    With `gamma`, the second term times γ, learned from 0.
    """

    def __init__(self, gamma: bool) -> None:
        super().__init__()
        self.conv = nn.Conv3d(1, 1, 3, padding=1)
        self.gamma = nn.Parameter(torch.zeros(1)) if gamma else None

    def forward(self, x: Tensor) -> Tensor:
        gate = self.conv(x[:, None])[:, 0].sigmoid()
        return torch.addcmul(x, x, gate if self.gamma is None else self.gamma * gate)


class MINet(nn.Module):
    """MINet: two branches of L stages at the output's resolution, the target's stages seeing the reference's.

    Reference: conv, then stages, each a residual group of RCABs. Target: conv, sub-pixel upsampling, conv; before its
    stage l, target and reference features of stage l−1 are fused by a 1×1 (Eq. 2). All 2L stage outputs are
    integrated to G channels, the last one of each branch passes through attention; the target's head feature plus a
    convolution of attention and integration, and a last convolution, give the image. The reference is
    reconstructed too.

    One channel, ×2: 6,748,189 parameters, by the authors' code: six groups of six RCABs and a plain convolution as a
    seventh stage (`last_stage`), so 14 maps, and the weights γ. ×4: 6,895,901. The paper's six stages without γ have
    155,843 less, 6,592,346 (8,256 of a fusion, 2 × 36,928 of the stage, 2·64·64·9 of the integration, 3 γ). The code
    fuses after the last stage only and leaves six fusions unused; here, as Eq. 2 says, every one is used, with the
    code's skip around it as an option.

    Whole slices only: attention and integration are statistics of the slice, and a tile is the crop of the output.
    The output's lattice is fixed: output pixel (0, 0) lies on target pixel (0, 0), see `positions`; reference and base
    must be given on it, and other grids sample the output. Without a reference its maps are zero. Inputs are to be
    normalised by statistics of the target (the authors: z-scores, clamped to ±6); the output is in the same units.
    """

    def __init__(self, spec: MINetSpec) -> None:
        super().__init__()
        self.spec = spec
        channels, g = spec.in_channels, spec.features
        stages = spec.stages + spec.last_stage

        def branch() -> nn.ModuleList:
            last = [conv3(g, g)] if spec.last_stage else []
            return nn.ModuleList([*(ResidualGroup(g, spec.blocks) for _ in range(spec.stages)), *last])

        self.reference_head = conv3(channels, g)
        self.target_head = nn.Sequential(conv3(channels, g), Upsampler(g, spec.scale))
        self.reference_stages, self.target_stages = branch(), branch()
        self.fusions = nn.ModuleList(nn.Conv2d(2 * g, g, 1) for _ in range(stages))
        if spec.integration:
            self.integration = Integration(spec.gamma)
            self.integrate = conv3(2 * stages * g, g)
        if spec.attention:
            self.reference_attention = ChannelSpatialAttention(spec.gamma)
            self.target_attention = ChannelSpatialAttention(spec.gamma)
        self.reference_last = conv3(g, g)
        self.target_last = conv3((1 + spec.integration) * g, g)
        self.reference_image, self.target_image = conv3(g, channels), conv3(g, channels)
        if spec.base != "none":
            self.correction = Correction(
                channels, spec.correction_width, spec.correction_blocks, g, beside=spec.beside, by_scale=True
            )
            zeroed(self.target_image)  # the correction begins at zero

    def positions(self, shape: tuple[int, int]) -> Positions:
        """The output's lattice for a target of `shape` (h, w), with the reference on it."""
        h, w = shape
        step = 1 / self.spec.scale
        size = (h * self.spec.scale, w * self.spec.scale)
        return Positions.regular(size, ((step, 0.0), (step, 0.0)), ((1.0, 0.0), (1.0, 0.0)))

    def encode_target(self, target: Tensor) -> Tensor:
        """target (B, in_channels, h, w) → head feature (B, G, scale·h, scale·w)."""
        return channels_last(self.target_head(target))

    def encode_reference(self, reference: Tensor) -> Encoded:
        """reference (B, in_channels, scale·h, scale·w) → its code, on the same grid."""
        maps = [channels_last(self.reference_head(reference))]
        for stage in self.reference_stages:
            maps.append(stage(maps[-1]))
        return Encoded(maps, reference)

    def reconstruct_reference(self, reference: Encoded) -> Tensor:
        """The reference from its maps, (B, in_channels, H, W), for the auxiliary loss."""
        head, last = reference.maps[0], reference.maps[-1]
        x = self.reference_attention(last) if self.spec.attention else last
        return self.reference_image(self.reference_last(x) + head)

    def decode(self, target: Tensor, reference: Encoded | None, *, base: Tensor | None = None) -> Tensor:
        """Head feature (B, G, H, W) and the reference's code → image (B, in_channels, H, W).

        `base`, of the image's shape, is required when the spec names one, and with another image beside it has twice
        the channels.
        """
        nothing = [torch.zeros_like(target)] * (1 + len(self.fusions))
        maps, other = (nothing, None) if reference is None else reference
        x, outputs = target, []
        for fusion, stage, beside in zip(self.fusions, self.target_stages, maps[:-1], strict=True):
            fused = fusion(torch.cat([beside, x], dim=1))
            x = stage(fused + x if self.spec.fusion_skip else fused)
            outputs.append(x)
        if self.spec.attention:
            x = self.target_attention(x)
        if self.spec.integration:
            stages = self.integration(torch.stack([*maps[1:], *outputs], dim=1))
            x = torch.cat([x, self.integrate(stages.flatten(1, 2))], dim=1)
        features = self.target_last(x) + target
        image = self.target_image(features)
        if self.spec.base == "none":
            return image
        correction = self.correction(base, other, features, (self.spec.scale,) * 2)
        return image + correction + base[:, : self.spec.in_channels]

    def forward(self, target: Tensor, reference: Tensor | None, *, base: Tensor | None = None) -> Tensor:
        """target (B, C, h, w), reference (B, C, scale·h, scale·w) or None → (B, C, scale·h, scale·w)."""
        encoded = None if reference is None else self.encode_reference(reference)
        return self.decode(self.encode_target(target), encoded, base=base)
