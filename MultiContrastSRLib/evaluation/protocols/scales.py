"""Scale factors of an evaluation: one number, or one each for rows and columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from ...core.errors import InputError

Scale = float | tuple[float, float]


def as_scale(scale: float | Sequence[float]) -> Scale:
    """`scale` as a float, or as a tuple of two.

    >>> as_scale(2), as_scale([2, 1.3])
    (2.0, (2.0, 1.3))
    """
    if not isinstance(scale, Iterable):
        return float(scale)
    if len(scale) != 2:
        raise InputError(
            f"Scale is {scale!r}; expected one number above 1, or two: rows, columns; for example (2, 1.3)."
        )
    return float(scale[0]), float(scale[1])


def scale_name(scale: Scale) -> str:
    """For tables and headings.

    >>> scale_name(2.0), scale_name((2.0, 1.3))
    ('2', '2×1.3')
    """
    return f"{scale:g}" if isinstance(scale, float) else "×".join(f"{factor:g}" for factor in scale)


def parse_scale(text: str) -> Scale:
    """A scale as typed: "2.7", or "2x1.3" for rows and columns.

    >>> parse_scale("2.7"), parse_scale("2x1.3")
    (2.7, (2.0, 1.3))
    """
    factors = [float(part) for part in text.replace("×", "x").split("x")]
    return factors[0] if len(factors) == 1 else as_scale(factors)


def checked_scales(scales: float | Sequence[Scale]) -> tuple[Scale, ...]:
    """`scales` as a tuple of different scales that each make something coarser.

    Raises:
        InputError: otherwise.
    """
    given = tuple(scales) if isinstance(scales, Iterable) else (scales,)
    factors = tuple(as_scale(scale) for scale in given)
    if (
        not factors
        or not all(np.isfinite(f).all() and np.min(f) >= 1 and np.max(f) > 1 for f in factors)
        or len(set(factors)) < len(factors)
    ):
        raise InputError(f"Scales are {given}; expected different numbers above 1, for example 2, 3, 4.")
    return factors
