"""Nearest-neighbour interpolation."""

from __future__ import annotations

from ..image import kernels
from ..image.kernels import Kernel
from ._interpolation import Interpolation
from .contract import register


@register
class Nearest(Interpolation):
    """See `summary`."""

    name = "nearest"
    label = "Nearest neighbour"
    summary = "Copies the nearest voxel: acquired values and nothing else when data consistency is off."
    order = 10
    citation = "Textbook; see Lehmann, Gönner, Spitzer, IEEE Trans. Med. Imaging 18(11), 1999"
    oversampling = 3

    def kernels(self, **options: bool | int | float | str) -> tuple[Kernel, Kernel]:
        """See `Interpolation.kernels`."""
        return kernels.nearest, kernels.nearest
