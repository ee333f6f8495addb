"""Sinc interpolation: zero-filled k-space."""

from __future__ import annotations

from ..image import kernels
from ..image.kernels import Kernel
from ._interpolation import Interpolation
from .contract import register


@register
class Sinc(Interpolation):
    """See `summary`."""

    name = "sinc"
    label = "Sinc (zero-filled k-space)"
    summary = "Zero-filled k-space at exact positions: all that was measured, nothing added. The honest floor."
    order = 45
    citation = "Du, Parker, Davis, Cao, J. Magn. Reson. Imaging 4(5), 1994"
    oversampling = 1

    def kernels(self, **options: bool | int | float | str) -> tuple[Kernel, Kernel]:
        """See `Interpolation.kernels`."""
        return kernels.sinc, kernels.mirrored_sinc
