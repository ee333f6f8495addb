"""The slice that a figure shows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ...image import kernels
from ...image.sampling import sample
from ...image.volume import Volume
from ..baselines import BASELINE
from ..metrics.scoring import Truth
from ..protocols.case import Case


@dataclass(frozen=True)
class Picture:
    """One scored slice with all that a figure of it needs.

    Attributes:
        slice: its index in the volume that was given.
        right, down: the plane's column and row directions in the patient, unit vectors in RAS.
        spacing: mm between (rows, columns).
        peak: the intensity that errors are a percentage of.
        truth, low, reference: images on the truth's grid (`low` by nearest neighbour; `reference` may be None).
        predictions: image per row of the table.
        focus: (row, column) of the middle of the crop.
    """

    slice: int
    right: np.ndarray
    down: np.ndarray
    spacing: tuple[float, float]
    peak: float
    truth: np.ndarray
    low: np.ndarray
    reference: np.ndarray | None
    predictions: dict[str, np.ndarray]
    focus: tuple[int, int]


def take_picture(case: Case, low: Volume, truth: Truth, predictions: dict[str, np.ndarray]) -> Picture:
    """The scored slice with most lesion, or most brain.

    In focus is its largest lesion, or the place, well inside, where the baseline has the largest error.

    Args:
        low: the degraded target.
        predictions: per row, the scored slices.
    """
    regions = [truth.lesions, truth.brain, truth.foreground]
    shown = next(region for region in regions if region is not None and region.any())
    number = int(np.argmax(shown.sum(axis=(1, 2))))
    grid = case.plane_grid(number)
    coarse = sample(low.array, low.grid, grid, [kernels.nearest] * 3, domain=[(-1.0, n) for n in low.shape])
    rows, columns = [axis for axis in range(3) if axis != case.plane_axis]
    directions = grid.affine[:3, :3] / np.linalg.norm(grid.affine[:3, :3], axis=0)
    return Picture(
        slice=case.first + case.planes[number],
        right=directions[:, 2 - columns],
        down=directions[:, 2 - rows],
        spacing=(grid.spacing[rows], grid.spacing[columns]),
        peak=float(np.broadcast_to(truth.peak, len(truth.image))[number]),
        truth=truth.image[number],
        low=coarse.squeeze(case.plane_axis),
        reference=None if truth.other is None else truth.other[number],
        predictions={row: image[number] for row, image in predictions.items()},
        focus=_focus(shown[number], predictions[BASELINE][number] - truth.image[number], shown is truth.lesions),
    )


def _focus(region: np.ndarray, error: np.ndarray, lesions: bool) -> tuple[int, int]:
    if lesions:
        labels, _ = ndimage.label(region)
        largest = labels == 1 + np.argmax(np.bincount(labels.ravel())[1:])
        return tuple(round(float(center)) for center in ndimage.center_of_mass(largest))
    # far from the edge, where a crop shows tissue only
    depth = ndimage.distance_transform_edt(np.pad(region, 1))[1:-1, 1:-1]
    deep = depth > 0.5 * depth.max()
    smooth = ndimage.gaussian_filter(np.where(region, error, 0.0) ** 2, 8.0)
    return tuple(int(index) for index in np.unravel_index(np.argmax(np.where(deep, smooth, -1.0)), smooth.shape))
