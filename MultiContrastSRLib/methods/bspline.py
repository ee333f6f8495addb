"""Cubic B-spline interpolation."""

from __future__ import annotations

from ..image import kernels
from ..image.kernels import Kernel
from ._interpolation import Interpolation
from .contract import register


@register
class BSpline(Interpolation):
    """See `summary`."""

    name = "bspline"
    label = "Cubic B-spline"
    summary = "Interpolating cubic B-spline: the usual choice for resampling, smooth, little ringing."
    order = 30
    citation = "Unser, IEEE Signal Processing Magazine 16(6), 1999"

    def kernels(self, **options: bool | int | float | str) -> tuple[Kernel, Kernel]:
        """See `Interpolation.kernels`."""
        return kernels.bspline, kernels.bspline
