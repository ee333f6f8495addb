"""Lanczos interpolation."""

from __future__ import annotations

from .. import kernels
from ._interpolation import Interpolation
from .base import register


@register
class Lanczos(Interpolation):
    """See `summary`."""

    name = "lanczos"
    label = "Lanczos (3 lobes)"
    summary = (
        "Windowed sinc of three lobes: nearly band-limited with short ringing."
    )
    order = 40
    citation = "Duchon, Journal of Applied Meteorology 18(8), 1979"
    kernel = kernels.lanczos
