"""Swift: the correction of a base image alone, for live views and as a start for the other networks. Ours."""

from __future__ import annotations

from torch import Tensor, nn

from .correction import Correction
from .positions import Positions, sample_linear
from .specs import SwiftSpec


class Swift(nn.Module):
    """base + correction(base, reference): what target and guided super-resolution know, put right by one small network.

    All that it is told of target, scale and acquisition is in the base, which lies on the output's lattice; so one set
    of weights serves every scale along each axis, and nothing is computed twice when a slice is looked at again.
    """

    def __init__(self, spec: SwiftSpec) -> None:
        super().__init__()
        self.spec = spec
        self.correction = Correction(
            spec.in_channels, spec.correction_width, spec.correction_blocks, beside=spec.beside, by_scale=True
        )

    def forward(
        self, target: Tensor, reference: Tensor | None, positions: Positions, *, base: Tensor | None = None
    ) -> Tensor:
        """reference (B, C, any size) or None, base (B, C or 2·C, H, W) → (B, C, H, W).

        The base tells all of the target; see `Correction.forward`.
        """
        seen = None if reference is None else sample_linear(reference, *positions.in_reference)
        correction = self.correction(base, seen, scale=positions.scale)
        return base[:, : self.spec.in_channels] + correction
