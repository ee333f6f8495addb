"""One slice of a case: what a coarser scan shows, what methods make of it, the truth, and the errors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.patches import Rectangle

from MultiContrastSRLib.evaluation import Evaluation
from MultiContrastSRLib.evaluation.tables.picture import Picture

from .cases import Case
from .figures import DPI, FRAME, INK, QUIET, colour_bar, save, scale_bar, words

SHOWN = ("sinc", "guided", "swift")  # of the methods that were compared
CROP_MM = 45.0
WORST = 20.0  # % of the peak, where the colours of errors end


def draw_comparison(case: Case, found: Evaluation, path: Path) -> Path:
    """Draw the slice that `found` pictures to `path` (.png) and return it."""
    picture = found.pictures[case.scale]
    shown = [name for name in SHOWN if name in picture.predictions]
    images = {
        f"{case.truth.name} as a coarser scan\nrecords it": (picture.low, None),
        **{f"{words(name)}\n{_helped(name, case)}": (picture.predictions[name], name) for name in shown},
        f"truth: {case.truth.name}\nas scanned": (picture.truth, None),
    }
    window = {"cmap": "gray", "vmin": 0.0, "vmax": np.percentile(picture.truth, 99.8)}
    part = _crop(picture)
    columns = len(images) + 1
    figure, axes = plt.subplots(2, columns, figsize=(2.05 * columns, 5.0), layout="constrained", dpi=DPI)
    for axis in axes.flat:
        axis.axis("off")
    _whole(axes[0, 0], picture.truth, picture, part, window, f"{case.truth.name} of {case.name}\nslice {picture.slice}")
    if picture.reference is not None:
        window_of_reference = {**window, "vmax": np.percentile(picture.reference, 99.8)}
        _whole(axes[1, 0], picture.reference, picture, part, window_of_reference, f"reference: {case.reference.name}")
    drawn = None
    for (upper, lower), (title, (image, method)) in zip(axes.T[1:], images.items(), strict=True):
        crop = _oriented(image, picture)[part]
        upper.imshow(crop, aspect=picture.spacing[0] / picture.spacing[1], interpolation="nearest", **window)
        upper.set_title(title, fontsize=9, color=INK)
        scale_bar(upper, crop.shape, picture.spacing[1])
        if method is not None:
            error = 100 * np.abs(_oriented(image - picture.truth, picture)[part]) / picture.peak
            drawn = lower.imshow(error, cmap="inferno", vmin=0, vmax=WORST, interpolation="nearest")
            lower.set_title(f"PSNR {found.mean(case.scale, method, 'psnr'):.2f} dB", fontsize=9, color=INK)
    colour_bar(axes[1, -1], drawn, "|error|, % of peak")
    count = len(found.values(case.scale, shown[0], "psnr"))
    figure.suptitle(
        f"{case.name}: {case.truth.name} made {case.scale:g} times coarser in plane, then sharpened. "
        f"PSNR: mean of {count} slices of the volume (make demo). Research use only.",
        fontsize=9, color=QUIET,
    )  # fmt: skip
    return save(figure, path)


def _helped(method: str, case: Case) -> str:
    return "the scan alone" if method == "sinc" else f"with the {case.reference.name}"


def _oriented(image: np.ndarray, picture: Picture) -> np.ndarray:
    """An axial slice as radiologists look at it: front at the top, the patient's right at the left."""
    return image[:: -1 if picture.down[1] > 0 else 1, :: -1 if picture.right[0] > 0 else 1]


def _crop(picture: Picture) -> tuple[slice, slice]:
    """Rows and columns, in the view's orientation, of a square around the picture's focus."""
    marks = np.zeros(picture.truth.shape, bool)
    marks[picture.focus] = True
    focus = np.argwhere(_oriented(marks, picture))[0]
    sides = [min(n, round(CROP_MM / mm)) for n, mm in zip(marks.shape, picture.spacing, strict=True)]
    first = [int(np.clip(f - s // 2, 0, n - s)) for f, s, n in zip(focus, sides, marks.shape, strict=True)]
    return tuple(slice(a, a + side) for a, side in zip(first, sides, strict=True))


def _whole(
    axis: plt.Axes, image: np.ndarray, picture: Picture, part: tuple[slice, slice], window: dict, title: str
) -> None:
    """The whole slice with a frame around the crop."""
    axis.imshow(_oriented(image, picture), aspect=picture.spacing[0] / picture.spacing[1], **window)
    rows, columns = part
    size = columns.stop - columns.start, rows.stop - rows.start
    axis.add_patch(Rectangle((columns.start, rows.start), *size, fill=False, edgecolor=FRAME))
    axis.set_title(title, fontsize=9, color=INK)
    scale_bar(axis, image.shape, picture.spacing[1])
