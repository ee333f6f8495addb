"""What all pictures of the demonstration share: orientation, scale bars, words, small files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.image import AxesImage
from PIL import Image, ImageDraw, ImageFont

from MultiContrastSRLib import methods

matplotlib.use("Agg")
from matplotlib import pyplot as plt

INK, QUIET, FRAME = "#1c1c1e", "#6e6e73", "#ffb000"
DPI = 90
COLOURS = 128  # of a saved figure: greys, error maps and text
NICE_MM = (1, 2, 5, 10, 20, 50)


def words(method: str) -> str:
    """The method's name as the panel shows it, without what stands in brackets."""
    return methods.get(method).label.partition(" (")[0]


def bar_length(field_mm: float) -> int:
    """A round length in mm, at most a third of a field of view."""
    return max((mm for mm in NICE_MM if mm <= field_mm / 3), default=NICE_MM[0])


def scale_bar(axis: plt.Axes, shape: Sequence[int], pixel_mm: float) -> None:
    """A white bar with its length at the lower left of an image of `shape` (rows, columns)."""
    length = bar_length(shape[1] * pixel_mm)
    left, bottom = 0.04 * shape[1], 0.95 * shape[0]
    axis.plot((left, left + length / pixel_mm), (bottom, bottom), color="white", linewidth=2, solid_capstyle="butt")
    axis.text(left, bottom - 0.03 * shape[0], f"{length} mm", color="white", fontsize=7, va="bottom")


def colour_bar(axis: plt.Axes, drawn: AxesImage, label: str) -> None:
    """A colour bar in an empty place of the figure."""
    bar = axis.figure.colorbar(drawn, cax=axis.inset_axes((0.02, 0.08, 0.07, 0.84)), extend="max")
    bar.set_label(label, fontsize=8, color=INK)
    bar.ax.tick_params(labelsize=8)


def save(figure: plt.Figure, path: Path) -> Path:
    """Write a figure as a PNG of few colours, and close it."""
    figure.canvas.draw()
    pixels = np.asarray(figure.canvas.buffer_rgba())[..., :3]
    plt.close(figure)
    return save_small(Image.fromarray(np.ascontiguousarray(pixels)), path)


def save_small(image: Image.Image, path: Path, colours: int = COLOURS) -> Path:
    """Write a picture as a PNG of at most so many colours, every pixel in the nearest.

    Each colour is the one that those before it miss most, by its distance and the number of its pixels: thin coloured
    lines stay what they are among many greys.
    """
    pixels = np.asarray(image.convert("RGB"))
    found, places, counts = np.unique(pixels.reshape(-1, 3), axis=0, return_inverse=True, return_counts=True)
    values = found.astype(np.float32)
    palette, nearest, missed = [], np.zeros(len(found), np.uint8), np.full(len(found), np.inf, np.float32)
    for number in range(min(colours, len(found))):
        palette.append(int(np.argmax(missed * np.sqrt(counts) if palette else counts)))
        distance = np.square(values - values[palette[-1]]).sum(axis=1)
        closer = distance < missed
        nearest[closer], missed[closer] = number, distance[closer]
    made = Image.fromarray(nearest[places.reshape(pixels.shape[:2])])
    made.putpalette(found[palette].tobytes())
    made.save(path, optimize=True)
    return path


def caption_view(pixels: np.ndarray, text: str, pixel_mm: float, size: int = 14) -> Image.Image:
    """A slice view with a caption at its top, and a scale bar at its lower left."""
    image = Image.fromarray(pixels)
    draw = ImageDraw.Draw(image)
    font = text_font(size)
    outline = {"fill": "white", "stroke_fill": "black", "stroke_width": 2, "font": font}
    draw.text((image.width / 2, 6), text, anchor="ma", **outline)
    length = bar_length(image.width * pixel_mm)
    left, bottom = 10, image.height - 10
    draw.rectangle((left - 1, bottom - 4, left + length / pixel_mm + 1, bottom + 1), fill="black")
    draw.rectangle((left, bottom - 3, left + length / pixel_mm, bottom), fill="white")
    draw.text((left, bottom - 7), f"{length} mm", anchor="ld", **outline)
    return image


def text_font(size: int) -> ImageFont.FreeTypeFont:
    """The font that comes with matplotlib."""
    return ImageFont.truetype(f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans.ttf", size)
