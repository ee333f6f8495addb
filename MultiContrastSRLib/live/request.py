"""What is requested of the engine, and the frames that it returns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..image.grid import Grid


@dataclass(frozen=True)
class Request:
    """The image that a view is to show.

    Attributes:
        view: its name; a later request of the same name replaces this one.
        grid: its pixels, shape (1, rows, columns).
        difference: whether the difference from interpolation is requested too.
        neighbours: grids that may be requested next; rendered into the cache when nothing else is to be done.
        full: every pixel, whatever the quality.
    """

    view: str
    grid: Grid
    difference: bool = False
    neighbours: tuple[Grid, ...] = ()
    full: bool = False


@dataclass(frozen=True)
class Frame:
    """An image, or the error that kept it from being made.

    Attributes:
        request: the request that it answers.
        grid: its pixels; coarser than those of the request when `final` is False or the quality is "draft".
        array: float32 of `grid.shape`; None with an error.
        difference: `array` minus linear interpolation, where it was asked for.
        final: whether nothing better follows.
        scale: view pixels per target pixel.
        seconds: taken to render it; 0 from the cache.
        method: name of the method whose image it is; a quicker one's while the view is being prepared for.
        within_slices: whether detail across slices, which `pipeline.super_resolve` would add on this grid, is missing.
        error: what kept the image from being made.
        details: the traceback of `error`, as text, for the log.
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
    error: BaseException | None = None
    details: str = ""
