"""Pictures of a result as PNG files: before and after in three planes, and the reference's edges on the target."""

from __future__ import annotations

import struct
import zlib

import numpy as np

from ..image import kernels
from ..image.grid import Grid
from ..image.sampling import sample
from ..image.volume import Volume

_SIZE = 220  # pixels along the longest side of a plane
_EDGES = 0.93  # quantile of the gradient above which the reference has an edge
_COLOUR = (255, 140, 0)
_LEVEL = 2  # of compression: noise hardly shrinks further
# (right, down) of a picture in RAS, as radiologists look at them: axial, coronal, sagittal
_PLANES = (((-1, 0, 0), (0, -1, 0)), ((-1, 0, 0), (0, 0, -1)), ((0, -1, 0), (0, 0, -1)))


def before_after(target: Volume, result: Volume) -> bytes:
    """A PNG: the target's voxels above the result, axial, coronal and sagittal through the middle."""
    window = _window(target)
    planes = _planes(target.grid)
    before = [_grey(_on(target, plane, kernels.nearest), window) for plane in planes]
    after = [_grey(_on(result, plane, kernels.linear), window) for plane in planes]
    return png(np.concatenate([_row(before), _row(after)]))


def edges(target: Volume, reference: Volume) -> bytes:
    """A PNG: edges of the aligned reference, in orange on the target, in the same planes."""
    window = _window(target)
    pictures = []
    for plane in _planes(target.grid):
        grey = _grey(_on(target, plane, kernels.linear), window)
        coloured = np.repeat(grey[..., None], 3, axis=2)
        coloured[_edges_of(_on(reference, plane, kernels.linear))] = _COLOUR
        pictures.append(coloured)
    return png(_row(pictures))


def png(image: np.ndarray) -> bytes:
    """A PNG file of uint8 (rows, columns) or (rows, columns, 3).

    >>> png(np.zeros((2, 3), np.uint8))[1:4]
    b'PNG'
    """
    rows, columns = image.shape[:2]
    head = struct.pack(">IIBBBBB", columns, rows, 8, 2 if image.ndim == 3 else 0, 0, 0, 0)
    lines = image.reshape(rows, -1)
    data = np.concatenate([np.zeros((rows, 1), np.uint8), lines], axis=1).tobytes()  # each line begins with its filter
    chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(data, _LEVEL)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )


def _planes(grid: Grid) -> list[Grid]:
    """Three planes of one pixel size through the centre of `grid`, over its whole field of view."""
    corners = np.array(np.meshgrid(*[(-0.5, n - 0.5) for n in grid.shape], indexing="ij")).reshape(3, -1).T
    places = grid.positions(corners)
    low, high = places.min(axis=0), places.max(axis=0)
    pixel = float((high - low).max()) / _SIZE
    planes = []
    for right, down in _PLANES:
        size = [max(1, int(np.ceil(abs(np.dot(high - low, axis)) / pixel))) for axis in (down, right)]
        steps = np.outer(size[1] - 1, right)[0] + np.outer(size[0] - 1, down)[0]
        origin = grid.center - pixel * steps / 2
        planes.append(Grid.view(origin, right, down, pixel, size))
    return planes


def _on(volume: Volume, plane: Grid, kernel: kernels.Kernel) -> np.ndarray:
    return sample(volume.array, volume.grid, plane, (kernel,) * 3, fill=float(volume.array.min()))[0]


def _window(volume: Volume) -> tuple[float, float]:
    low, high = np.percentile(volume.array, (1, 99.5))
    return float(low), float(max(high, low + 1e-6))


def _grey(values: np.ndarray, window: tuple[float, float]) -> np.ndarray:
    low, high = window
    return np.clip(255 * (values - low) / (high - low), 0, 255).astype(np.uint8)


def _edges_of(values: np.ndarray) -> np.ndarray:
    if min(values.shape) < 2:
        return np.zeros(values.shape, bool)
    steepness = np.hypot(*np.gradient(values.astype(np.float64)))
    return steepness > max(float(np.quantile(steepness, _EDGES)), 1e-6)


def _row(pictures: list[np.ndarray]) -> np.ndarray:
    """Pictures side by side, in the middle of equally tall black strips."""
    rows = max(picture.shape[0] for picture in pictures)
    padded = []
    for picture in pictures:
        above = (rows - picture.shape[0]) // 2
        margins = [(above, rows - picture.shape[0] - above), (2, 2), (0, 0)][: picture.ndim]
        padded.append(np.pad(picture, margins))
    return np.concatenate(padded, axis=1)
