"""What a network receives in addition to the target."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..networks.intensity import IntensityNormalisation
from .auxiliary_image import JointTVSlices
from .base_image import BaseImage


@dataclass(frozen=True)
class NetworkInputs:
    """The inputs for a volume, with the reference or without it.

    Attributes:
        base: the base image.
        reference: (k, j, i) on the network's lattice, or on the target's samples; None without.
        normalisation: of the reference; None without.
        auxiliary: the auxiliary image by the axis along which slices are stacked; empty where the network has none.
    """

    base: BaseImage
    reference: np.ndarray | None = None
    normalisation: IntensityNormalisation | None = None
    auxiliary: dict[int, JointTVSlices] = field(default_factory=dict)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences for the report about a device that ran out of memory or failed."""
        return sum((slices.warnings for slices in self.auxiliary.values()), self.base.warnings)

    @property
    def nbytes(self) -> int:
        """Memory that they hold."""
        held = 0 if self.reference is None else self.reference.nbytes
        return held + self.base.nbytes + sum(slices.nbytes for slices in self.auxiliary.values())
