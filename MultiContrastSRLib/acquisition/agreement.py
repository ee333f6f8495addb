"""An image within its limits and in agreement with acquired data: of a volume in numpy, or of slices in numpy or torch.

Slices along `across` are decided on by themselves, a volume (None) as a whole. numpy leaves out what no slice needs.
Tensors go through all of it: a question would wait for their device.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from ..core.progress import Monitor
from ..image.sampling import Array
from .arrays import axes_within, concatenate, count_over, double, energy_over, may_hold, where
from .limit import hold_back
from .model import AcquisitionModel
from .noise import without_noise

_NEGLIGIBLE = 0.01  # of the noise: residuals below it are enforced as they are
_EXPLAINED = 0.03  # of a residual's energy: where less is left without the noise, the image stays as it is
_PROJECTIONS = 10  # at most, in turns onto images that agree with the data and onto those without negative voxels
_RELAXATION = 1.9  # step of these projections, below 2: longer ones than to the image itself halve the residual
_SMALL = 1e-5  # residual, relative to the data, at which they end


@dataclass(frozen=True)
class Demands:
    """What an image must keep.

    Attributes:
        consistent: whether it must agree with the acquired data.
        noise: standard deviation of the noise of the acquired data; 0 makes the agreement exact.
        least: the least intensity.
    """

    consistent: bool = True
    noise: float = 0.0
    least: float = -np.inf


def check_part(
    model: AcquisitionModel, acquired: Array, image: Array, across: int | None, demands: Demands, monitor: Monitor
) -> tuple[Array, Array]:
    """The image within its limits and consistent with the acquired data, and what was found.

    Args:
        model: of the acquisition of `acquired`.
        acquired: the acquired data y, [k, j, i].
        image: the image u on a lattice of `model`, [k, j, i]; may hold NaN and infinities.
        across: the axis along which slices are independent; None for a volume.

    Returns:
        (the image [k, j, i]; findings (N, 6), a row for each of N slices or for the volume: number of samples held
        back; number of slices or blocks replaced; sums of the squared residuals W (y − A u), before and after, which is
        0 without consistency; whether the data were weighed by their noise; how many samples are not those of `image`).
    """
    base, within = model.zero_fill(acquired, image.shape, monitor.part(0.0, 0.1)), axes_within(across)
    finite = abs(image) < np.inf
    whole = not may_hold(~finite)
    usable = image if whole else where(finite, image, base)
    agreeing, residual, weighed = agree(model, acquired, usable, across, demands.noise, monitor.part(0.1, 0.4))
    # errors of what was measured do not count, as data consistency removes them: networks may rely on that
    kept = agreeing if whole else where(finite, agreeing, np.nan)
    array, samples, replaced = hold_back(kept, base, model.axes, across)
    if may_hold(replaced > 0):
        # consistency spreads a few wrong voxels over their surroundings
        alone, samples_alone, replaced_alone = hold_back(image, base, model.axes, across)
        better = (replaced > 0) & (replaced_alone <= replaced)
        array, samples = where(better, alone, array), where(better, samples_alone, samples)
        replaced = where(better, replaced_alone, replaced)
    unheld = agreeing if demands.consistent else image
    if not may_hold(samples > 0):
        array = unheld
    else:
        if demands.consistent:
            array = agree(model, acquired, array, across, demands.noise, monitor.part(0.4, 0.6))[0]
        array = where(samples > 0, array, unheld)
    array = _at_least(demands, model, array, across, monitor.part(0.6, 0.9))
    before = energy_over(residual, within)
    after = 0.0 * before
    if demands.consistent:
        after = energy_over(model.weigh(acquired - model.acquire(array, monitor.part(0.9, 1.0))), within)
    columns = samples, replaced, before, after, weighed, count_over(array != image, within)
    return array, concatenate([double(column).reshape(-1, 1) for column in columns], 1)


def agree(
    model: AcquisitionModel, acquired: Array, image: Array, across: int | None, noise: float, monitor: Monitor
) -> tuple[Array, Array, Array]:
    """(u + A⁺ W (y − A u); y − A u weighed by the support alone; whether W weighs by the noise, of every slice)."""
    residual = model.weigh(acquired - model.acquire(image, monitor.part(0.0, 0.5)))
    within = axes_within(across)
    energy = energy_over(residual, within)
    weighed = energy < 0.0
    kept, explained = residual, weighed
    if noise > 0:
        weighed = energy > (_NEGLIGIBLE * noise) ** 2 * prod(residual.shape[axis] for axis in within)
        if may_hold(weighed):
            kept = where(weighed, without_noise(residual, noise, model.axes, across), residual)
        explained = weighed & (energy_over(kept, within) < _EXPLAINED * energy)
        if not may_hold(~explained):
            return image, residual, weighed
    consistent = model.spread(kept, image.shape, monitor.part(0.5, 1.0))
    consistent += image
    return (where(explained, image, consistent) if may_hold(explained) else consistent), residual, weighed


def _at_least(demands: Demands, model: AcquisitionModel, image: Array, across: int | None, monitor: Monitor) -> Array:
    """`image` without values below the least; where it must agree with the data, projected in turns so that it does."""
    least = demands.least
    if least == -np.inf or not may_hold(image < least):
        return image
    if not demands.consistent:
        return image.clip(min=least)
    recorded, within = model.acquire(image), axes_within(across)
    smallest = _SMALL**2 * energy_over(recorded, within)
    for number in range(_PROJECTIONS):
        monitor.update(number / _PROJECTIONS)
        raised = image.clip(min=least)
        residual = model.weigh(recorded - model.acquire(raised))
        going_on = energy_over(residual, within) > smallest
        if not may_hold(going_on):
            return raised
        # what is recorded changes in proportion to the step, and is put back
        step = raised - image
        step += model.spread(residual, image.shape)
        image = where(going_on, image + _RELAXATION * step, image)
    return image.clip(min=least)
