"""The curve of a fit as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..core.errors import MethodUnavailableError
from ..io.files import replaced_together
from .control import Entry


def draw_curve(curve: Sequence[Entry], path: str | Path) -> Path:
    """Loss of fitted and held-out samples, and mutual information, over seconds (.png, .svg, .pdf); by matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MethodUnavailableError(
            f"Pictures need matplotlib ({error}); install it: pip install matplotlib."
        ) from error
    figure = Figure(figsize=(7, 4), layout="constrained")
    left = figure.add_subplot(xlabel="seconds", ylabel="loss", yscale="log")
    seconds = [entry.seconds for entry in curve]
    left.plot(seconds, [entry.loss for entry in curve], marker=".", label="fitted samples")
    left.plot(seconds, [entry.held_out for entry in curve], marker=".", label="held out")
    if any(entry.information is not None for entry in curve):
        right = left.twinx()
        right.set_ylabel("mutual information of the contrasts (nats)")
        right.plot(seconds, [entry.information for entry in curve], "k:", label="mutual information")
    figure.legend(loc="outside upper center", ncols=3)
    place = Path(path)
    with replaced_together(place) as (partial,):
        figure.savefig(partial, dpi=110)
    return place
