"""The training curve of a fit as a figure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..core.errors import MethodUnavailableError
from ..io.files import replaced_together
from ..io.formats import check_figure
from .callbacks import CurvePoint


def draw_curve(curve: Sequence[CurvePoint], path: str | Path) -> Path:
    """Draw the loss of fitted and held-out samples and the mutual information over seconds (.png, .svg or .pdf).

    Raises:
        InputError: another extension.
        FileWriteError: the file could not be written; nothing is left behind.
        MethodUnavailableError: matplotlib is not installed.
    """
    place = Path(path)
    check_figure(place)
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MethodUnavailableError(
            f"Figures need matplotlib ({error}); install it: pip install matplotlib."
        ) from error
    figure = Figure(figsize=(7, 4), layout="constrained")
    left = figure.add_subplot(xlabel="seconds", ylabel="loss", yscale="log")
    seconds = [point.seconds for point in curve]
    left.plot(seconds, [point.loss for point in curve], marker=".", label="fitted samples")
    left.plot(seconds, [point.held_out for point in curve], marker=".", label="held out")
    if any(point.information is not None for point in curve):
        right = left.twinx()
        right.set_ylabel("mutual information of the contrasts (nats)")
        right.plot(seconds, [point.information for point in curve], "k:", label="mutual information")
    figure.legend(loc="outside upper center", ncols=3)
    with replaced_together(place) as (partial,):
        figure.savefig(partial, dpi=110)
    return place
