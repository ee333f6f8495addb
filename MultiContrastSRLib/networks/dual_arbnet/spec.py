"""The configuration of Dual-ArbNet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ..spec import Spec

if TYPE_CHECKING:
    from .network import DualArbNet


@dataclass(frozen=True)
class DualArbNetSpec(Spec):
    """Dual-ArbNet, see `network.DualArbNet`.

    Attributes:
        features: channels G of the feature maps.
        blocks, layers: dense blocks D of the shared RDN, and layers C in each.
        fusion_layers, fusion_convs: fusion layers of the decoder, and 3×3 convolutions in each.
        alignment: resampling of features to the output: "nearest" (paper) or "bilinear" (code).
        modulation: "code": q ← K·sin(Q q), five query layers; "paper": sin((W q + b) ⊙ K), Eq. 3, six.
        skip: per-branch skip: "code" (three 1×1 layers, each followed by a ReLU), "linear" (the same without the
            last ReLU, which excludes negative values), or "paper" (one layer, then sine).
        detach_reference: no gradients into the encoder through the reference (code).
        with_scale, with_coordinates: the two parts of the query that the paper's ablation removes.
    """

    network: ClassVar[str] = "dual-arbnet"
    choices: ClassVar[dict[str, tuple]] = {
        "alignment": ("nearest", "bilinear"),
        "modulation": ("code", "paper"),
        "skip": ("code", "linear", "paper"),
    }

    features: int = 64
    blocks: int = 5
    layers: int = 10
    fusion_layers: int = 5
    fusion_convs: int = 4
    alignment: str = "nearest"
    modulation: str = "code"
    skip: str = "code"
    detach_reference: bool = False
    with_scale: bool = True
    with_coordinates: bool = True

    @classmethod
    def light(cls) -> DualArbNetSpec:
        """See `Spec.light`."""
        return cls(
            base="guided",
            features=24,
            blocks=3,
            layers=4,
            fusion_layers=3,
            fusion_convs=2,
            alignment="bilinear",
            skip="linear",
        )

    def build(self) -> DualArbNet:
        """See `Spec.build`."""
        from .network import DualArbNet

        return DualArbNet(self)
