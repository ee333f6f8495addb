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
from functools import partial

import numpy as np

from ..core.fallback import FallbackDevice, in_halves
from ..core.progress import Monitor
from ..core.threads import in_threads
from ..image.offset import subtracted
from ..image.prepared import Prepared
from ..image.sampling import Array
from ..image.volume import Volume
from .agreement import Demands, agree, check_part
from .lattice import LatticeImage, least_value
from .limit import Held, count_parts, held_back_sentences
from .model import AcquisitionModel

_BATCH = 1 << 22  # lattice samples of a batch of slices on a device
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
        pieces: what was held back of each independent slice, or of the volume.
        before, after: sums of the squared residuals W (y − A u), before and after; `after` is 0 without consistency.
        weighed: whether the data were weighed by their noise.
        changed: whether `array` differs from the method's image.
        warnings: sentences for the report about a device that ran out of memory or failed.
    """

    array: np.ndarray
    pieces: tuple[Held, ...]
    before: float = 0.0
    after: float = 0.0
    weighed: bool = False
    changed: bool = False
    warnings: tuple[str, ...] = ()

    @property
    def held(self) -> Held:
        """What was held back of all of it."""
        return Held.sum(self.pieces)


def make_consistent(
    prepared: Prepared,
    monitor: Monitor | None = None,
    refined: tuple[bool, ...] = (True, True, True),
    noise: float = 0.0,
    device: str = "cpu",
) -> tuple[Prepared, ConsistencyReport]:
    """`prepared` within its limits and with data consistency enforced, and the agreement before and after.

    It is `prepared` itself where noise explains its disagreement with the data. The lattice of `prepared` must be one
    of the target's acquisition model, as those of all methods are.

    Args:
        prepared: the image u.
        refined: the axes (k, j, i) that are super-resolved.
        noise: standard deviation of the noise of the target; 0 makes the agreement exact.
        device: where it is computed, see `check_image`.
    """
    image, checked = _checked(prepared, refined, True, noise, device, monitor or Monitor())
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
    prepared: Prepared,
    monitor: Monitor | None = None,
    refined: tuple[bool, ...] = (True, True, True),
    device: str = "cpu",
) -> tuple[Prepared, ConsistencyReport]:
    """`prepared` itself where nothing exceeds its limits, else an image without that; no data consistency."""
    image, checked = _checked(prepared, refined, False, 0.0, device, monitor or Monitor())
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
    device: str = "cpu",
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
        device: where it is computed: "cpu", "cuda:0", …; slices in batches, each copied there and back once.
    """
    monitor, fallback = monitor or Monitor(), FallbackDevice(device, "data consistency")
    across = model.independent_axis(image.shape)
    demands, count = Demands(consistent, noise, least), 1 if across is None else image.shape[across]
    monitor.update(0.0)

    def check(monitor: Monitor, numbers: range, device: str) -> tuple[np.ndarray, np.ndarray]:
        """Slices `numbers`, stacked along the first axis, or the volume; findings, a row for each."""
        part = monitor.part(numbers.start / count, numbers.stop / count)
        single, data = model, (acquired, image)
        if across is not None:
            index = tuple(slice(numbers.start, numbers.stop) if axis == across else slice(None) for axis in range(3))
            data = acquired[index], image[index]
            single = model.of_slices(across, numbers.start, numbers.stop)
        if device == "cpu":
            array, found = check_part(single, *data, across, demands, part)
        else:
            array, found = _check_on(device, single, data, across, demands, part)
        return np.moveaxis(array, across or 0, 0), found

    if across is None:
        result, findings = fallback.run(partial(check, monitor, range(1)))
    else:
        result, findings, start = np.empty(image.shape, np.float32), np.empty((count, 6)), 0
        slices = np.moveaxis(result, across, 0)  # a view

        def check_batch(numbers: range, monitor: Monitor) -> None:
            monitor.update(numbers.start / count)
            part = slice(numbers.start, numbers.stop)
            slices[part], findings[part] = fallback.run(partial(in_halves, partial(check, monitor), numbers))

        while start < count and fallback.name != "cpu":
            numbers = range(start, min(start + max(1, _BATCH * count // image.size), count))
            check_batch(numbers, monitor)
            start = numbers.stop
        singles = [range(number, number + 1) for number in range(start, count)]  # a slice fits into the cache
        in_threads(singles, check_batch, monitor)
    samples, replaced, before, after, weighed, changed = findings.T
    parts = count_parts(image.shape, across) // count
    return CheckedImage(
        result,
        tuple(Held(int(each), int(all_of_it), parts) for each, all_of_it in zip(samples, replaced, strict=True)),
        float(before.sum()),
        float(after.sum()),
        bool(weighed.any()),
        bool(changed.any()),
        fallback.warnings,
    )


def _check_on(
    device: str,
    model: AcquisitionModel,
    data: tuple[np.ndarray, np.ndarray],
    across: int | None,
    demands: Demands,
    monitor: Monitor,
) -> tuple[np.ndarray, np.ndarray]:
    """`check_part` on a device: both arrays are copied there, image and findings back in one piece."""
    import torch

    with torch.inference_mode():
        acquired, image = (torch.tensor(array).to(device) for array in data)
        array, found = check_part(model, acquired, image, across, demands, monitor)
        together = torch.cat([array.flatten(), found.flatten().to(array.dtype)]).cpu().numpy()
    return together[: array.numel()].reshape(array.shape), together[array.numel() :].reshape(found.shape)


def enforce_consistency(
    model: AcquisitionModel, acquired: Array, image: Array, monitor: Monitor | None = None
) -> tuple[Array, Array]:
    """Add to `image` what its acquisition lacks of data that count as exact.

    Independent slices (`AcquisitionModel.of_slices`) come out as those of the whole volume do.

    Args:
        model: of the acquisition of `acquired`.
        acquired: the acquired data y, [k, j, i].
        image: the image u on a lattice of `model`, [k, j, i].

    Returns:
        u + A⁺ W (y − A u), and the weighted residual W (y − A u).
    """
    return agree(model, acquired, image, None, 0.0, monitor or Monitor())[:2]


def _checked(
    prepared: Prepared, refined: tuple[bool, ...], consistent: bool, noise: float, device: str, monitor: Monitor
) -> tuple[Prepared, CheckedImage]:
    """(`prepared` itself where nothing is changed and nothing to be said, else the image that it becomes; how)."""
    target, estimated = prepared.target, AcquisitionModel.estimate(prepared.target)
    model = estimated.refining(refined)
    array = prepared.lattice_array(monitor.part(0.0, 0.6))
    rest = monitor.part(0.6, 1.0)
    least = least_value(target)
    checked = check_image(
        model, target.array, array, consistent=consistent, noise=noise, least=least, device=device, monitor=rest
    )
    sliced = model.independent_axis(array.shape) is not None
    notes, warnings = held_back_sentences(checked.held, array.size, sliced)
    warnings += checked.warnings
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
    """The root of the sum of the squares of all voxels of the scan itself; 1 for an empty volume."""
    return float(np.linalg.norm(target.array.astype(np.float64) + subtracted(target))) or 1.0
