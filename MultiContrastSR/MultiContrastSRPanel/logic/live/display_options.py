"""What live zoom shows of its frames."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass
class Choices:
    """What the views show of the frames; may change at any time (then call `LiveZoom.redraw`).

    Attributes:
        show: "view" (all of it), "lens" (a square around the pointer) or "split" (right of a line).
        lens_size: side of the lens in screen pixels.
        split: where the line stands, 0 (left) to 1.
        original: show no frames at all.
        difference: show what was added over linear interpolation, signed.
    """

    show: str = "view"
    lens_size: int = 240
    split: float = 0.5
    original: bool = False
    difference: bool = False
