"""The noise level of a scan, estimated from the scan alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..acquisition.axis import AxisModel
from ..acquisition.model import AcquisitionModel
from ..core.progress import Monitor
from ..image.volume import Volume

_LEAST = 2e-3  # of the scan's standard deviation: below it rounding and errors of the acquisition model dominate
_SAMPLES, _PLANES = 1 << 20, 8  # the fewest that noise is estimated from, where the scan has them


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
    monitor = monitor or Monitor()
    depth = max(_PLANES, _SAMPLES // (samples.shape[1] * samples.shape[2]))
    first = max(0, (samples.shape[0] - depth) // 2)
    detail, gain = samples[first : first + depth], 1.0  # the middle of a large scan
    for axis, acquired in enumerate(axes):
        stride = int(np.ceil(1 / acquired.support.edge - 0.05))
        n = detail.shape[axis] - 2 * stride
        if acquired.kind == "slab" or n < 4:
            continue
        monitor.check()
        left, middle, right = (np.moveaxis(detail, axis, 0)[s : s + n] for s in (0, stride, 2 * stride))
        detail, gain = np.moveaxis(left - 2 * middle + right, 0, axis), gain * 6**0.5
    deviation = float(samples.std())
    size = np.abs(detail[np.abs(detail) > 1e-6 * deviation])
    spread = float(np.median(size)) / 0.6745 / gain if size.size else 0.0
    return max(spread, _LEAST * deviation) or 1.0  # of a constant image any noise will do
