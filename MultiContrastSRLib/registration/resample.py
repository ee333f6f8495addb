"""The reference on the target's grid or lattice, and how much of the target's detail it explains there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..acquisition.lattice import MAX_LATTICE_SCALE
from ..acquisition.model import AcquisitionModel
from ..core.progress import Monitor
from ..guided.regression import Level, trial
from ..image import kernels
from ..image.grid import Grid
from ..image.sampling import sample
from ..image.volume import Volume

_CHUNK = 1 << 19  # lattice samples worked on at once: a cancel is heard after each such chunk
_SLICES = 8  # that represent a volume


def resample_reference(
    reference: Volume, lattice: Grid, target: Grid, monitor: Monitor
) -> tuple[np.ndarray, np.ndarray]:
    """(the reference on `lattice`, where it was acquired on `target` as 0 or 1).

    Where the reference is finer than the lattice (1 mm under 3 mm slices, say), samples are means over their cells.
    """
    matrix, _ = lattice.index_map_to(reference.grid)
    steps = np.linalg.norm(matrix, axis=0)  # reference samples per lattice sample
    finer = [int(np.clip(np.ceil(step - 0.25), 1, MAX_LATTICE_SCALE)) for step in steps]
    depth = max(1, _CHUNK // max(1, lattice.size // lattice.shape[0] * int(np.prod(finer))))
    low, high = float(reference.array.min()), float(reference.array.max())
    pieces = []
    for start in range(0, lattice.shape[0], depth):
        part = lattice.crop((start, 0, 0), (min(start + depth, lattice.shape[0]), *lattice.shape[1:]))
        monitor.update(start / lattice.shape[0])
        values = sample(
            reference.array,
            reference.grid,
            part.resized([n * f for n, f in zip(part.shape, finer, strict=True)]),
            (kernels.quintic,) * 3,
            fill=min(max(0.0, low), high),
            monitor=monitor.silent,
        )
        for axis, factor in enumerate(finer):
            if factor > 1:
                shape = (*values.shape[:axis], -1, factor, *values.shape[axis + 1 :])
                values = values.reshape(shape).mean(axis=axis + 1)
        pieces.append(values)
    covered = np.ones(reference.shape, np.float32)
    valid = sample(covered, reference.grid, target, (kernels.nearest,) * 3, monitor=monitor.silent)
    return np.concatenate(pieces), valid


def explained_detail(target: Volume, reference: Volume, monitor: Monitor) -> float:
    """The share (0 to 1) of the finest detail of `target` that `reference` explains at its present place.

    Measured on a few slices, within them, one octave below the target's resolution (`detail.trial`). It falls steeply
    when the reference is moved by half a pixel, where mutual information hardly changes.
    """
    across = target.grid.slice_axis or 0
    energy = np.array([float(np.std(part)) for part in np.moveaxis(target.array, across, 0)])
    (shown,) = np.nonzero(energy > 0.3 * energy.max())
    if len(shown) == 0:
        return 0.0
    low, high = [], []
    for index in np.unique(shown[np.linspace(0, len(shown) - 1, min(_SLICES, len(shown))).round().astype(int)]):
        start, stop = [0, 0, 0], list(target.shape)
        start[across], stop[across] = int(index), int(index) + 1
        plane = target.grid.crop(start, stop)
        low.append(np.take(target.array, [index], axis=across))
        high.append(resample_reference(reference, plane, plane, monitor.silent)[0])
    measured, other = np.concatenate(low, axis=across), np.concatenate(high, axis=across)
    axes = [
        replace(axis, kind="slab", samples=n, thickness=axis.spacing) if number == across else replace(axis, samples=n)
        for number, (axis, n) in enumerate(zip(AcquisitionModel.estimate(target).axes, measured.shape, strict=True))
    ]
    level = Level(tuple(axes), measured.shape, tuple(number != across for number in range(3)), monitor)
    return trial(level, level.weigh(measured), level.weigh(other))[1]
