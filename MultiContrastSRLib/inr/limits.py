"""What ends a fit from outside: a request to stop, and a time limit."""

from __future__ import annotations

import math
import time
from collections.abc import Callable


class FitLimits:
    """The limits of one fit, whose time begins when this is made.

    Args:
        should_stop: true once the fit is to stop and keep what it has.
        max_seconds: time limit; 0 is none.

    >>> FitLimits(lambda: True).reached(), FitLimits(max_seconds=1e-9).reached(), FitLimits().reached()
    ('stop request', 'time limit', '')
    """

    def __init__(self, should_stop: Callable[[], bool] | None = None, max_seconds: float = 0.0) -> None:
        self._should_stop = should_stop
        self._max_seconds = max_seconds or math.inf
        self._begin = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Seconds since the beginning."""
        return time.perf_counter() - self._begin

    @property
    def seconds_left(self) -> float:
        """Seconds until the time limit, at least 0; infinite without one."""
        return max(0.0, self._max_seconds - self.seconds)

    @property
    def time_share(self) -> float:
        """The share of the time limit that is over; 0 without one."""
        return self.seconds / self._max_seconds

    def stop_requested(self) -> bool:
        """Whether the caller wants the fit to stop."""
        return self._should_stop is not None and self._should_stop()

    def reached(self) -> str:
        """The limit that is reached, "stop request" or "time limit"; empty when none is."""
        if self.stop_requested():
            return "stop request"
        return "time limit" if self.seconds >= self._max_seconds else ""
