"""How much noise a scan holds, from the scan alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..acquisition.axis import AxisModel
from ..acquisition.model import AcquisitionModel
from ..core.progress import Monitor
from ..image.volume import Volume

FLOOR = 2e-3  # of the scan's standard deviation: below it rounding and the model's own errors rule
_ENOUGH, _DEPTH = 1 << 20, 8  # samples, and planes, that noise is estimated from


def noise_level(scan: Volume, monitor: Monitor | None = None) -> float:
    """Standard deviation of the noise, in the scan's units; at least a small part of the scan's own deviation.

    From the median size of second differences within slices (along all axes of an isotropic scan), which smooth anatomy
    and straight edges hardly touch, as Donoho & Johnstone 1994 do in the finest wavelet band. Voxels where nothing
    varies, such as a masked background, do not count. Along zero-filled axes neighbours share their noise, so
    differences are taken between samples as far apart as the measured resolution.
    """
    return noise_of(scan.array, AcquisitionModel.estimate(scan).axes, monitor)


def noise_of(samples: np.ndarray, axes: Sequence[AxisModel], monitor: Monitor | None = None) -> float:
    """`noise_level` of `samples` that were acquired by `axes`, one an axis."""
    monitor = monitor or Monitor()
    depth = max(_DEPTH, _ENOUGH // (samples.shape[1] * samples.shape[2]))
    first = max(0, (samples.shape[0] - depth) // 2)
    detail, gain = samples[first : first + depth], 1.0  # the middle of a large scan says enough
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
    return max(spread, FLOOR * deviation, 1e-12)
