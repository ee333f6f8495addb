"""One slice as a figure: crops of the truth and of every method, and error maps with one colour bar."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...core.errors import InputError, MethodUnavailableError
from ...image.similarity import psnr
from ...io.files import replaced_together
from ..protocols.scales import Scale, as_scale, scale_name
from .formats import number

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..results import Evaluation
    from .picture import Picture

CELL = 1.6  # inches: side of one crop
METHODS_PER_ROW = 8  # methods in one row of crops above error maps; more start another row
CROP = 72  # least pixels of a crop of a large slice
HEADING = 0.6  # inches above the images
BACKGROUND, TEXT, MUTED, FRAME = "#ffffff", "#1c1c1e", "#6e6e73", "#ffb000"


def draw_figure(
    evaluation: Evaluation, scale: Scale, path: Path, rows: tuple[str, ...] | None = None, dpi: int = 150
) -> Path:
    """Draw the picture of `scale` to `path` (.png, .pdf, .svg) and return it; see `compose`.

    Raises:
        FileWriteError: the file could not be written; nothing is left behind.
    """
    figure = compose(evaluation, scale, rows)
    with replaced_together(path) as (partial,):
        figure.savefig(partial, dpi=dpi, facecolor=BACKGROUND)
    return path


def compose(evaluation: Evaluation, scale: Scale, rows: tuple[str, ...] | None = None) -> Figure:
    """The matplotlib figure of `scale`; `rows` are those of the table to show, default all.

    Raises:
        InputError: rows that were not evaluated.
        MethodUnavailableError: matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MethodUnavailableError(
            "Figures need matplotlib, which is not installed; pip install matplotlib."
        ) from error
    scale = as_scale(scale)
    picture = evaluation.pictures[scale]
    rows = tuple(picture.predictions) if rows is None else tuple(rows)
    unknown = [row for row in rows if row not in picture.predictions]
    if unknown or not rows:
        raise InputError(f"Rows are {list(rows)}; expected some of {', '.join(picture.predictions)}.")

    view = _View(picture)
    count = math.ceil(len(rows) / METHODS_PER_ROW)
    columns = math.ceil(len(rows) / count)
    bands = [rows[start : start + columns] for start in range(0, len(rows), columns)]
    # at the left the whole truth above the whole reference, then their crops, then the methods
    cell_height = CELL * min(max(view.crop_ratio, 0.6), 1.6)
    whole_width = min(max(cell_height / view.whole_ratio, 0.8 * CELL), 1.6 * CELL)
    size = (whole_width + CELL * (columns + 1) + 1.3, 2 * count * (cell_height + 0.28) + HEADING)
    figure = Figure(figsize=size, facecolor=BACKGROUND, layout="constrained")
    FigureCanvasAgg(figure)
    figure.get_layout_engine().set(
        w_pad=0.03, h_pad=0.03, wspace=0.02, hspace=0.02, rect=(0.004, 0, 0.992, 1 - HEADING / size[1])
    )
    heading = {"va": "top", "x": 0.1 / size[0]}
    subject = f"{evaluation.subject}: " if evaluation.subject else ""
    title = f"{subject}{evaluation.title}, ×{scale_name(scale)}"
    figure.text(s=title, y=1 - 0.1 / size[1], color=TEXT, fontsize=12, weight="bold", **heading)
    subtitle = f"{evaluation.protocol.title}; errors and PSNR of slice {picture.slice}"
    figure.text(s=subtitle, y=1 - 0.34 / size[1], color=MUTED, fontsize=9, **heading)
    grid = figure.add_gridspec(2 * count, columns + 2, width_ratios=[whole_width] + [CELL] * (columns + 1))

    gray = _window(view.cropped(picture.truth))
    axes = _Axes(figure, grid)
    axes.whole(0, view, picture.truth, f"{evaluation.target}, slice {picture.slice}", _window(picture.truth))
    axes.crop(0, 1, view, picture.truth, "truth", gray)
    if picture.reference is not None:
        axes.whole(1, view, picture.reference, f"reference {evaluation.reference}", _window(picture.reference))
        axes.crop(1, 1, view, picture.reference, "reference", _window(view.cropped(picture.reference)))
    else:
        axes.crop(1, 1, view, picture.low, "degraded", gray)

    errors = {row: 100 * np.abs(picture.predictions[row] - picture.truth) / (picture.peak or 1.0) for row in rows}
    worst = float(np.percentile([view.cropped(error) for error in errors.values()], 99.5))
    heat = {"cmap": "inferno", "vmin": 0.0, "vmax": worst or 1.0}
    maps, image = [], None
    for band_number, band in enumerate(bands):
        for column, row in enumerate(band):
            value = psnr(picture.predictions[row][None], picture.truth[None], picture.peak)[0]
            axes.crop(2 * band_number, column + 2, view, picture.predictions[row], row, gray)
            axis, image = axes.crop(
                2 * band_number + 1, column + 2, view, errors[row], f"{number(value, 2)} dB", heat, muted=True
            )
            maps.append(axis)
    bar = figure.colorbar(image, ax=maps, location="right", fraction=0.04, pad=0.01, shrink=0.92, extend="max")
    bar.set_label("|error|, % of peak", color=TEXT, fontsize=9)
    bar.ax.tick_params(labelsize=8, colors=TEXT)
    bar.outline.set_visible(False)
    return figure


def _window(image: np.ndarray) -> dict:
    """Grey levels from the 0.5th percentile, at least 0, to the 99.8th."""
    low, high = (float(value) for value in np.percentile(image, (0.5, 99.8)))
    return {"cmap": "gray", "vmin": max(0.0, low), "vmax": high}


class _View:
    """The slice in radiological orientation (patient's right at the left, anterior or superior up), and its crop."""

    def __init__(self, picture: Picture) -> None:
        right, down = picture.right, picture.down
        spacing = picture.spacing
        # columns should run along the more lateral direction of the two; sagittal planes: along anterior–posterior
        swap = np.argmax(np.abs(right)) > np.argmax(np.abs(down))
        self.swapped = bool(swap)
        if swap:
            right, down, spacing = down, right, spacing[::-1]
        across, along = int(np.argmax(np.abs(right))), int(np.argmax(np.abs(down)))
        # to the viewer's right: patient's left, or posterior; downwards: posterior, or inferior
        self.mirrored = bool(right[across] > 0)
        self.flipped = bool(down[along] > 0)
        self.left_side = "RA"[across] if across < 2 else ""  # letter for the patient's side at the viewer's left
        self.aspect = spacing[0] / spacing[1]
        shape = picture.truth.shape[::-1] if swap else picture.truth.shape
        focus = picture.focus[::-1] if swap else picture.focus
        row = shape[0] - 1 - focus[0] if self.flipped else focus[0]
        column = shape[1] - 1 - focus[1] if self.mirrored else focus[1]
        side = min(max(CROP, min(shape) // 3), *shape)
        tall = min(shape[0], max(1, round(side / self.aspect)))
        top = int(np.clip(row - tall // 2, 0, shape[0] - tall))
        left = int(np.clip(column - side // 2, 0, shape[1] - side))
        self.window = (slice(top, top + tall), slice(left, left + side))
        # the whole slice without its empty margins
        shown = self.oriented(np.abs(picture.truth) > 0.03 * np.abs(picture.truth).max())
        self.trim = tuple(
            slice(max(int(found[0]) - 6, 0), min(int(found[-1]) + 7, n)) if len(found) else slice(0, n)
            for found, n in ((np.flatnonzero(shown.any(axis=1 - axis)), shape[axis]) for axis in (0, 1))
        )
        self.trim = tuple(
            slice(min(t.start, w.start), max(t.stop, w.stop)) for t, w in zip(self.trim, self.window, strict=True)
        )
        self.whole_ratio = (
            (self.trim[0].stop - self.trim[0].start) * self.aspect / (self.trim[1].stop - self.trim[1].start)
        )
        self.crop_ratio = tall * self.aspect / side

    def oriented(self, image: np.ndarray) -> np.ndarray:
        """The whole slice in the view's orientation."""
        image = image.T if self.swapped else image
        return image[:: -1 if self.flipped else 1, :: -1 if self.mirrored else 1]

    def cropped(self, image: np.ndarray) -> np.ndarray:
        """The crop in the view's orientation."""
        return self.oriented(image)[self.window]


class _Axes:
    """Places images without ticks in the figure's grid."""

    def __init__(self, figure, grid) -> None:
        self._figure, self._grid = figure, grid

    def _place(
        self, row: int, column: int, image: np.ndarray, label: str, colours: dict, aspect: float, muted: bool = False
    ):
        axis = self._figure.add_subplot(self._grid[row, column])
        shown = axis.imshow(image, aspect=aspect, interpolation="nearest", **colours)
        axis.set_xticks([])
        axis.set_yticks([])
        for spine in axis.spines.values():
            spine.set_visible(False)
        axis.set_title(label, fontsize=8 if muted else 9, color=MUTED if muted else TEXT, pad=3)
        return axis, shown

    def crop(
        self, row: int, column: int, view: _View, image: np.ndarray, label: str, colours: dict, muted: bool = False
    ):
        """The crop of `image`; returns its axes and image."""
        return self._place(row, column, view.cropped(image), label, colours, view.aspect, muted)

    def whole(self, row: int, view: _View, image: np.ndarray, label: str, colours: dict) -> None:
        """The whole slice with a frame around the crop."""
        from matplotlib.patches import Rectangle

        axis, _ = self._place(row, 0, view.oriented(image)[view.trim], label, colours, view.aspect)
        axis.text(0.02, 0.98, view.left_side, transform=axis.transAxes, color=FRAME, fontsize=8, va="top")
        rows, columns = view.window
        corner = (columns.start - view.trim[1].start - 0.5, rows.start - view.trim[0].start - 0.5)
        width, height = columns.stop - columns.start, rows.stop - rows.start
        axis.add_patch(Rectangle(corner, width, height, fill=False, edgecolor=FRAME, linewidth=1.2))
