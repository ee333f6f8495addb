"""Progress and cancellation of long calls.

The caller supplies two callables:

- `progress(fraction, stage)`: fraction of the whole run in [0, 1] and the name of the running stage;
- `cancel()`: returns True to stop (`threading.Event().is_set`, for example).

Public functions take them as `progress=` and `cancel=`; inside the library they are passed on as one `Monitor`.
"""

from __future__ import annotations

from collections.abc import Callable

from .errors import CancelledError

ProgressCallback = Callable[[float, str], None]
CancelCallback = Callable[[], bool]


class Monitor:
    """Progress and cancel callables of one run, mapped to a part of the run.

    Args:
        progress, cancel: the callables; None reports nothing and never cancels.
        start, stop: the part, as fractions of the run.
        stage: name that is reported with the fraction.

    >>> seen = []
    >>> whole = Monitor(lambda fraction, stage: seen.append((round(fraction, 2), stage)))
    >>> whole.part(0.5, 1.0, "render").update(0.5)
    >>> seen
    [(0.75, 'render')]
    """

    def __init__(
        self,
        progress: ProgressCallback | None = None,
        cancel: CancelCallback | None = None,
        *,
        start: float = 0.0,
        stop: float = 1.0,
        stage: str = "",
    ) -> None:
        self._progress, self._cancel = progress, cancel
        self._start, self._stop, self.stage = start, stop, stage

    def part(self, start: float, stop: float, stage: str | None = None) -> Monitor:
        """A monitor whose 0…1 is this one's `start`…`stop`."""
        span = self._stop - self._start
        return Monitor(
            self._progress,
            self._cancel,
            start=self._start + span * start,
            stop=self._start + span * stop,
            stage=self.stage if stage is None else stage,
        )

    @property
    def silent(self) -> Monitor:
        """A monitor that cancels like this one and reports nothing, for work inside a reported step."""
        return Monitor(None, self._cancel, stage=self.stage)

    def interruptible(self, stop: Callable[[], bool]) -> Monitor:
        """A monitor like this one that raises `CancelledError` also once `stop()` is true.

        For work that may end early and keep what it has: whoever catches the error calls `check` of this monitor, which
        raises it again if the caller wants to cancel.
        """

        def cancelled_or_stopped() -> bool:
            self.check()
            return stop()

        return Monitor(lambda fraction, _: self.update(fraction), cancelled_or_stopped, stage=self.stage)

    def update(self, fraction: float) -> None:
        """Report `fraction` (0 to 1) of this part.

        Raises:
            CancelledError: see `check`.
        """
        self.check()
        if self._progress is not None:
            clipped = min(max(fraction, 0.0), 1.0)
            self._progress(self._start + (self._stop - self._start) * clipped, self.stage)

    def check(self) -> None:
        """Raise `CancelledError` if `cancel()` returns True."""
        if self._cancel is not None and self._cancel():
            raise CancelledError(self.stage)

    def report(self, fraction: float, stage: str) -> None:
        """To be passed as `progress=` to a public function: its fractions 0…1 become this part.

        An empty stage is reported as the stage of this monitor.
        """
        part = (
            self
            if not stage
            else Monitor(self._progress, self._cancel, start=self._start, stop=self._stop, stage=stage)
        )
        part.update(fraction)

    def cancelled(self) -> bool:
        """To be passed as `cancel=` to a public function: what `cancel()` returns."""
        return self._cancel is not None and self._cancel()
