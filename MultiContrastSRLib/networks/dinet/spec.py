"""The configuration of DINet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ...core.errors import InputError
from ..spec import Spec

if TYPE_CHECKING:
    from .network import DINet


@dataclass(frozen=True)
class DINetSpec(Spec):
    """DINet, see `network.DINet`.

    Attributes:
        features: channels G of the feature maps.
        target_blocks, target_layers: dense blocks and layers of the target's RDN.
        reference_blocks: RCABs of the reference's encoder.
        kernels, temperature: of the dynamic convolution; one kernel makes it static (the paper's ablation).
        dimension: channels D of the implicit attention, even.
        attention: False reads the maps without their sinusoidal basis (the paper's ablation).
        reduced, rank: channels and rank M of the modulation.
        modulation: False matches the reference's features as they are (the paper's ablation).
        radius: half width in output pixels of the window in which patches are matched. The authors search a whole
            64² tile; here the reference is aligned with the target, so that a window around each pixel suffices.
        ensemble: what the four corners blend: "features", or "predictions" as the authors' code, four times the work.
        hidden: width of the final MLP.
    """

    network: ClassVar[str] = "dinet"
    choices: ClassVar[dict[str, tuple]] = {"ensemble": ("features", "predictions")}

    features: int = 64
    target_blocks: int = 16
    target_layers: int = 8
    reference_blocks: int = 6
    kernels: int = 4
    temperature: float = 20.0
    dimension: int = 256
    attention: bool = True
    reduced: int = 32
    rank: int = 16
    modulation: bool = True
    radius: int = 4
    ensemble: str = "features"
    hidden: int = 256

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.dimension % 2:
            raise InputError(
                f"Field 'dimension' of the 'dinet' configuration is {self.dimension}; expected an even number: half "
                "of it are cosines, half sines."
            )

    @classmethod
    def light(cls) -> DINetSpec:
        """See `Spec.light`."""
        return cls(
            base="guided",
            features=32,
            target_blocks=3,
            target_layers=4,
            reference_blocks=2,
            dimension=48,
            reduced=16,
            rank=4,
            radius=1,
            hidden=48,
        )

    def build(self) -> DINet:
        """See `Spec.build`."""
        from .network import DINet

        return DINet(self)
