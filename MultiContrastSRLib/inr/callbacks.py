"""Callbacks of a fit, beyond progress and cancel: a request to stop, and points of the training curve with previews."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from ..image.grid import Grid

    RenderPreview = Callable[[Grid], list[np.ndarray]]


@dataclass(frozen=True)
class CurvePoint:
    """A point of the training curve.

    Attributes:
        epoch: passes over the samples so far.
        loss: mean loss of the fitted samples since the last epoch. For a network that corrects initial images, 1 is
            the loss of these.
        held_out: loss of the held-out samples; without initial images these are some of the fitted ones.
        information: mutual information of the first two contrasts' predictions in nats; None for one contrast.
        seconds: since the fit began.
    """

    epoch: float
    loss: float
    held_out: float
    information: float | None
    seconds: float

    def as_dict(self) -> dict[str, float | None]:
        """JSON-able."""
        return asdict(self)

    def __str__(self) -> str:
        shared = "" if self.information is None else f", mutual information {self.information:.3f}"
        return f"fit {self.held_out:.4f}{shared}, {self.seconds:.0f} s"


@dataclass(frozen=True)
class FitCallbacks:
    """Functions that a fit calls.

    Attributes:
        should_stop: true once the fit is to stop and keep what it has (`threading.Event().is_set` is one). It holds in
            every stage, the reconstruction of initial images included.
        on_point: called with a point of the curve at every epoch and every few seconds in between, and with a function
            that renders the present images of all contrasts on any grid, in the scans' units. That function may be
            called until `on_point` returns.
    """

    should_stop: Callable[[], bool] | None = None
    on_point: Callable[[CurvePoint, RenderPreview], None] | None = None


_NONE = FitCallbacks()
_CURRENT: ContextVar[FitCallbacks] = ContextVar("callbacks of a subject-specific fit", default=_NONE)


@contextmanager
def fit_callbacks(
    should_stop: Callable[[], bool] | None = None,
    on_point: Callable[[CurvePoint, RenderPreview], None] | None = None,
) -> Iterator[None]:
    """Set the callbacks of the fits that begin inside this context, in this thread, by whatever call.

    Args:
        should_stop, on_point: see `FitCallbacks`.

    >>> with fit_callbacks(should_stop=lambda: True):
    ...     current_callbacks().should_stop()
    True
    """
    token = _CURRENT.set(FitCallbacks(should_stop, on_point))
    try:
        yield
    finally:
        _CURRENT.reset(token)


def current_callbacks() -> FitCallbacks:
    """The callbacks of the innermost `fit_callbacks`."""
    return _CURRENT.get()
