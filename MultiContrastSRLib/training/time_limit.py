"""Wall-clock limit of a training run."""

from __future__ import annotations

import time


class TimeLimit:
    """Decides when to stop, so that the run ends close to its limit.

    The last validation is part of the time, of which at most half is reserved for it. A step, and a batch of a
    validation, are never cut short.

    Args:
        minutes: from now on; None for no limit.
    """

    def __init__(self, minutes: float | None) -> None:
        self._seconds = None if minutes is None else 60 * max(0.0, minutes)
        self._start = time.monotonic()
        self._slowest_step = 0.0
        self.validation_seconds = 0.0  # expected duration of a validation

    @property
    def is_set(self) -> bool:
        """Whether there is a limit."""
        return self._seconds is not None

    @property
    def remaining(self) -> float:
        """Seconds until the limit."""
        return float("inf") if self._seconds is None else self._start + self._seconds - time.monotonic()

    @property
    def deadline(self) -> float:
        """Time by `time.monotonic` at which a validation has to end."""
        return float("inf") if self._seconds is None else self._start + self._seconds

    def step_took(self, seconds: float) -> None:
        """Note the duration of a step."""
        self._slowest_step = max(self._slowest_step, seconds)

    def next_step_is_last(self) -> bool:
        """Whether there is no time for two more steps and the validation."""
        if self._seconds is None:
            return False
        return self.remaining < 2 * self._slowest_step + min(self.validation_seconds, self._seconds / 2)
