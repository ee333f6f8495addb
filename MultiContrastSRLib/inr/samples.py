"""The samples of a scan as points with their slice profiles.

Without initial images, values are the acquired intensities. With initial images (on a lattice), values are the
residuals of these, by the exact acquisition model of joint total variation, and the network is fitted to the residuals.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy
import torch

from ..acquisition.model import AcquisitionModel
from ..core.progress import Monitor
from ..image.grid import REVERSE, Grid
from ..image.similarity import foreground as above_background
from ..image.volume import Volume
from ..joint.data_term import DataTerm, expand
from ..joint.observation import aligned_grid, observe, observe_target

_MARGIN = 2  # samples around the foreground that belong to it
_PROFILE_POINTS = 8  # at most, along one axis


@dataclass(frozen=True)
class Samples:
    """The samples of one scan.

    Attributes:
        contrast: the output of the network that they are samples of.
        grid: of all samples of the scan.
        index: (p,) flat indices into `grid` of the samples that are used.
        values: (p,) float32, in the scan's units: acquired intensities, or residuals of initial images.
        offsets: (q, 3) mm (RAS) from a sample's centre to the points that its profile is averaged over.
    """

    contrast: int
    grid: Grid
    index: np.ndarray
    values: np.ndarray
    offsets: np.ndarray

    def positions(self, chosen: np.ndarray) -> np.ndarray:
        """RAS mm (n, 3) of the samples numbered `chosen`."""
        return self.grid.positions(np.stack(np.unravel_index(self.index[chosen], self.grid.shape), axis=-1))


def acquired_samples(scan: Volume, contrast: int, finest: float, *, slab: bool, foreground: bool) -> Samples:
    """The scan's own samples. `finest`: spacing in mm of the points that profiles are averaged over."""
    kept = _foreground(scan.array) if foreground else np.ones(scan.shape, bool)
    index = np.flatnonzero(kept)
    offsets = profile(scan, scan.grid, (finest,) * 3) if slab else np.zeros((1, 3))
    return Samples(contrast, scan.grid, index, scan.array.ravel()[index], offsets)


def residual_samples(
    scan: Volume,
    contrast: int,
    image: np.ndarray,
    lattice: Grid,
    across: int | None,
    *,
    first: bool,
    slab: bool,
    monitor: Monitor,
) -> Samples | None:
    """The residuals of the scan for `image` on `lattice`; None when their fields of view do not overlap.

    Args:
        across: see `joint.volumes.JointReconstruction`.
        first: whether the scan is the one that the lattice belongs to.
    """
    if first:
        observation, grid = observe_target(scan, AcquisitionModel.estimate(scan), lattice, monitor), scan.grid
    else:
        aligned = aligned_grid(scan, lattice, across)
        observation = None if aligned is None else observe(scan, lattice, across, monitor)
        grid = None if aligned is None else aligned[0]
    if observation is None:
        return None
    with torch.inference_mode():
        term = DataTerm(observation, 1.0, 1.0, torch.empty(0))
        values = expand(term.coefficients, term.left).numpy()
        residual = expand(term.residual(torch.from_numpy(np.ascontiguousarray(image))), term.left).numpy()
    kept = _foreground(values)
    if observation.measured is not None:
        kept &= observation.measured
    index = np.flatnonzero(kept)
    offsets = profile(scan, grid, lattice.spacing) if slab else np.zeros((1, 3))
    return Samples(contrast, grid, index, residual.ravel()[index].astype(np.float32), offsets)


def profile(scan: Volume, grid: Grid, finest: tuple[float, float, float]) -> np.ndarray:
    """(q, 3) mm: offsets about `finest` mm apart along the axes (k, j, i) of `grid` that fill one sample of `scan`.

    `grid` is the scan's own, or samples of its size whose axes lie (nearly) along the scan's. Along slices the
    extent is the slice's thickness, in plane the size that its measured spectrum resolves.
    """
    own, other = (g.affine[:3, :3] / np.linalg.norm(g.affine[:3, :3], axis=0) for g in (scan.grid, grid))
    nearest = np.abs(own.T @ other).argmax(axis=0)  # of every column (i, j, k) of `grid`, the scan's
    model = AcquisitionModel.estimate(scan).axes
    points = np.zeros((1, 3))
    for column in range(3):
        axis = model[REVERSE[nearest[column]]]
        extent = axis.thickness if axis.kind == "slab" else axis.resolution
        count = int(np.clip(round(extent / finest[REVERSE[column]]), 1, _PROFILE_POINTS))
        along = ((np.arange(count) + 0.5) / count - 0.5) * extent
        points = (points[:, None] + along[:, None] * other[:, column]).reshape(-1, 3)
    return points


def _foreground(values: np.ndarray) -> np.ndarray:
    """Samples above the background, and a margin around them."""
    return scipy.ndimage.binary_dilation(above_background(values), iterations=_MARGIN)


def box(scans: Sequence[Volume]) -> tuple[np.ndarray, np.ndarray]:
    """(centre, size) in RAS mm of the box around the fields of view of all scans."""
    corners = []
    for scan in scans:
        index = np.stack(np.meshgrid(*[(-0.5, n - 0.5) for n in scan.shape], indexing="ij"), axis=-1)
        corners.append(scan.grid.positions(index.reshape(-1, 3)))
    low, high = np.concatenate(corners).min(axis=0), np.concatenate(corners).max(axis=0)
    return (low + high) / 2, high - low
