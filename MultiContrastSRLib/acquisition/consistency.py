"""Data consistency: the acquisition of the result must equal the acquired data.

The method's image u is computed once on its canonical lattice. Its acquisition A u is compared with the acquired data
y, and the smoothest image whose acquisition is the difference is added:

    consistent = u + A⁺ W (y − A u)

A is the target's acquisition model (central block of k-space in plane, slab means across slices), A⁺ its smoothest
right inverse and W a weight in [0, 1] for each measured frequency: 1 for simulated crops, so that the agreement is
exact, and the estimated support of the spectrum for scanner images whose k-space was zero-filled. Where the data are
noisy, W leaves out the part of y − A u that their noise explains (see `noise.without_noise`).

What differs from plain interpolation of the data by more than the local range is held back first (see `limit`), and a
target without negative voxels gives an image without. The result is again an image on a lattice, which `render`
samples; a viewport is therefore the crop of the whole.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from ..core.progress import Monitor
from ..image.prepared import Prepared
from ..image.volume import Volume
from .lattice import LatticeImage, least_value
from .limit import Held, held_back_sentences, hold_back
from .model import AcquisitionModel
from .noise import without_noise

_NEGLIGIBLE = 0.01  # of the noise: residuals below it are enforced as they are
_EXPLAINED = 0.03  # of a residual's energy: where less is left without the noise, the image stays as it is
_PROJECTIONS = 10  # at most, in turns onto images that agree with the data and onto those without negative voxels
_RELAXATION = 1.9  # step of these projections, below 2: longer ones than to the image itself halve the residual
_SMALL = 1e-5  # residual, relative to the data, at which they end
_DISAGREEING = 2.0  # residual before consistency, relative to the data, above which the image does not show the scan


@dataclass(frozen=True)
class ConsistencyReport:
    """Agreement of the result with the acquired data, and with its limits.

    Attributes:
        mode: "off", "exact" (all frequencies were measured), "support" (weighted by the measured support) or "noise"
            (by the noise, too).
        residual_before, residual_after: RMS of W (y − A u) relative to the RMS of y, before and after; W is the weight
            by the support.
        support: per axis (k, j, i), the measured fraction of the spectrum.
        resolution: per axis (k, j, i), effective resolution of the target in mm.
        noise: standard deviation of the noise that the data are weighed by, in the target's units; 0 where they count
            as exact.
        held_back: share of the samples that exceeded the local range and were held back.
        replaced: slices (blocks of a volume) that plain interpolation took the place of.
    """

    mode: str
    residual_before: float | None = None
    residual_after: float | None = None
    support: tuple[float, ...] = ()
    resolution: tuple[float, ...] = ()
    noise: float = 0.0
    held_back: float = 0.0
    replaced: int = 0

    def as_dict(self) -> dict[str, object]:
        """JSON-able."""
        return asdict(self)


@dataclass(frozen=True)
class CheckedImage:
    """A method's image within its limits.

    Attributes:
        array: [k, j, i].
        held: what was held back.
        before, after: sums of the squared residuals W (y − A u), before and after; `after` is 0 without consistency.
        weighed: whether the data were weighed by their noise.
        changed: whether `array` differs from the method's image.
    """

    array: np.ndarray
    held: Held
    before: float = 0.0
    after: float = 0.0
    weighed: bool = False
    changed: bool = False


def make_consistent(
    prepared: Prepared,
    monitor: Monitor | None = None,
    refined: tuple[bool, ...] = (True, True, True),
    noise: float = 0.0,
) -> tuple[Prepared, ConsistencyReport]:
    """`prepared` within its limits and with data consistency enforced, and the agreement before and after.

    It is `prepared` itself where noise explains its disagreement with the data. The lattice of `prepared` must be one
    of the target's acquisition model, as those of all methods are.

    Args:
        prepared: the image u.
        refined: the axes (k, j, i) that are super-resolved.
        noise: standard deviation of the noise of the target; 0 makes the agreement exact.
    """
    image, checked = _checked(prepared, refined, True, noise, monitor or Monitor())
    model, scale = AcquisitionModel.estimate(prepared.target), _size(prepared.target)
    report = ConsistencyReport(
        mode="noise" if checked.weighed else model.refining(refined).trust,
        residual_before=checked.before**0.5 / scale,
        residual_after=checked.after**0.5 / scale,
        support=tuple(axis.support.edge for axis in model.axes),
        resolution=model.resolution,
        noise=noise if checked.weighed else 0.0,
        held_back=checked.held.samples / checked.array.size,
        replaced=checked.held.replaced,
    )
    return image, report


def hold_within_limits(
    prepared: Prepared, monitor: Monitor | None = None, refined: tuple[bool, ...] = (True, True, True)
) -> tuple[Prepared, ConsistencyReport]:
    """`prepared` itself where nothing exceeds its limits, else an image without that; no data consistency."""
    image, checked = _checked(prepared, refined, False, 0.0, monitor or Monitor())
    share, replaced = checked.held.samples / checked.array.size, checked.held.replaced
    return image, ConsistencyReport("off", held_back=share, replaced=replaced)


def check_image(
    model: AcquisitionModel,
    acquired: np.ndarray,
    image: np.ndarray,
    *,
    consistent: bool = True,
    noise: float = 0.0,
    least: float = -np.inf,
    monitor: Monitor | None = None,
) -> CheckedImage:
    """The image of a method within its limits, and consistent with the acquired data.

    Independent slices (`AcquisitionModel.of_slices`) come out as those of the whole volume do.

    Args:
        model: of the acquisition of `acquired`.
        acquired: the acquired data y, [k, j, i].
        image: the image u on a lattice of `model`, [k, j, i]; may hold NaN and infinities.
        consistent: whether data consistency is enforced.
        noise: standard deviation of the noise of `acquired`; 0 makes the agreement exact.
        least: the least intensity of the result.
    """
    monitor = monitor or Monitor()
    across = model.independent_axis(image.shape)
    if across is None:
        return _check_part(model, acquired, image, None, consistent, noise, least, monitor)
    result, parts, count = np.empty(image.shape, np.float32), [], image.shape[across]
    for number in range(count):
        monitor.update(number / count)
        index = tuple(slice(number, number + 1) if axis == across else slice(None) for axis in range(3))
        single = model.of_slices(across, number, number + 1)
        part = _check_part(single, acquired[index], image[index], across, consistent, noise, least, monitor.silent)
        result[index] = part.array
        parts.append(part)
    return CheckedImage(
        result,
        Held.sum([part.held for part in parts]),
        sum(part.before for part in parts),
        sum(part.after for part in parts),
        any(part.weighed for part in parts),
        any(part.changed for part in parts),
    )


def _check_part(
    model: AcquisitionModel,
    acquired: np.ndarray,
    image: np.ndarray,
    across: int | None,
    consistent: bool,
    noise: float,
    least: float,
    monitor: Monitor,
) -> CheckedImage:
    """`check_image` of a single slice along `across`, or of a volume (None)."""
    base = model.zero_fill(acquired, image.shape, monitor.part(0.0, 0.1))
    finite = np.isfinite(image)
    usable = image if finite.all() else np.where(finite, image, base)
    agreeing, residual, weighed = _agreeing(model, acquired, usable, noise, monitor.part(0.1, 0.4))
    # errors of what was measured do not count, as data consistency removes them: networks may rely on that
    array, held = hold_back(
        agreeing if usable is image else np.where(finite, agreeing, np.nan), base, model.axes, across
    )
    if held.replaced:
        # consistency spreads a few wrong voxels over their surroundings
        alone, held_alone = hold_back(image, base, model.axes, across)
        if held_alone.replaced <= held.replaced:
            array, held = alone, held_alone
    if not held.samples:
        array = agreeing if consistent else image
    elif consistent:
        array = _agreeing(model, acquired, array, noise, monitor.part(0.4, 0.6))[0]
    array = _at_least(least, model, array, consistent, monitor.part(0.6, 0.9))
    after = _energy(model.weigh(acquired - model.acquire(array, monitor.part(0.9, 1.0)))) if consistent else 0.0
    return CheckedImage(array, held, _energy(residual), after, weighed, array is not image)


def _agreeing(
    model: AcquisitionModel, acquired: np.ndarray, image: np.ndarray, noise: float, monitor: Monitor
) -> tuple[np.ndarray, np.ndarray, bool]:
    """(u + A⁺ W (y − A u); y − A u weighed by the support alone; whether W weighs by the noise)."""
    residual = model.weigh(acquired - model.acquire(image, monitor.part(0.0, 0.5)))
    weighed = noise > 0 and _energy(residual) > (_NEGLIGIBLE * noise) ** 2 * residual.size
    kept = without_noise(residual, noise, model.axes) if weighed else residual
    if weighed and _energy(kept) < _EXPLAINED * _energy(residual):
        return image, residual, True
    consistent = model.spread(kept, image.shape, monitor.part(0.5, 1.0))
    consistent += image
    return consistent, residual, weighed


def _at_least(
    least: float, model: AcquisitionModel, image: np.ndarray, consistent: bool, monitor: Monitor
) -> np.ndarray:
    """`image` without values below `least`; where it is consistent, projected in turns so that it stays so."""
    if not image.min() < least:
        return image
    if not consistent:
        return np.maximum(image, np.float32(least))
    recorded = model.acquire(image)
    smallest = _SMALL**2 * _energy(recorded)
    for number in range(_PROJECTIONS):
        monitor.update(number / _PROJECTIONS)
        raised = np.maximum(image, np.float32(least))
        residual = model.weigh(recorded - model.acquire(raised))
        if _energy(residual) <= smallest:
            return raised
        # what is recorded changes in proportion to the step, and is put back
        raised -= image
        raised += model.spread(residual, image.shape)
        image = image + np.float32(_RELAXATION) * raised
    return np.maximum(image, np.float32(least))


def enforce_consistency(
    model: AcquisitionModel, acquired: np.ndarray, image: np.ndarray, monitor: Monitor | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Add to `image` what its acquisition lacks of data that count as exact.

    Independent slices (`AcquisitionModel.of_slices`) come out as those of the whole volume do.

    Args:
        model: of the acquisition of `acquired`.
        acquired: the acquired data y, [k, j, i].
        image: the image u on a lattice of `model`, [k, j, i].

    Returns:
        u + A⁺ W (y − A u), and the weighted residual W (y − A u).
    """
    return _agreeing(model, acquired, image, 0.0, monitor or Monitor())[:2]


def _checked(
    prepared: Prepared, refined: tuple[bool, ...], consistent: bool, noise: float, monitor: Monitor
) -> tuple[Prepared, CheckedImage]:
    """(`prepared` itself where nothing is changed and nothing to be said, else the image that it becomes; how)."""
    target, estimated = prepared.target, AcquisitionModel.estimate(prepared.target)
    model = estimated.refining(refined)
    array = prepared.lattice_array(monitor.part(0.0, 0.6))
    rest = monitor.part(0.6, 1.0)
    checked = check_image(
        model, target.array, array, consistent=consistent, noise=noise, least=least_value(target), monitor=rest
    )
    sliced = model.independent_axis(array.shape) is not None
    notes, warnings = held_back_sentences(checked.held, array.size, sliced)
    before = checked.before**0.5 / _size(target)
    if before > _DISAGREEING:
        warnings.append(
            f"The method's image differed from the scan by {before:.3g} times the scan's own size: the method does not "
            "suit this scan. Compare with another method."
        )
    if not (checked.changed or warnings):
        return prepared, checked
    image = LatticeImage(target, estimated, checked.array, (*prepared.notes, *notes), (*prepared.warnings, *warnings))
    image.made_as(prepared)
    return image, checked


def _size(target: Volume) -> float:
    """The root of the sum of the squares of all voxels; 1 for an empty volume."""
    return float(np.linalg.norm(target.array.astype(np.float64))) or 1.0


def _energy(array: np.ndarray) -> float:
    return float(np.square(array, dtype=np.float64).sum())
