"""What the caller of a fit may want to say and hear while it runs, beyond progress and cancel."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from ..image.grid import Grid

    Draw = Callable[[Grid], list[np.ndarray]]


@dataclass(frozen=True)
class Entry:
    """One look at a running fit.

    Attributes:
        epoch: passes over the samples so far.
        loss: of the samples that it is fitted to. With a start, 1 is what the start leaves.
        held_out: the same of samples that were kept aside; without a start of some that are fitted as well.
        information: mutual information of the first two contrasts' predictions, nats; None for one contrast.
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
class Control:
    """Callables that a fit asks and tells.

    Attributes:
        enough: True once the fit should stop and keep what it has (`threading.Event().is_set` is one).
        watch: told an entry for every epoch, and others every few seconds between; with a function that draws the
            images of all contrasts as they are then, in the scans' units, on any grid. Call it before returning only.
    """

    enough: Callable[[], bool] | None = None
    watch: Callable[[Entry, Draw], None] | None = None


_NONE = Control()
_CURRENT: ContextVar[Control] = ContextVar("control of a subject fit", default=_NONE)


@contextmanager
def controlled(
    enough: Callable[[], bool] | None = None, watch: Callable[[Entry, Draw], None] | None = None
) -> Iterator[None]:
    """Fits that begin inside, in this thread, ask `enough` and tell `watch`: through any call, `prepare` for one.

    >>> with controlled(enough=lambda: True):
    ...     current().enough()
    True
    """
    token = _CURRENT.set(Control(enough, watch))
    try:
        yield
    finally:
        _CURRENT.reset(token)


def current() -> Control:
    """The control of the innermost `controlled`."""
    return _CURRENT.get()
