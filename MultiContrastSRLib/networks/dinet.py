"""DINet (Wei et al., IEEE TCSVT 2025): dynamic implicit network, any scale, reference read at the query."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from .attention import DualBranchAttention, Maps
from .correction import Correction
from .dynamic import DynamicConvolution
from .layers import RDN, ResidualGroup, channels_last, conv3, plus, zeroed
from .matching import transfer
from .modulation import Gates, Modulation
from .positions import Positions, Window, sample_linear, widen
from .specs import DINetSpec


class Encoded(NamedTuple):
    """An encoded image, on its own grid: features (B, G, h, w) and the image (B, in_channels, h, w) in −1…1."""

    features: Tensor
    image: Tensor


class Statistics(NamedTuple):
    """All that belongs to a whole slice: its maps, the lattice it was measured on, and its gates.

    There is one set of gates, four with `ensemble="predictions"`, and none of them without modulation.
    """

    maps: Maps
    positions: Positions
    gates: list[Gates]


class DINet(nn.Module):
    """DINet: RDN "B" for the target, a residual group of RCABs for the reference, implicit attention at the query.

    Encoders → dynamic convolution → dual-branch implicit attention at the output's positions → modulation and matching,
    which bring the reference's features into the target's → an MLP, whose image is added to the interpolated target.

    One channel: 23,636,138 parameters: RDN 21,972,800; reference encoder 521,689 (640 + 520,472, and 577 for its
    reconstruction); dynamic convolution 158,416; maps and phase 591,104; reductions, modulation and fusion 194,496;
    MLP 197,633.

    Not as the authors' code: the reference has its own resolution and is read at the query itself (code: half a pixel
    beside it), patches are matched in a window around each pixel (`radius`) instead of 64² tiles, folded patches are
    averaged over those present, any size runs. Corners blend features, so all after runs once; `ensemble="predictions"`
    blends images, as the code does, at four times the cost.

    Without a reference the target's feature goes through alone: no modulation, no matching. Images are in about 0…1;
    inside x → 2x − 1.
    """

    def __init__(self, spec: DINetSpec) -> None:
        super().__init__()
        self.spec = spec
        channels, g, d, r = spec.in_channels, spec.features, spec.dimension, spec.reduced
        self.target_encoder = RDN(channels, g, spec.target_blocks, spec.target_layers)
        self.reference_head = conv3(channels, g)
        self.reference_body = nn.Sequential(ResidualGroup(g, spec.reference_blocks), conv3(g, g))
        self.reference_tail = conv3(g, channels)
        self.dynamic = DynamicConvolution(g, spec.kernels, spec.temperature)
        self.attention = DualBranchAttention(g, d, waves=spec.attention, blend=spec.ensemble == "features")
        self.reduce_target, self.reduce_reference = conv3(d, r), conv3(d, r)
        if spec.modulation:
            self.modulation = Modulation(r, spec.rank)
        self.merge = nn.Conv2d(2 * r, r, 1)
        self.expand = nn.Conv2d(r, d, 1)
        widths = [d, spec.hidden, spec.hidden, spec.hidden]
        hidden = [m for a, b in zip(widths, widths[1:], strict=False) for m in (nn.Conv2d(a, b, 1), nn.ReLU())]
        self.mlp = nn.Sequential(*hidden, nn.Conv2d(spec.hidden, channels, 1))
        if spec.base != "none":
            self.correction = Correction(
                channels, spec.correction_width, spec.correction_blocks, d, beside=spec.beside, by_scale=True
            )
            zeroed(self.mlp[-1])  # the correction begins at zero

    @property
    def halo(self) -> int:
        """Output pixels around a tile on which its own pixels depend."""
        # matched patches reach radius + 1, folding 1 more; before that the modulation's convolution and the reduction
        return self.spec.radius + 4 + (0 if self.spec.base == "none" else self.correction.halo)

    # ------------------------------------------------------------------ encoding

    def encode_target(self, target: Tensor) -> Encoded:
        """target (B, in_channels, h, w) → its code, on the same grid."""
        image = 2 * target - 1
        return Encoded(self.target_encoder(image), image)

    def encode_reference(self, reference: Tensor) -> Encoded:
        """reference (B, in_channels, any size) → its code, on the same grid."""
        image = 2 * reference - 1
        head = channels_last(self.reference_head(image))
        return Encoded(plus(self.reference_body(head), head), image)

    def reconstruct_reference(self, reference: Encoded) -> Tensor:
        """The reference from its code, (B, in_channels, its size), for the auxiliary loss."""
        return self.reference_tail(reference.features) / 2 + 0.5

    def adapt(self, target: Encoded, reference: Encoded | None, scale: tuple[float, float]) -> Maps:
        """The maps that the attention reads, for a scale (rows, columns) = output pixels per target pixel."""
        x, y = self.dynamic(target.features, None if reference is None else reference.features, scale)
        return self.attention.maps(x, y)

    # ------------------------------------------------------------------ decoding

    def measure(
        self, target: Encoded, reference: Encoded | None, positions: Positions, base: Tensor | None = None
    ) -> Statistics:
        """All that a tile needs of the whole slice: the maps at this scale, the modulation's gates."""
        maps = self.adapt(target, reference, positions.scale)
        if reference is None or not self.spec.modulation:
            return Statistics(maps, positions, [])
        pairs = [self._reduce(f.target, f.reference) for f in self.attention(maps, positions)]
        return Statistics(maps, positions, [self.modulation.measure(t, r) for t, r in pairs])

    def decode(
        self,
        target: Encoded,
        reference: Encoded | None,
        positions: Positions,
        *,
        base: Tensor | None = None,
        window: Window | None = None,
        statistics: Statistics | None = None,
    ) -> Tensor:
        """The image at `positions` (the whole slice, H×W), or the part `window` of it: (B, in_channels, H, W).

        Args:
            base: (B, in_channels, H, W), required when the spec names a base; twice the channels where it names another
                image beside it, see `Correction.forward`.
            window: (rows, columns) of a tile; it equals the crop of the whole.
            statistics: from `measure`, at these positions or at another lattice of the same slice (a zoomed view then
                continues that lattice's image); for a tile measured here when not given, which costs half a decode
                of the whole slice.
        """
        if statistics is None and window is not None:
            statistics = self.measure(target, reference, positions, base)
        if window is None:
            return self._run(target, reference, positions, base, statistics)
        outer, inner = widen(window, self.halo, positions.shape, Correction.MULTIPLE)
        part = None if base is None else base[(..., *outer)]
        return self._run(target, reference, positions.crop(outer), part, statistics)[(..., *inner)]

    def forward(
        self, target: Tensor, reference: Tensor | None, positions: Positions, *, base: Tensor | None = None
    ) -> Tensor:
        """target (B, C, h, w), reference (B, C, any size) or None → (B, C, H, W) at `positions`."""
        encoded = None if reference is None else self.encode_reference(reference)
        return self.decode(self.encode_target(target), encoded, positions, base=base)

    def _run(
        self,
        target: Encoded,
        reference: Encoded | None,
        positions: Positions,
        base: Tensor | None,
        statistics: Statistics | None,
    ) -> Tensor:
        maps = statistics.maps if statistics else self.adapt(target, reference, positions.scale)
        gates = [g.at(statistics.positions, positions) for g in statistics.gates] if statistics else []
        image, correction = 0.0, 0.0
        other = None
        if self.spec.base != "none" and reference is not None:
            other = sample_linear(reference.image, *positions.in_reference) / 2 + 0.5
        for i, feature in enumerate(self.attention(maps, positions)):
            fused = self._fuse(feature.target, feature.reference, gates[i] if gates else None)
            image = image + feature.weight * self.mlp(fused)
            if self.spec.base != "none":
                more = self.correction(base, other, fused, positions.scale)
                correction = correction + feature.weight * more
        if self.spec.base != "none":
            return image / 2 + correction + base[:, : self.spec.in_channels]
        return (image + sample_linear(target.image, *positions.in_target)) / 2 + 0.5

    def _reduce(self, target: Tensor, reference: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Both features in R channels, (B, R, H, W)."""
        return self.reduce_target(target), None if reference is None else self.reduce_reference(reference)

    def _fuse(self, target: Tensor, reference: Tensor | None, gates: Gates | None) -> Tensor:
        """The feature (B, D, H, W) of the image from the features of both."""
        small, other = self._reduce(target, reference)
        if other is not None:
            if self.spec.modulation:
                other = self.modulation(small, other, gates or self.modulation.measure(small, other))
            transferred, similarity = transfer(small, other, self.spec.radius)
            small = small + self.merge(torch.cat([small, transferred], dim=1)) * similarity
        return self.expand(small) + target
