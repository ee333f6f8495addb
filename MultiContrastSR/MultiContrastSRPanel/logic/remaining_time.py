"""Estimates how long a run will still take."""

from __future__ import annotations

import time
from collections.abc import Mapping

import numpy as np

from .expected_time import STAGES, format_seconds

# The fractions of a run's progress at which its stages begin, see `MultiContrastSRLib.pipeline.super_resolve`.
_BEGINS = (0.0, 0.06, 0.3, 0.74, 0.85)


class RemainingTime:
    """Estimates the seconds left from the fractions done so far, and from what the stages were expected to take.

    Args:
        expected: seconds by stage, empty where nothing is known: then the progress is taken to be even.
    """

    def __init__(self, expected: Mapping[str, float] | None = None) -> None:
        self._start = time.monotonic()
        seconds = [(expected or {}).get(stage, 0.0) for stage in STAGES]
        self._expected = sum(seconds)
        self._done = np.cumsum([0.0, *seconds]) / self._expected if self._expected else None

    def estimate(self, fraction: float) -> float | None:
        """Seconds left when `fraction` of the run is done; None while it is too early to tell."""
        elapsed = time.monotonic() - self._start
        if fraction <= 0:  # packages are being imported
            return None
        if self._done is None:
            if fraction < 0.05 or elapsed < 0.5:
                return None
            return elapsed * (1.0 - min(fraction, 1.0)) / fraction
        share = float(np.interp(fraction, (*_BEGINS, 1.0), self._done))  # of the whole time
        measured = elapsed / share if share > 0 else self._expected
        total = (1 - share) * self._expected + share * measured  # trust what was measured as far as the run has come
        return total * (1 - share)


def format_remaining(seconds: float | None) -> str:
    """Text for the progress line: "about 8 s left"; empty when unknown."""
    return "" if seconds is None else f"about {format_seconds(seconds)} left"
