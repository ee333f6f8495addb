"""Lanczos interpolation."""

from __future__ import annotations

from ..image import kernels
from ..image.kernels import Kernel
from ._interpolation import Interpolation
from .contract import Option, register


@register
class Lanczos(Interpolation):
    """See `summary`."""

    name = "lanczos"
    label = "Lanczos"
    summary = "Windowed sinc: nearly band-limited, with short ringing."
    order = 40
    citation = "Duchon, Journal of Applied Meteorology 18(8), 1979"
    options = (
        Option("lobes", 3, "Lobes", "Half width of the kernel in voxels: more is sharper and rings longer.", 2, 8),
    )

    def kernels(self, **options: bool | int | float | str) -> tuple[Kernel, Kernel]:
        """See `Interpolation.kernels`."""
        kernel = kernels.lanczos(int(options["lobes"]))
        return kernel, kernel
