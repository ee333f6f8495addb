"""MINet (Feng et al., MICCAI 2021): multi-stage integration at a fixed scale, reference on the output's lattice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ...core.errors import InputError
from ..bounded import corrected
from ..layers import ResidualGroup, channels_last, conv3, zero_init
from ..network import Network
from ..positions import Positions

if TYPE_CHECKING:
    from .spec import MINetSpec


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
        """(B, N, C, H, W) → (B, N, C, H, W)."""
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
        """(B, C, H, W) → (B, C, H, W)."""
        gate = self.conv(x[:, None])[:, 0].sigmoid()
        return torch.addcmul(x, x, gate if self.gamma is None else self.gamma * gate)


class MINet(Network):
    """MINet: two branches of L stages at the output's resolution, the target's stages receive the reference's features.

    Reference: conv, then stages, each a residual group of RCABs. Target: conv, sub-pixel upsampling, conv; before its
    stage l, target and reference features of stage l−1 are fused by a 1×1 (Eq. 2). All 2L stage outputs are
    integrated to G channels, the last one of each branch passes through attention; the target's head feature plus a
    convolution of attention and integration, and a last convolution, give the image. The reference is
    reconstructed too.

    One channel, ×2: 6,748,189 parameters, by the authors' code: six groups of six RCABs and a plain convolution as a
    seventh stage (`last_stage`), so 14 maps, and the weights γ. ×4: 6,895,901. The paper's six stages without γ have
    155,843 less, 6,592,346 (8,256 of a fusion, 2 × 36,928 of the stage, 2·64·64·9 of the integration, 3 γ). As in the
    authors' code (commit 82be4f4) each of the seven fusions feeds the next stage; its skip around a fusion is an
    option.

    Attention and integration are statistics of the whole slice. The network's own lattice is fixed by the sub-pixel
    upsampling: its pixel (0, 0) lies on target pixel (0, 0), see `lattice`. Reference and base image must be given at
    the output's positions, which may begin a whole number of pixels before or after that lattice. Without a reference
    its maps are zero.

    With a base image (ours) that image is added to the target's head feature after one convolution, and the output is a
    correction of it, limited by its local range.
    """

    def __init__(self, spec: MINetSpec) -> None:
        super().__init__(spec)
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
        if spec.base_image is not None:
            self.base_head = conv3(channels, g)
            zero_init(self.target_image)  # the correction is initialised with zeros

    def lattice(self, shape: tuple[int, int]) -> Positions:
        """The network's own lattice for a target of `shape` (h, w), with the reference on it."""
        h, w = shape
        step = 1 / self.spec.scale
        size = (h * self.spec.scale, w * self.spec.scale)
        return Positions.regular(size, ((step, 0.0), (step, 0.0)), ((1.0, 0.0), (1.0, 0.0)))

    def encode_target(self, target: Tensor) -> Tensor:
        """Target (B, in_channels, h, w) → head feature (B, G, scale·h, scale·w)."""
        return channels_last(self.target_head(target))

    def encode_reference(self, reference: Tensor) -> list[Tensor]:
        """Reference (B, in_channels, scale·h, scale·w) → its head feature and stage outputs (B, G, same size)."""
        maps = [channels_last(self.reference_head(reference))]
        for stage in self.reference_stages:
            maps.append(stage(maps[-1]))
        return maps

    def reconstruct_reference(self, reference: list[Tensor]) -> Tensor:
        """The reference from its maps, (B, in_channels, H, W), for the auxiliary loss."""
        head, last = reference[0], reference[-1]
        x = self.reference_attention(last) if self.spec.attention else last
        return self.reference_image(self.reference_last(x) + head)

    def decode(
        self, target: Tensor, reference: list[Tensor] | None, positions: Positions, *, base: Tensor | None = None
    ) -> Tensor:
        """See `Network.decode`; all on the network's own lattice."""
        image = self._image(target, reference, positions, base)
        return image if self.spec.base_image is None else corrected(base, image, (self.spec.scale,) * 2)

    def _image(
        self, target: Tensor, reference: list[Tensor] | None, positions: Positions, base: Tensor | None
    ) -> Tensor:
        """The last layer's image (B, C, H, W), or correction where there is a base image."""
        if positions.shape != target.shape[-2:]:
            raise InputError(
                f"Positions are {positions.shape[0]}×{positions.shape[1]} pixels; expected {target.shape[-2]}×"
                f"{target.shape[-1]}: the scale is fixed to {self.spec.scale}. Use that lattice and resample the image."
            )
        nothing = [torch.zeros_like(target)] * (1 + len(self.fusions))
        maps = nothing if reference is None else reference
        if self.spec.base_image is not None:
            target = target + self.base_head(self.checked_base(base))
        x, outputs = target, []
        for fusion, stage, reference_map in zip(self.fusions, self.target_stages, maps[:-1], strict=True):
            fused = fusion(torch.cat([reference_map, x], dim=1))
            x = stage(fused + x if self.spec.fusion_skip else fused)
            outputs.append(x)
        if self.spec.attention:
            x = self.target_attention(x)
        if self.spec.integration:
            stages = self.integration(torch.stack([*maps[1:], *outputs], dim=1))
            x = torch.cat([x, self.integrate(stages.flatten(1, 2))], dim=1)
        features = self.target_last(x) + target
        return self.target_image(features)

    def _encode_and_decode(
        self, target: Tensor, reference: Tensor | None, positions: Positions, base: Tensor | None, *, reconstruct: bool
    ) -> tuple[Tensor, Tensor | None]:
        """On the network's own lattice: images at `positions` are shifted cyclically to it and back.

        In k-space the first pixels of target and output coincide for even sizes only.
        """
        shifts = tuple(
            round(float(vector[0]) / step) for vector, step in zip(positions.in_target, positions.step_t, strict=True)
        )
        if not any(shifts):
            return super()._encode_and_decode(target, reference, positions, base, reconstruct=reconstruct)
        rolled, there = (None if x is None else x.roll(shifts, (-2, -1)) for x in (reference, base))
        encoded = None if rolled is None else self.encode_reference(rolled)
        image = self._image(self.encode_target(target), encoded, positions, there)
        other = self.reconstruct_reference(encoded) if reconstruct and encoded is not None else None
        image, other = (None if x is None else x.roll([-s for s in shifts], (-2, -1)) for x in (image, other))
        # limited here: on the network's lattice opposite borders of the base image are neighbours
        return image if self.spec.base_image is None else corrected(base, image, (self.spec.scale,) * 2), other
