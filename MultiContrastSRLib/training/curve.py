"""The validation curve: a plot, a TensorBoard log where that package is installed, and a line of text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ..io.files import replaced_together

PLOT = "curve.png"


def plot_curve(curve: Sequence[Mapping[str, object]], path: Path, title: str) -> Path | None:
    """Plot PSNR against steps, one line for each scale, the better baseline dotted.

    Returns:
        The path; None without matplotlib or without entries.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return None
    if not curve:
        return None
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot(xlabel="step", ylabel="PSNR on validation slices (dB)", title=title)
    for scale, last in curve[-1]["scores"].items():
        points = [(entry["step"], entry["scores"][scale]["psnr"]) for entry in curve if scale in entry["scores"]]
        (line,) = axes.plot(*zip(*points, strict=True), marker=".", label=f"×{scale}")
        axes.axhline(max(last["sinc"], last["guided"]), color=line.get_color(), linestyle=":")
    axes.legend(title="dotted: better of\nsinc and guided")
    with replaced_together(path) as (partial,):
        figure.savefig(partial, dpi=110)
    return path


class TensorBoardLog:
    """TensorBoard events in a folder; nothing where the package is not installed."""

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            self._writer = None
        else:
            self._writer = SummaryWriter(str(folder))

    def add(self, entry: Mapping[str, object]) -> None:
        """Write one entry of the curve."""
        if self._writer is None:
            return
        self._writer.add_scalar("loss", entry["loss"], entry["step"])
        for scale, scores in entry["scores"].items():
            self._writer.add_scalar(f"psnr/x{scale}", scores["psnr"], entry["step"])
            self._writer.add_scalar(f"gain/x{scale}", scores["gain"], entry["step"])
        self._writer.flush()

    def close(self) -> None:
        """Close the file."""
        if self._writer is not None:
            self._writer.close()


def progress_line(entry: Mapping[str, object], steps: int, remaining: float) -> str:
    """One entry of the curve as a line of text.

    Args:
        steps: of the recipe.
        remaining: expected seconds until they are done.

    >>> scores = {"2": {"psnr": 36.1, "sinc": 33.0, "guided": 35.0, "gain": 1.1}}
    >>> progress_line({"step": 50, "loss": 0.01234, "scores": scores}, 100, 90.0)
    'step 50/100  loss 0.01234  x2 36.10 dB (+1.10)  2 min left'
    """
    scores = "  ".join(f"x{s} {v['psnr']:.2f} dB ({v['gain']:+.2f})" for s, v in entry["scores"].items())
    left = f"{max(1, round(remaining / 60))} min left" if remaining > 0 else "done"
    return f"step {entry['step']}/{steps}  loss {entry['loss']:.4g}  {scores}  {left}"
