"""What a network receives in addition to the target."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..networks.intensity import IntensityNormalisation
from .base_image import BaseImage


@dataclass(frozen=True)
class NetworkInputs:
    """The inputs for a volume, with the reference or without it.

    Attributes:
        base: the base image.
        plain: the base image without the reference, where `base` uses it.
        reference: (k, j, i) on the network's lattice, or on the target's samples; None without.
        normalisation: of the reference; None without.
    """

    base: BaseImage
    plain: BaseImage | None = None
    reference: np.ndarray | None = None
    normalisation: IntensityNormalisation | None = None

    def without_reference(self) -> NetworkInputs:
        """The inputs without the reference."""
        return NetworkInputs(self.base if self.plain is None else self.plain)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences for the report about a device that ran out of memory or failed."""
        return self.base.warnings if self.plain is None else (*self.base.warnings, *self.plain.warnings)

    @property
    def nbytes(self) -> int:
        """Memory that they hold."""
        held = 0 if self.reference is None else self.reference.nbytes
        return held + self.base.nbytes + (0 if self.plain is None else self.plain.nbytes)
