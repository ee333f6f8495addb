"""A trial of joint reconstruction against interpolation on the scans themselves, one octave down.

A block in the middle of a scan is degraded once more along the axes that are super-resolved, and reconstructed with the
other contrasts; the block itself is the truth. The share of the added detail that brings the reconstruction closest to
the truth, by least squares, is the share that the reconstruction of the scan itself may add to the interpolated scan.
Residuals on the measured data would tell nothing, as detail in the null space of the acquisition does not change them.

The trial cannot know what one octave further is like: where slabs of several voxels hide structure that is smoother
than the slabs suggest, it keeps too much.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..acquisition.axis import AxisModel, samples_of
from ..acquisition.lattice import refinement_for
from ..acquisition.model import SIMULATED, AcquisitionModel
from ..acquisition.support import Support
from ..core.progress import Monitor
from ..image.grid import Grid
from ..image.volume import Volume
from .volumes import JointReconstruction

_OCTAVE = 2.0
_FEWEST = 3  # samples that a degraded axis must have
_SHARE = 0.18  # of the samples of the reconstruction, for all trials: a quarter of its time, with the overhead
_SMALLEST = 24  # samples of a block within slices, unless the scan has fewer
_FULL = 0.95  # weights above it count as 1, so that the trial leaves clear cases as they are


def detail_weights(
    contrasts: Sequence[Volume],
    lattice: Grid,
    *,
    device: str = "cpu",
    monitor: Monitor | None = None,
    **settings: float,
) -> list[float]:
    """For every contrast, the share of the detail added by joint reconstruction that the trial supports, 0 to 1.

    It is exactly 1 where the trial supports nearly all of it, and where there can be no trial: nothing is
    super-resolved, or too few samples are left.

    Args:
        contrasts: one scan of each contrast.
        lattice: where they are to be reconstructed.
        device: "cpu" or "cuda:N".
        settings: smoothness, iterations and rounds of `reconstruction.reconstruct`.
    """
    monitor = monitor or Monitor()
    degraded = [_coarser_axes(scan, lattice) for scan in contrasts]
    samples = _SHARE * lattice.size / max(1, sum(axes is not None for axes in degraded))
    weights = []
    for number, (scan, axes) in enumerate(zip(contrasts, degraded, strict=True)):
        part = monitor.part(number / len(contrasts), (number + 1) / len(contrasts))
        others = [*contrasts[:number], *contrasts[number + 1 :]]
        weight = 1.0
        if axes is not None:
            truth = _block(scan, axes, samples, lattice.center)
            weight = _best_weight(truth, axes, others, device, part, settings)
        weights.append(weight if weight < _FULL else 1.0)
    return weights


def _best_weight(
    truth: Volume,
    axes: tuple[AxisModel, ...],
    others: Sequence[Volume],
    device: str,
    monitor: Monitor,
    settings: dict[str, float],
) -> float:
    """The least-squares share of the added detail where `truth`, a block of a scan, is acquired once more by `axes`."""
    low, slices = _acquired(truth, axes), truth.grid.slice_axis
    across = None if slices is None or low.shape[slices] < truth.shape[slices] else slices
    joint = JointReconstruction([[low], *([other] for other in others)], truth.grid, across, device, monitor.silent)
    product = energy = 0.0
    for number, part in enumerate(joint.batches):
        step = monitor.part(number / len(joint.batches), (number + 1) / len(joint.batches))
        images = joint.reconstruct(part, monitor=step, **settings)
        detail = joint.added_detail(part, images)[0]
        if detail is not None:
            excess = images[0] - truth.array[part]
            product += float(np.vdot(excess.astype(np.float64), detail))
            energy += float(np.vdot(detail.astype(np.float64), detail))
    return float(np.clip(1 - product / energy, 0, 1)) if energy > 0 else 1.0


def _coarser_axes(scan: Volume, lattice: Grid) -> tuple[AxisModel, ...] | None:
    """An acquisition one octave coarser along the axes of `scan` that `lattice` refines; None where there are none."""
    axes = []
    model, refined = AcquisitionModel.estimate(scan), refinement_for(scan.grid, lattice)
    for axis, refine in zip(model.axes, refined, strict=True):
        samples = samples_of(axis.samples * (axis.support.edge if axis.kind == "kspace" else 1.0), _OCTAVE)
        if refine and samples >= _FEWEST:
            factor = axis.samples / samples
            spacing, thickness = factor * axis.spacing, factor * axis.thickness
            axis = replace(axis, samples=samples, spacing=spacing, thickness=thickness, support=Support())
        axes.append(axis)
    return None if tuple(axes) == model.axes else tuple(axes)


def _block(scan: Volume, axes: Sequence[AxisModel], samples: float, center: np.ndarray) -> Volume:
    """About `samples` of `scan` around the point `center` (RAS mm), but all of the axes that are degraded."""
    whole = [axis.samples < n for axis, n in zip(axes, scan.shape, strict=True)]
    share = min(1.0, samples / scan.grid.size) ** (1 / max(1, whole.count(False)))
    first, last = [], []
    for number, (n, middle) in enumerate(zip(scan.shape, scan.grid.indices(center), strict=True)):
        least = 1 if number == scan.grid.slice_axis else min(n, _SMALLEST)
        size = n if whole[number] else max(least, round(share * n))
        first.append(int(np.clip(round(middle - (size - 1) / 2), 0, n - size)))
        last.append(first[-1] + size)
    block = tuple(map(slice, first, last))
    return Volume.on(scan.grid.crop(first, last), scan.array[block], scan.name)


def _acquired(block: Volume, axes: Sequence[AxisModel]) -> Volume:
    """`block` as acquired by `axes`, which have as many samples as it where they are not degraded."""
    cropped, steps, offsets = [], [], []
    for axis, n in zip(axes, block.shape, strict=True):
        own = replace(axis, samples=min(n, axis.samples))
        cropped.append(own)
        steps.append(n / own.samples)
        offsets.append(float(own.positions(n)[0]))
    grid = block.grid.remapped([axis.samples for axis in cropped], np.array(steps), np.array(offsets))
    array = AcquisitionModel(grid, tuple(cropped)).acquire(block.array)
    return Volume.on(grid, array, block.name, {SIMULATED: tuple(cropped)})
