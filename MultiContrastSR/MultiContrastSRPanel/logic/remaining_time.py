"""Estimates how long a run will still take."""

from __future__ import annotations

import time


class RemainingTime:
    """Estimates the seconds left from the fractions done so far."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    def estimate(self, fraction: float) -> float | None:
        """Seconds left when `fraction` of the run is done; None while it is too early to tell."""
        elapsed = time.monotonic() - self._start
        if fraction < 0.05 or elapsed < 0.5:
            return None
        return elapsed * (1.0 - min(fraction, 1.0)) / fraction


def format_remaining(seconds: float | None) -> str:
    """Text for the progress line: "about 8 s left"; empty when unknown."""
    if seconds is None:
        return ""
    if seconds < 60:
        return f"about {max(1, round(seconds))} s left"
    return f"about {round(seconds / 60)} min left"
