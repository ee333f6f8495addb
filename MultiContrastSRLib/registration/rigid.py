"""Rigid registration by SimpleITK: Mattes mutual information, coarse to fine."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
import scipy

from ..core.errors import CancelledError
from ..core.packages import require
from ..core.progress import Monitor
from ..core.threads import in_threads
from ..image import kernels
from ..image.grid import Grid
from ..image.sampling import sample
from ..image.volume import Volume
from ..io.itk import itk_reason
from .probe import Probe

if TYPE_CHECKING:
    from SimpleITK import Euler3DTransform, Image, ImageRegistrationMethod

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])  # RAS <-> LPS, its own inverse
_COARSEST = 4.0  # mm: voxel size of the first level
_ACROSS = 48  # voxels across the field of view at the first level, where that is finer (spine, knee)
_ITERATIONS = 300
_SMALLEST_STEP = 0.025  # voxels
_RELAXATION = 0.95  # of the step at each turn; with the usual 0.5 to 0.6 it stops before rotations are found
_FEWEST = 4  # slices below which a rigid registration cannot tell tilts apart, and ITK cannot form gradients
_SAMPLING = 0.25  # of the voxels at the fine level, on a regular pattern
_TAIL = 0.005  # of the voxels at either end of the intensities: spikes, metal and padding would take all histogram bins
_SHADING = 12.0  # mm: standard deviation of the mean that coil shading is estimated by
_SHEAR = 0.25  # voxels by which the nearest rectangular grid may misplace a corner
_PROBES = 8  # positions an axis at which overlap is looked up


def register_rigid(target: Volume, reference: Volume, probe: Probe, monitor: Monitor) -> tuple[np.ndarray, str]:
    """(4×4 RAS-to-RAS that moves `reference` onto `target`, a sentence if it failed else "").

    Starts from the headers' positions. Each level runs with and without coil shading, whose removal helps some pairs
    and harms others (at once where two cores are idle), and the outcome of more mutual information is kept.
    Deterministic: regular sampling, one thread each.

    Args:
        probe: of `target`, to compare the outcomes.

    Raises:
        MethodUnavailableError: SimpleITK is not installed or does not work.
    """
    sitk = require("SimpleITK")
    for role, volume in (("target", target), ("reference", reference)):
        if min(volume.shape) < _FEWEST:
            return np.eye(4), (
                f"Registration was skipped: {min(volume.shape)} slices of the {role} are too few to tell tilts apart; "
                "the headers' positions were used."
            )
    # the metric samples the fixed image, which must lie within the other one: the reference, where it is a slab
    swapped = _covered(target.grid, reference.grid) < 0.5 < _covered(reference.grid, target.grid)
    fixed, moving = (rectangular(volume) for volume in ((reference, target) if swapped else (target, reference)))
    coarse = min(_COARSEST, float(np.median(np.multiply(fixed.shape, fixed.spacing))) / _ACROSS)

    def move(transform: Euler3DTransform) -> np.ndarray:
        matrix = _ras_matrix(transform)  # of fixed to moving points; the moving image moves the other way
        return matrix if swapped else np.linalg.inv(matrix)

    def similarity(transform: Euler3DTransform) -> float:
        return probe.compare(reference.moved(move(transform)))[1]

    def optimize(found: list[Euler3DTransform], size: float, share: float, flat: bool, level: Monitor) -> None:
        _optimize(found[flat], fixed, moving, size, share, flat, level.part(0.5 * flat, 0.5 * flat + 0.5))

    best = sitk.Euler3DTransform()
    best.SetCenter([float(x) for x in (LPS[:3, :3] @ fixed.grid.center)])
    try:
        for number, (size, share) in enumerate(((coarse, 1.0), (coarse / 2, _SAMPLING))):
            found = [sitk.Euler3DTransform(best), sitk.Euler3DTransform(best)]
            level = monitor.part(0.5 * number, 0.5 * number + 0.5)
            in_threads((False, True), partial(optimize, found, size, share), level, most=2)
            best = max(found, key=similarity)
    except RuntimeError as problem:
        monitor.check()
        return np.eye(4), f"Registration failed ({itk_reason(problem)}); the headers' positions were used."
    return move(best), ""


def _optimize(
    transform: Euler3DTransform, fixed: Volume, moving: Volume, size: float, share: float, flat: bool, level: Monitor
) -> None:
    """Improve `transform` (fixed points to moving points, LPS) in place, on a `share` of voxels of `size` mm."""
    import SimpleITK as sitk

    level.update(0.0)
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(numberOfHistogramBins=32)
    method.SetMetricSamplingStrategy(method.REGULAR)
    method.SetMetricSamplingPercentage(share, seed=1)
    method.SetInterpolator(sitk.sitkLinear)
    step = size if share == 1 else size / 2  # the fine level starts nearly there
    method.SetOptimizerAsRegularStepGradientDescent(
        learningRate=step, minStep=_SMALLEST_STEP * size, numberOfIterations=_ITERATIONS, relaxationFactor=_RELAXATION
    )
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetInitialTransform(transform, inPlace=True)
    method.SetNumberOfWorkUnits(1)
    images = []
    for volume in (fixed, moving):
        images.append(_coarser(volume, size, flat, sitk))
        level.check()
    with _watched(method, level, sitk):
        method.Execute(*images)


def _ras_matrix(transform: Euler3DTransform) -> np.ndarray:
    """4×4 of an LPS transform in RAS."""
    matrix = np.eye(4)
    rotation = np.array(transform.GetMatrix()).reshape(3, 3)
    center, shift = np.array(transform.GetCenter()), np.array(transform.GetTranslation())
    matrix[:3, :3], matrix[:3, 3] = rotation, shift + center - rotation @ center
    return LPS @ matrix @ LPS


@contextlib.contextmanager
def _watched(method: ImageRegistrationMethod, level: Monitor, sitk: ModuleType) -> Iterator[None]:
    """Report progress within the block, and stop at the next iteration once cancelled.

    Raises:
        CancelledError: after the block, since exceptions cannot pass through SimpleITK.
    """
    stopped: list[bool] = []

    def on_iteration() -> None:
        try:
            level.update(method.GetOptimizerIteration() / _ITERATIONS)
        except CancelledError:
            stopped.append(True)
            method.StopRegistration()

    method.AddCommand(sitk.sitkIterationEvent, on_iteration)
    try:
        yield
    finally:
        # The method holds its commands in C++, where the garbage collector sees no cycle: it would keep the method,
        # the monitor and all that the monitor's callbacks refer to.
        method.RemoveAllCommands()
    if stopped:
        level.check()


def _covered(grid: Grid, other: Grid) -> float:
    """Fraction of the field of view of `grid` that `other` covers."""
    fractions = (np.arange(_PROBES) + 0.5) / _PROBES
    index = np.stack(np.meshgrid(*[fractions * n - 0.5 for n in grid.shape], indexing="ij"), axis=-1)
    there = other.indices(grid.positions(index))
    return float(np.mean(np.all((there >= -0.5) & (there <= np.array(other.shape) - 0.5), axis=-1)))


def normalized(volume: Volume) -> Volume:
    """`volume` with intensities 0 to 1 between its 0.5 % and 99.5 % quantiles, clipped there."""
    step = max(1, volume.grid.size // 1_000_000)  # enough for quantiles
    low, high = np.quantile(volume.array.ravel()[::step].astype(np.float64), (_TAIL, 1 - _TAIL))
    if high <= low:  # nearly all voxels are equal: the others are the image
        low, high = float(volume.array.min()), float(volume.array.max())
    scaled = (volume.array.astype(np.float64) - low) / ((high - low) or 1.0)
    return Volume(np.clip(scaled, 0.0, 1.0), volume.affine, volume.name)


def _without_shading(array: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """Intensities in units of their local mean: coil shading of the two images is related, at any displacement."""
    mean = array
    for axis, (samples, size) in enumerate(zip(array.shape, spacing, strict=True)):
        if samples * size > 2 * _SHADING:  # else the field of view is too short to tell
            mean = scipy.ndimage.gaussian_filter1d(mean, _SHADING / size, axis, mode="nearest")
    flat = array / (mean + 0.1 * float(mean.mean()) + 1e-6)
    return np.minimum(flat, np.quantile(flat, 1 - _TAIL)).astype(np.float32)


def rectangular(volume: Volume) -> Volume:
    """`volume` on the grid with right angles that is nearest to its own, resampled where that is not the same place.

    ITK's images have right angles; affines are a rounding error off, or sheared by a tilted gantry.
    """
    spacing = np.linalg.norm(volume.affine[:3, :3], axis=0)
    u, _, v = np.linalg.svd(volume.affine[:3, :3] / spacing)
    affine = np.eye(4)
    affine[:3, :3] = u @ v * spacing
    affine[:3, 3] = volume.grid.center - affine[:3, :3] @ ((np.array(volume.shape[::-1]) - 1) / 2)
    upright = Grid(volume.shape, affine)
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in volume.shape], indexing="ij")).reshape(3, -1).T
    off = np.linalg.norm(volume.grid.indices(upright.positions(corners)) - corners, axis=1).max()
    if off <= _SHEAR:
        return Volume(volume.array, affine, volume.name)
    return Volume.on(upright, sample(volume.array, volume.grid, upright, (kernels.linear,) * 3), volume.name)


def _coarser(volume: Volume, size: float, flat: bool, sitk: ModuleType) -> Image:
    """An ITK image of `volume`, smoothed and resampled to voxels of about `size` mm; coarser axes stay.

    Args:
        flat: without coil shading.
    """
    shape, spacing = np.array(volume.shape), np.array(volume.spacing)
    counts = np.maximum(np.round(shape * spacing / np.maximum(spacing, size)), np.minimum(shape, _FEWEST)).astype(int)
    steps = shape * spacing / counts
    array = normalized(volume).array
    for axis, (old, new) in enumerate(zip(spacing, steps, strict=True)):
        if new > 1.2 * old:
            array = scipy.ndimage.gaussian_filter1d(array, 0.5 * new / old, axis, mode="nearest")
    affine = LPS @ volume.affine
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(spacing[::-1].tolist())
    image.SetOrigin(affine[:3, 3].tolist())
    image.SetDirection((affine[:3, :3] / spacing[::-1]).ravel().tolist())
    origin = affine[:3, 3] + affine[:3, :3] / spacing[::-1] @ ((steps - spacing)[::-1] / 2)
    coarse = sitk.Resample(
        image,
        counts[::-1].tolist(),
        sitk.Transform(),
        sitk.sitkLinear,
        origin.tolist(),
        steps[::-1].tolist(),
        image.GetDirection(),
        0.0,
    )
    if not flat:
        return coarse
    without_shading = sitk.GetImageFromArray(_without_shading(sitk.GetArrayViewFromImage(coarse), steps))
    without_shading.CopyInformation(coarse)
    return without_shading
