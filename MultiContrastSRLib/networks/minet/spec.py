"""The configuration of MINet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from ..spec import Spec

if TYPE_CHECKING:
    from .network import MINet


@dataclass(frozen=True)
class MINetSpec(Spec):
    """MINet, see `network.MINet`.

    Attributes:
        features: channels G of the feature maps.
        scale: 2, 3 or 4, one network each.
        stages, blocks: residual groups L, and RCABs in each.
        last_stage: a plain 3×3 convolution as one more stage (code); the paper has the groups only.
        fusion_skip: the target's features are added to the output of their fusion with the reference's (code).
        gamma: integration and attention are weighted by a learned factor that starts at 0 (code); the paper has none.
        integration, attention: the two modules that the paper's ablation removes.
    """

    network: ClassVar[str] = "minet"
    choices: ClassVar[dict[str, tuple]] = {"scale": (2, 3, 4)}

    features: int = 64
    scale: int = 2
    stages: int = 6
    blocks: int = 6
    last_stage: bool = True
    fusion_skip: bool = True
    gamma: bool = True
    integration: bool = True
    attention: bool = True

    @classmethod
    def light(cls) -> MINetSpec:
        """See `Spec.light`."""
        return cls(base="guided", features=24, stages=3, blocks=3, last_stage=False, gamma=False)

    def build(self) -> MINet:
        """See `Spec.build`."""
        from .network import MINet

        return MINet(self)

    @property
    def fixed_scale(self) -> int:
        """See `Spec.fixed_scale`."""
        return self.scale

    @property
    def normalisation(self) -> Literal["percentile", "z-score"]:
        """See `Spec.normalisation`: z-scores as the authors, but percentiles where a base image is corrected."""
        return "z-score" if self.base_image is None else "percentile"
