"""Rigid registration by SimpleITK: Mattes mutual information, coarse to fine."""

from __future__ import annotations

import numpy as np

from ..core.progress import Monitor
from ..image.volume import Volume

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])  # RAS <-> LPS, its own inverse
_LEVELS_MM = (4.0, 2.0)  # voxel sizes of the pyramid
_ITERATIONS = 100
_FEWEST = 4  # slices below which a rigid registration is not to be believed
_SAMPLING = 0.25  # of the voxels, on a regular pattern


def register_rigid(target: Volume, reference: Volume, monitor: Monitor) -> tuple[np.ndarray, str]:
    """(4×4 RAS-to-RAS that moves `reference` onto `target`, a sentence if it failed else "").

    Starts from the headers' positions. Deterministic: regular sampling, one work unit.
    """
    import SimpleITK as sitk

    if min(target.shape) < _FEWEST:
        return np.eye(4), (
            f"Registration was skipped: {min(target.shape)} slices of the target are too few to tell tilts apart; the "
            "headers' positions were used."
        )
    try:
        fixed, moving = _image(target, sitk), _image(reference, sitk)
    except ValueError as problem:
        return np.eye(4), f"Registration was skipped: {problem}"
    transform = sitk.Euler3DTransform()
    transform.SetCenter([float(x) for x in (LPS[:3, :3] @ target.grid.center)])
    for number, size in enumerate(_LEVELS_MM):
        level = monitor.part(number / len(_LEVELS_MM), (number + 1) / len(_LEVELS_MM))
        level.update(0.0)
        method = sitk.ImageRegistrationMethod()
        method.SetMetricAsMattesMutualInformation(numberOfHistogramBins=32)
        method.SetMetricSamplingStrategy(method.REGULAR)
        method.SetMetricSamplingPercentage(_SAMPLING if number else 1.0, seed=1)
        method.SetInterpolator(sitk.sitkLinear)
        method.SetOptimizerAsRegularStepGradientDescent(
            learningRate=size, minStep=size / 400, numberOfIterations=_ITERATIONS, relaxationFactor=0.6
        )
        method.SetOptimizerScalesFromPhysicalShift()
        method.SetInitialTransform(transform, inPlace=True)
        method.SetNumberOfWorkUnits(1)
        stop = _watch(method, level, sitk)
        try:
            images = [_coarser(fixed, size, sitk)]
            level.check()
            images.append(_coarser(moving, size, sitk))
            level.check()
            method.Execute(*images)
        except RuntimeError as problem:
            level.check()
            return np.eye(4), f"Registration failed ({_reason(problem)}); the headers' positions were used."
        if stop:
            level.check()
    matrix = np.eye(4)
    rotation = np.array(transform.GetMatrix()).reshape(3, 3)
    center, shift = np.array(transform.GetCenter()), np.array(transform.GetTranslation())
    matrix[:3, :3], matrix[:3, 3] = rotation, shift + center - rotation @ center
    # the transform maps target points to reference points; the reference moves the other way
    return np.linalg.inv(LPS @ matrix @ LPS), ""


def _watch(method, level: Monitor, sitk) -> list[bool]:
    """Report progress and stop at the next iteration once cancelled: exceptions must not cross SimpleITK."""
    from ..core.errors import CancelledError

    stopped: list[bool] = []

    def on_iteration() -> None:
        try:
            level.update(method.GetOptimizerIteration() / _ITERATIONS)
        except CancelledError:
            stopped.append(True)
            method.StopRegistration()

    method.AddCommand(sitk.sitkIterationEvent, on_iteration)
    return stopped


def _image(volume: Volume, sitk):
    affine = LPS @ volume.affine
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    direction = affine[:3, :3] / spacing
    if not np.allclose(direction.T @ direction, np.eye(3), atol=1e-4):
        raise ValueError(f"the axes of {volume.name or 'a volume'} are sheared, which SimpleITK cannot represent.")
    u, _, v = np.linalg.svd(direction)  # the nearest orthonormal matrix: SimpleITK refuses rounding errors
    image = sitk.GetImageFromArray(np.asarray(volume.array))
    image.SetSpacing([float(x) for x in spacing])
    image.SetOrigin([float(x) for x in affine[:3, 3]])
    image.SetDirection([float(x) for x in (u @ v).ravel()])
    return image


def _coarser(image, size: float, sitk):
    """`image` smoothed and resampled to voxels of about `size` mm; axes that are coarser already stay."""
    spacing, shape = np.array(image.GetSpacing()), np.array(image.GetSize())
    counts = [int(max(1, round(n * s / max(s, size)))) for n, s in zip(shape, spacing, strict=True)]
    steps = shape * spacing / np.array(counts)
    for axis, (old, new) in enumerate(zip(spacing, steps, strict=True)):
        if new > 1.2 * old and shape[axis] >= 4:
            image = sitk.RecursiveGaussian(
                image, float(0.5 * new), False, sitk.RecursiveGaussianImageFilter.ZeroOrder, axis
            )
    direction = np.array(image.GetDirection()).reshape(3, 3)
    origin = np.array(image.GetOrigin()) + direction @ ((steps - spacing) / 2)
    return sitk.Resample(
        image, counts, sitk.Transform(), sitk.sitkLinear, origin.tolist(), steps.tolist(), image.GetDirection(), 0.0
    )


def _reason(problem: Exception) -> str:
    lines = [line.strip() for line in str(problem).splitlines() if line.strip()]
    return lines[-1] if lines else type(problem).__name__
