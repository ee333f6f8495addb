"""DINet (Wei et al., IEEE TCSVT 2025): dynamic implicit network, any scale, reference sampled at the query."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from ..bounded import corrected
from ..layers import RDN, ResidualGroup, channels_last, conv3, residual_add, zero_init
from ..network import Network
from ..positions import Positions, sample_linear
from .attention import DualBranchAttention
from .dynamic import DynamicConvolution
from .matching import transfer
from .modulation import Modulation

if TYPE_CHECKING:
    from .spec import DINetSpec


class Encoded(NamedTuple):
    """The encoding of an image, on its own grid: features (B, G, h, w) and the image (B, in_channels, h, w) in −1…1."""

    features: Tensor
    image: Tensor


class DINet(Network):
    """DINet: RDN "B" for the target, a residual group of RCABs for the reference, implicit attention at the query.

    Encoders → dynamic convolution → dual-branch implicit attention at the output's positions → modulation and matching,
    which transfer the reference's features to the target's → an MLP, whose image is added to the interpolated target.

    One channel: 23,636,138 parameters: RDN 21,972,800; reference encoder 521,689 (640 + 520,472, and 577 for its
    reconstruction); dynamic convolution 158,416; maps and phase 591,104; reductions, modulation and fusion 194,496;
    MLP 197,633.

    Differences from the authors' code: the reference has its own resolution and is sampled at the query itself (code:
    half a pixel away), patches are matched in a window around each pixel (`radius`) instead of 64² tiles, folded
    patches are averaged over those present, any size runs. The features of the four corners are blended, so that the
    following layers run once; `ensemble="predictions"` blends images, as the code does, at four times the cost.

    Without a reference the target's feature is used alone: no modulation, no matching. Images are in about 0…1; inside
    x → 2x − 1.

    With a base image (ours) that image is added to the target's feature after one convolution, and the output is a
    correction of it, limited by its local range.
    """

    def __init__(self, spec: DINetSpec) -> None:
        super().__init__(spec)
        channels, g, d, r = spec.in_channels, spec.features, spec.dimension, spec.reduced
        self.target_encoder = RDN(channels, g, spec.target_blocks, spec.target_layers)
        self.reference_head = conv3(channels, g)
        self.reference_body = nn.Sequential(ResidualGroup(g, spec.reference_blocks), conv3(g, g))
        self.reference_tail = conv3(g, channels)
        self.dynamic = DynamicConvolution(g, spec.kernels, spec.temperature)
        self.attention = DualBranchAttention(g, d, basis=spec.attention, blend=spec.ensemble == "features")
        self.reduce_target, self.reduce_reference = conv3(d, r), conv3(d, r)
        if spec.modulation:
            self.modulation = Modulation(r, spec.rank)
        self.merge = nn.Conv2d(2 * r, r, 1)
        self.expand = nn.Conv2d(r, d, 1)
        widths = [d, spec.hidden, spec.hidden, spec.hidden]
        hidden = [m for a, b in itertools.pairwise(widths) for m in (nn.Conv2d(a, b, 1), nn.ReLU())]
        self.mlp = nn.Sequential(*hidden, nn.Conv2d(spec.hidden, channels, 1))
        if spec.base_image is not None:
            self.base_head = conv3(channels, d)
            zero_init(self.mlp[-1])  # the correction is initialised with zeros

    # ------------------------------------------------------------------ encoding

    def encode_target(self, target: Tensor) -> Encoded:
        """Target (B, in_channels, h, w) → its encoding, on the same grid."""
        image = 2 * target - 1
        return Encoded(self.target_encoder(image), image)

    def encode_reference(self, reference: Tensor) -> Encoded:
        """Reference (B, in_channels, any size) → its encoding, on the same grid."""
        image = 2 * reference - 1
        head = channels_last(self.reference_head(image))
        return Encoded(residual_add(self.reference_body(head), head), image)

    def reconstruct_reference(self, reference: Encoded) -> Tensor:
        """The reference from its encoding, (B, in_channels, its size), for the auxiliary loss."""
        return self.reference_tail(reference.features) / 2 + 0.5

    # ------------------------------------------------------------------ decoding

    def decode(
        self, target: Encoded, reference: Encoded | None, positions: Positions, *, base: Tensor | None = None
    ) -> Tensor:
        """See `Network.decode`."""
        x, y = self.dynamic(target.features, None if reference is None else reference.features, positions.scale)
        corrects = self.spec.base_image is not None
        if corrects:
            base = self.checked_base(base)
        image, seen = 0.0, self.base_head(2 * base - 1) if corrects else 0.0
        for feature in self.attention(self.attention.maps(x, y), positions):
            image = image + feature.weight * self.mlp(self._fuse(feature.target + seen, feature.reference))
        if corrects:
            return corrected(base, image, positions.scale)
        return (image + sample_linear(target.image, *positions.in_target)) / 2 + 0.5

    def _fuse(self, target: Tensor, reference: Tensor | None) -> Tensor:
        """The feature (B, D, H, W) of the image from the features of both."""
        small = self.reduce_target(target)
        if reference is not None:
            other = self.reduce_reference(reference)
            if self.spec.modulation:
                other = self.modulation(small, other)
            transferred, similarity = transfer(small, other, self.spec.radius)
            small = small + self.merge(torch.cat([small, transferred], dim=1)) * similarity
        return self.expand(small) + target
