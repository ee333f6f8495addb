"""Small synthetic volumes whose truth is known everywhere, and the real scans where they are at hand."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from MultiContrastSRLib import Grid, Volume


def rotation(angles: tuple[float, float, float]) -> np.ndarray:
    """3×3 rotation from three angles in radians."""
    matrix = np.eye(3)
    for axis, angle in enumerate(angles):
        c, s = np.cos(angle), np.sin(angle)
        turn = np.eye(3)
        first, second = [a for a in range(3) if a != axis]
        turn[first, first] = turn[second, second] = c
        turn[first, second], turn[second, first] = -s, s
        matrix = matrix @ turn
    return matrix


def affine(spacing_ijk, angles=(0.0, 0.0, 0.0), flips=(1, 1, 1), order=(0, 1, 2), origin=(0.0, 0.0, 0.0)) -> np.ndarray:
    """4×4 affine from spacing (i, j, k), a rotation, flips and a permutation of the axes."""
    matrix = np.eye(4)
    matrix[:3, :3] = rotation(angles) @ np.diag(flips)[:, list(order)] * np.asarray(spacing_ijk)
    matrix[:3, 3] = origin
    return matrix


def blob(grid: Grid, center: np.ndarray, width: np.ndarray | float, height: float = 100.0) -> np.ndarray:
    """A Gaussian of `width` mm (one, or one per grid axis (k, j, i)) at RAS `center`, sampled on `grid`."""
    index = np.stack(np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij"), axis=-1)
    distance = (index - grid.indices(center)) * np.asarray(grid.spacing) / width
    return (height * np.exp(-0.5 * (distance**2).sum(axis=-1))).astype(np.float32)


def centroid(volume: Volume) -> np.ndarray:
    """RAS mm of the centre of the bright part."""
    weight = np.clip(volume.array.astype(np.float64) - 0.25 * volume.array.max(), 0, None)
    index = np.stack(np.meshgrid(*[np.arange(n) for n in volume.shape], indexing="ij"), axis=-1)
    return volume.grid.positions((index * weight[..., None]).sum(axis=(0, 1, 2)) / weight.sum())


def pair(shape=(6, 96, 88), seed=0) -> tuple[Volume, Volume]:
    """Two contrasts of one anatomy-like scene on one grid (1 mm in plane, 3 mm slices)."""
    from scipy import ndimage

    rng = np.random.default_rng(seed)
    labels = np.zeros(shape, int)
    rows, columns = np.mgrid[: shape[1], : shape[2]]
    for k in range(shape[0]):
        for label in range(1, 60):
            y, x = rng.uniform(15, shape[1] - 15), rng.uniform(15, shape[2] - 15)
            radius = rng.uniform(2, 9, 2)
            labels[k][((rows - y) / radius[0]) ** 2 + ((columns - x) / radius[1]) ** 2 < 1] = label % 7 + 1
    means = rng.uniform(50, 250, (2, 9))
    means[:, 0] = 0
    smooth = [ndimage.gaussian_filter(m[labels], (0, 0.6, 0.6)) + rng.normal(0, 1, shape) for m in means]
    grid = np.diag([1.0, 1.0, 3.0, 1.0])
    return Volume(smooth[0], grid, "T2"), Volume(smooth[1], grid, "T1")


def psnr(result: Volume | np.ndarray, truth: Volume | np.ndarray) -> float:
    """PSNR in dB, mean over slices, peak = the slice's range; computed apart from the library's."""
    a, b = (np.asarray(getattr(v, "array", v), dtype=np.float64) for v in (result, truth))
    peak = b.max(axis=(1, 2)) - b.min(axis=(1, 2))
    return float(np.mean(10 * np.log10(peak**2 / np.maximum(((a - b) ** 2).mean(axis=(1, 2)), 1e-12))))


def real_volume(*parts: str) -> Volume:
    """The volume in a file of the real data set."""
    from MultiContrastSRLib import load_volume

    return load_volume(real_scan(*parts))


def real_scan(*parts: str) -> Path:
    """A file of the real data set; skips the test with a clear sentence where there is none."""
    folder = os.environ.get("MULTICONTRASTSR_DATA")
    if not folder:
        pytest.skip("MULTICONTRASTSR_DATA is not set: this test needs the real scans")
    found = sorted(Path(folder).glob("/".join(parts)))
    if not found:
        pytest.skip(f"{'/'.join(parts)} is not in MULTICONTRASTSR_DATA")
    return found[0]
