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
        features: channels at half the output's resolution; twice as many at a quarter of it.
        blocks: residual blocks on either side at half the output's resolution.
        coarse_blocks: residual blocks at a quarter of it.
    """

    network: ClassVar[str] = "swift"
    choices: ClassVar[dict[str, tuple]] = {"base": BASES[1:]}

    base: str = "guided"
    features: int = 64
    blocks: int = 2
    coarse_blocks: int = 3

    @classmethod
    def light(cls) -> SwiftSpec:
        """See `Spec.light`: the only one."""
        return cls()

    def build(self) -> Swift:
        """See `Spec.build`."""
        from .network import Swift

        return Swift(self)
