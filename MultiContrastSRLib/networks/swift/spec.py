"""The configuration of Swift."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ..spec import BASES, Spec

if TYPE_CHECKING:
    from .network import Swift


@dataclass(frozen=True)
class SwiftSpec(Spec):
    """Swift, see `network.Swift`. There is one size.

    Attributes:
        features: channels of the feature maps.
        blocks: residual blocks.
    """

    network: ClassVar[str] = "swift"
    choices: ClassVar[dict[str, tuple]] = {"base": (*BASES[1:], "guided+joint-tv")}

    base: str = "guided+joint-tv"
    features: int = 32
    blocks: int = 10

    @classmethod
    def light(cls) -> SwiftSpec:
        """See `Spec.light`: the only one."""
        return cls()

    def build(self) -> Swift:
        """See `Spec.build`."""
        from .network import Swift

        return Swift(self)
