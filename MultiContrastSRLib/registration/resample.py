"""How much of the target's detail a reference explains at its place."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..acquisition.model import AcquisitionModel
from ..core.progress import Monitor
from ..guided.level import Level
from ..guided.regression import try_candidates
from ..image.grid import per_axis
from ..image.resample import resample_reference
from ..image.volume import Volume

_SLICES = 8  # that represent a volume


def explained_detail(target: Volume, reference: Volume, monitor: Monitor) -> float:
    """The share (0 to 1) of the finest detail of `target` that `reference` explains at its present place.

    Measured on a few slices, within them, one octave below the target's resolution (`guided.regression.Trial`). It
    falls steeply when the reference is moved by half a pixel, where mutual information hardly changes.
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
    axes = per_axis(
        replace(axis, kind="slab", samples=n, thickness=axis.spacing) if number == across else replace(axis, samples=n)
        for number, (axis, n) in enumerate(zip(AcquisitionModel.estimate(target).axes, measured.shape, strict=True))
    )
    level = Level(axes, measured.shape, per_axis(number != across for number in range(3)), monitor)
    return float(try_candidates(level, level.weigh(measured), level.weigh(other)).explained[0])
