"""Inserting lesions into a scan, removing lesions from it, and measuring their contrast in an image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ...core.errors import InputError
from ...image.grid import Grid
from ...image.volume import Volume
from ..protocols.case import Case, on_grid

RADII = (2.0, 4.0)  # mm
AMPLITUDE = 0.2  # of a contrast's 99.9th percentile in the foreground
EDGE_WIDTH = 1.0  # mm over which a lesion fades out
RING = (1.5, 4.0)  # mm beyond a lesion's radius: its surroundings
MIN_DISTANCE = 16.0  # mm between centres
MAX_SITES = 24
_TISSUE = 0.3  # of the 99.9th percentile: bright enough for a dark lesion


@dataclass(frozen=True)
class LesionSite:
    """Where a spherical lesion is inserted.

    Attributes:
        plane: number among the scored planes of the one through its centre.
        center: RAS mm.
        radius: mm.
        sign: +1 brighter, −1 darker than the tissue.
    """

    plane: int
    center: np.ndarray
    radius: float
    sign: int


def peak_intensity(volume: Volume) -> float:
    """The intensity that amplitudes are relative to: the 99.9th percentile of the volume's positive voxels."""
    return float(np.percentile(volume.array[volume.array > 0], 99.9))


def choose_sites(case: Case, other: np.ndarray | None, seed: int = 0) -> list[LesionSite]:
    """Up to `MAX_SITES` sites deep in the brain, in tissue that is dark in neither contrast, `MIN_DISTANCE` apart.

    Args:
        other: the other contrast on the truth's grid, or None.

    Raises:
        InputError: there is no such site.
    """
    rng = np.random.default_rng(seed)
    room = case.brain.copy()
    for image in (case.truth.array, other):
        if image is not None:
            smooth = ndimage.uniform_filter(case.scored(image), (1, 5, 5))
            room &= smooth > _TISSUE * np.percentile(image[image > 0], 99.9)
    if case.lesions is not None:
        room &= ~ndimage.binary_dilation(case.lesions, ndimage.generate_binary_structure(2, 1)[None], iterations=4)
    candidates = np.argwhere(room)
    rng.shuffle(candidates)
    planes = np.array(case.planes)[candidates[:, 0]]
    positions = case.truth.grid.positions(np.insert(candidates[:, 1:], case.plane_axis, planes, axis=1))
    kinds = [(radius, sign) for radius in RADII for sign in (1, -1)]
    free = np.ones(len(candidates), dtype=bool)
    sites: list[LesionSite] = []
    while free.any() and len(sites) < MAX_SITES:
        chosen = int(np.argmax(free))
        sites.append(LesionSite(int(candidates[chosen, 0]), positions[chosen], *kinds[len(sites) % len(kinds)]))
        free &= np.linalg.norm(positions - positions[chosen], axis=1) >= MIN_DISTANCE
    if not sites:
        raise InputError(
            "No scored slice has room for a lesion, 6 pixels inside the brain in tissue that neither contrast shows "
            "dark; expected at least one. Choose other slices, or give a mask of the foreground."
        )
    return sites


def insert_lesions(volume: Volume, sites: list[LesionSite], level: float) -> Volume:
    """`volume` with a lesion at each site, `AMPLITUDE` of `level` brighter or darker."""
    array = volume.array.copy()
    for site in sites:
        reach = (site.radius + EDGE_WIDTH) / np.array(volume.spacing)
        middle = volume.grid.indices(site.center)
        start = np.maximum(np.floor(middle - reach), 0).astype(int)
        stop = np.minimum(np.ceil(middle + reach) + 1, volume.shape).astype(int)
        if (stop <= start).any():
            continue  # outside this scan's field of view
        box = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
        beyond = _distance(volume.grid.crop(start, stop), site.center) - site.radius
        inside = np.clip(0.5 - beyond / EDGE_WIDTH, 0, 1)
        array[box] += np.float32(site.sign * AMPLITUDE * level) * inside.astype(np.float32)
    return Volume(array, volume.affine, volume.name, volume.metadata)


def remove_lesions(volume: Volume, lesions: Volume) -> Volume:
    """`volume` with the lesions of a mask replaced by a smooth continuation of the tissue around them."""
    mask = ndimage.binary_dilation(on_grid(lesions, volume.grid))
    array, known = volume.array.astype(np.float64), (~mask & (volume.array > 0)).astype(np.float64)
    filling = np.zeros_like(array)
    for sigma in (8.0, 2.0):  # the nearest tissue if there is some within reach of the narrow filter
        weight = ndimage.gaussian_filter(known, sigma)
        mean = ndimage.gaussian_filter(array * known, sigma) / np.maximum(weight, 1e-9)
        filling = np.where(weight > 0.02, mean, filling)
    return Volume(np.where(mask, filling, array), volume.affine, volume.name, volume.metadata)


def site_regions(case: Case, site: LesionSite) -> tuple[np.ndarray, np.ndarray]:
    """Masks (rows, columns) in the site's plane: the lesion's core, and its surroundings."""
    distance = _distance(case.plane_grid(site.plane), site.center).squeeze(case.plane_axis)
    ring = (distance > site.radius + RING[0]) & (distance <= site.radius + RING[1])
    return distance <= site.radius, ring


def mask_regions(lesions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Masks (slices, rows, columns): the lesion, and its surroundings from 3 to 5 pixels away."""
    cross = ndimage.generate_binary_structure(2, 1)[None]
    near, far = (ndimage.binary_dilation(lesions, cross, iterations=n) for n in (2, 5))
    return lesions, far & ~near


def contrast(image: np.ndarray, core: np.ndarray, ring: np.ndarray) -> float:
    """Mean in the core − mean in the ring."""
    return float(image[core].mean(dtype=np.float64) - image[ring].mean(dtype=np.float64))


def _distance(grid: Grid, center: np.ndarray) -> np.ndarray:
    index = np.stack(np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij"), axis=-1)
    return np.linalg.norm(grid.positions(index) - center, axis=-1)
