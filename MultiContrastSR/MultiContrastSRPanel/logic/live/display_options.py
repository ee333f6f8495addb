"""How slice views show the frames of live zoom."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass
class DisplayOptions:
    """How the views show the frames; may change at any time (then call `LiveZoom.redraw`).

    Attributes:
        show: "view" (all of it), "lens" (a square around the pointer) or "split" (right of a line).
        lens_size: side of the lens in screen pixels.
        split: position of the line, 0 (left) to 1.
        original: show no frames at all.
        difference: show the signed difference from linear interpolation.
    """

    show: str = "view"
    lens_size: int = 240
    split: float = 0.5
    original: bool = False
    difference: bool = False

    def toggle_original(self) -> None:
        """Switch between the frames and none."""
        self.original = not self.original

    def toggle_difference(self) -> None:
        """Switch between the frames and their difference, and show them."""
        self.difference = not self.difference
        self.original = False
