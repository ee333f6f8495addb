"""The noise of a scan, estimated from the scan alone, and the weights of measured data that it calls for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import scipy

from ..core.progress import Monitor
from ..image.sampling import Array
from ..image.volume import Volume
from .arrays import axes_within, cosine_transform, moving_means
from .axis import AxisModel
from .model import AcquisitionModel

if TYPE_CHECKING:
    from torch import Tensor

_VARYING = 1e-6  # of the scan's standard deviation: second differences below it are of areas where nothing varies
_LEAST = 2e-3  # of the scan's standard deviation: below it rounding and errors of the acquisition model dominate
_SAMPLES, _PLANES = 1 << 20, 8  # the fewest that noise is estimated from, where the scan has them
_WINDOW = 5  # samples across the windows in which flat regions are looked for
_FLATTEST = 0.02  # share of the windows that count as flat
_FLATNESS = 0.55  # standard deviation of white noise in the flattest of such windows, relative to that in all
_TEXTURE = 0.8  # of a scan's standard deviation: where noise is found to be more, the whole scan is texture
_FEWEST = 2000  # windows: a smaller scan may have no flat region
_CLEAN = 0.012  # of the scan's range: the flattest regions of coarse scans without noise vary by about as much
_DEVIATIONS = 0.6745  # median size of values of normal distribution, in standard deviations
_BAND = 7  # neighbouring frequencies, along each axis, over which the power of a residual is averaged


def noise_level(scan: Volume, monitor: Monitor | None = None) -> float:
    """Standard deviation of the noise, in the scan's units; at least 0.2 % of the scan's standard deviation.

    It is the median absolute second difference within slices (along all axes of an isotropic scan), to which smooth
    anatomy and straight edges contribute little, as in the finest wavelet band of Donoho & Johnstone 1994. Voxels where
    nothing varies, such as a masked background, are left out. Along zero-filled axes the noise of neighbours is
    correlated, so differences are taken between samples as far apart as the measured resolution.
    """
    return noise_of_samples(scan.array, AcquisitionModel.estimate(scan).axes, monitor)


def noise_of_samples(samples: np.ndarray, axes: Sequence[AxisModel], monitor: Monitor | None = None) -> float:
    """`noise_level` of `samples` (k, j, i) that were acquired by `axes`, one for each array axis."""
    detail = _second_differences(_middle(samples), axes, monitor or Monitor())
    deviation = float(samples.std())
    size = np.abs(detail[np.abs(detail) > _VARYING * deviation])
    spread = float(np.median(size)) / _DEVIATIONS if size.size else 0.0
    return max(spread, _LEAST * deviation) or 1.0  # of a constant image any noise will do


def noise_of_slices(samples: Tensor, axes: Sequence[AxisModel]) -> Tensor:
    """`noise_of_samples` of every slice of `samples` (slices, j, i) by itself: (slices,), on their device."""
    size = _second_differences(samples, axes, Monitor()).abs().flatten(1)
    deviation = samples.std(dim=(1, 2), correction=0)
    size = size.masked_fill(size <= _VARYING * deviation[:, None], float("nan"))
    lower = size.nanmedian(dim=1).values[:, None]  # of the two values in the middle, where their number is even
    within, count = (size <= lower).sum(1), (~size.isnan()).sum(1)
    next_one = size.masked_fill(~(size > lower), float("inf")).amin(1)
    upper = next_one.where(2 * within == count, lower[:, 0])
    noise = ((lower[:, 0] + upper) / 2 / _DEVIATIONS).nan_to_num(0.0).maximum(_LEAST * deviation)
    return noise.masked_fill(noise == 0, 1.0)


def significant_noise(scan: Volume, monitor: Monitor | None = None) -> float:
    """Standard deviation of the noise that measured data are weighed by, in the scan's units; 0 for a clean scan.

    Fine anatomy raises `noise_level` of a coarse scan without noise to 1–2 % of its range. This is the root mean square
    of the second differences in the flattest 2 % of small windows, which anatomy hardly raises. What clean scans show
    there, 1.2 % of the range, is subtracted (as variances). Scans too small to have a flat region, and those without
    any region that is flatter than the others, count as clean, as texture cannot be told from noise.
    """
    samples = _middle(scan.array)
    detail = _second_differences(samples, AcquisitionModel.estimate(scan).axes, monitor or Monitor())
    sizes = (1, *(min(_WINDOW, n) for n in detail.shape[1:]))
    power = scipy.ndimage.uniform_filter(np.square(detail, dtype=np.float64), sizes, mode="nearest")
    varying = power[power > 1e-12 * float(samples.var())]
    if varying.size < _FEWEST:
        return 0.0
    flattest = float(np.quantile(varying, _FLATTEST)) / _FLATNESS**2
    low, high = np.percentile(samples, (1, 99))
    noise = float(np.sqrt(max(0.0, flattest - (_CLEAN * float(high - low)) ** 2)))
    return noise if noise < _TEXTURE * float(samples.std()) else 0.0


def without_noise(residual: Array, noise: float, axes: Sequence[AxisModel], across: int | None = None) -> Array:
    """`residual`, the acquired data less the acquisition of an image, without what noise of the data explains.

    Each frequency is weighted by max(0, 1 − σ² / power), the power of `residual` being averaged over neighbouring
    frequencies: the Wiener filter of an error of the image in noise. An image that was denoised keeps what it is, as
    its residual is the noise; an image that lacks structure gets it.

    Args:
        residual: (k, j, i), 0 where nothing was measured.
        noise: standard deviation of the noise of the acquired data, above 0.
        axes: acquisition along (k, j, i).
        across: the axis along which slices are filtered by themselves; None for a volume.
    """
    measured = float(np.prod([axis.support.edge for axis in axes if axis.kind == "kspace"]))
    within = axes_within(across)
    spectrum = cosine_transform(residual / noise, within)
    sizes = [min(_BAND, n) if axis in within else 1 for axis, n in enumerate(residual.shape)]
    (power,) = moving_means([spectrum * spectrum], sizes, mode="nearest")
    spectrum *= (1.0 - 1 / measured / power.clip(min=1e-9)).clip(min=0.0)
    return cosine_transform(spectrum, within, inverse=True) * noise


def _middle(samples: np.ndarray) -> np.ndarray:
    """The middle of a large scan."""
    depth = max(_PLANES, _SAMPLES // (samples.shape[1] * samples.shape[2]))
    first = max(0, (samples.shape[0] - depth) // 2)
    return samples[first : first + depth]


def _part(samples: Array, axis: int, start: int, count: int) -> Array:
    """`count` samples along `axis` from `start` on."""
    window = [slice(None)] * samples.ndim
    window[axis] = slice(start, start + count)
    return samples[tuple(window)]


def _second_differences(samples: Array, axes: Sequence[AxisModel], monitor: Monitor) -> Array:
    """Second differences along all k-space axes, scaled so that noise keeps its standard deviation."""
    detail, gain = samples, 1.0
    for axis, acquired in enumerate(axes):
        stride = int(np.ceil(1 / acquired.support.edge - 0.05))
        n = detail.shape[axis] - 2 * stride
        if acquired.kind == "slab" or n < 4:
            continue
        monitor.check()
        left, middle, right = (_part(detail, axis, start, n) for start in (0, stride, 2 * stride))
        detail, gain = left - 2 * middle + right, gain * 6**0.5
    return detail / gain
