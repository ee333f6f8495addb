"""Swift: the correction of a base image alone, for live views and as initial weights of the other networks. Ours."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from ..network import Network
from ..positions import Positions, sample_linear

if TYPE_CHECKING:
    from .spec import SwiftSpec


class Swift(Network):
    """base + correction(base, reference): the guided image, corrected by one small network.

    All information on target, scale and acquisition comes from the base image, which lies on the output's lattice; so
    one network serves every scale along each axis, and nothing is computed twice when a slice is viewed again.
    """

    def __init__(self, spec: SwiftSpec) -> None:
        super().__init__(spec)
        self.correction = self.make_correction()

    def encode_target(self, target: Tensor) -> None:
        """None: the base image contains the target."""
        return None

    def encode_reference(self, reference: Tensor) -> Tensor:
        """The reference itself."""
        return reference

    def decode(
        self, target: None, reference: Tensor | None, positions: Positions, *, base: Tensor | None = None
    ) -> Tensor:
        """See `Network.decode`."""
        other = None if reference is None else sample_linear(reference, *positions.in_reference)
        correction = self.correction(base, other, scale=positions.scale)
        return base[:, : self.spec.in_channels] + correction
