"""Linear interpolation."""

from __future__ import annotations

from ..image import kernels
from ..image.kernels import Kernel
from ._interpolation import Interpolation
from .contract import register


@register
class Linear(Interpolation):
    """See `summary`."""

    name = "linear"
    label = "Linear interpolation"
    summary = "Straight lines between voxels, as Slicer's own display: quick and blurred. The weakest honest baseline."
    order = 20
    citation = "Textbook; see Lehmann, Gönner, Spitzer, IEEE Trans. Med. Imaging 18(11), 1999"

    def kernels(self, **options: bool | int | float | str) -> tuple[Kernel, Kernel]:
        """See `Interpolation.kernels`."""
        return kernels.linear, kernels.linear
