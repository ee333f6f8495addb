"""A reference on the lattice of another image."""

from __future__ import annotations

import numpy as np

from ..core.progress import Monitor
from . import kernels
from .grid import Grid
from .sampling import sample
from .volume import Volume

_CHUNK = 1 << 19  # lattice samples processed at once; cancel is checked after each chunk
_MAX_SAMPLES = 8  # of the reference, along each axis, that are averaged in one cell of the lattice


def resample_reference(
    reference: Volume, lattice: Grid, target: Grid, monitor: Monitor
) -> tuple[np.ndarray, np.ndarray]:
    """The reference on a lattice, and its field of view on the target's grid.

    Where the reference is finer than the lattice (1 mm under 3 mm slices, say), samples are means over their cells.

    Returns:
        (float32 array of `lattice.shape`, float32 array of `target.shape`: 1 inside the field of view of the reference
        and 0 outside).
    """
    matrix, _ = lattice.index_map_to(reference.grid)
    steps = np.linalg.norm(matrix, axis=0)  # reference samples per lattice sample
    finer = [int(np.clip(np.ceil(step - 0.25), 1, _MAX_SAMPLES)) for step in steps]
    depth = max(1, _CHUNK // max(1, lattice.size // lattice.shape[0] * int(np.prod(finer))))
    fill, chunks = _border_level(reference), []
    for start in range(0, lattice.shape[0], depth):
        part = lattice.crop((start, 0, 0), (min(start + depth, lattice.shape[0]), *lattice.shape[1:]))
        monitor.update(start / lattice.shape[0])
        values = sample(
            reference.array,
            reference.grid,
            part.resized([n * f for n, f in zip(part.shape, finer, strict=True)]),
            (kernels.quintic,) * 3,
            fill=fill,
            monitor=monitor.silent,
        )
        for axis, factor in enumerate(finer):
            if factor > 1:
                shape = (*values.shape[:axis], -1, factor, *values.shape[axis + 1 :])
                values = values.reshape(shape).mean(axis=axis + 1)
        chunks.append(values)
    inside = np.ones(reference.shape, np.float32)
    valid = sample(inside, reference.grid, target, (kernels.nearest,) * 3, monitor=monitor.silent)
    return np.concatenate(chunks), valid


def _border_level(volume: Volume) -> float:
    """Median intensity at the border of the slices (of an isotropic volume, at its faces), whatever zero stands for."""
    faces = [
        np.take(volume.array, (0, n - 1), axis).ravel()
        for axis, n in enumerate(volume.shape)
        if axis != volume.grid.slice_axis
    ]
    return float(np.median(np.concatenate(faces)))
