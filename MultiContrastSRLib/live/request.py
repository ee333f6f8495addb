"""What goes to the engine and what comes back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..image.grid import Grid


@dataclass(frozen=True)
class Request:
    """What a view wants to show.

    Attributes:
        view: its name; a later request of the same name takes this one's place.
        grid: its pixels, shape (1, rows, columns).
        difference: whether the difference from interpolation is wanted too.
        neighbours: grids that may be wanted next; rendered into the cache when there is nothing else to do.
        full: every pixel, whatever the quality.
    """

    view: str
    grid: Grid
    difference: bool = False
    neighbours: tuple[Grid, ...] = ()
    full: bool = False


@dataclass(frozen=True)
class Frame:
    """What came out: an image, or the error that kept it from being made.

    Attributes:
        request: what it answers.
        grid: its pixels; coarser than those of the request when `final` is False or the quality is "draft".
        array: float32 of `grid.shape`; None with an error.
        difference: `array` minus linear interpolation, where it was asked for.
        final: whether nothing better follows.
        scale: view pixels per target pixel.
        seconds: taken to render it; 0 from the cache.
        method: name of the method whose image it is; another than the user's while that one's is in the making.
        within_slices: whether detail across slices, which `pipeline.super_resolve` would add on this grid, is missing.
    """

    request: Request
    grid: Grid
    array: np.ndarray | None = None
    difference: np.ndarray | None = None
    final: bool = True
    scale: float = 1.0
    seconds: float = 0.0
    method: str = ""
    within_slices: bool = False
    error: Exception | None = None
