"""Data consistency: what was measured must stand in the result.

The method's image u is computed once on its canonical lattice. What the scanner would have recorded of it, A u, is
compared with the acquired data y, and the smoothest image that is recorded as the difference is added:

    consistent = u + A⁺ W (y − A u)

A is the target's acquisition (central block of k-space in plane, slab means across slices), A⁺ its smoothest right
inverse and W the trust in each measured frequency: 1 for simulated crops, so that the agreement is exact, and the
estimated support of the spectrum for scanner images whose k-space was zero-filled. The result is an image on a
lattice again, which `render` samples; a viewport is therefore the crop of the whole.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from ..core.progress import Monitor
from ..image.prepared import Prepared
from .lattice import LatticeImage
from .model import AcquisitionModel


@dataclass(frozen=True)
class ConsistencyReport:
    """How far the result agrees with the acquired data.

    Attributes:
        mode: "off", "exact" (all frequencies were measured) or "support" (inside the measured part, softly).
        residual_before, residual_after: RMS of W (y − A u) relative to the RMS of y, before and after.
        support: per axis (k, j, i), the measured fraction of the spectrum.
        resolution: per axis (k, j, i), effective resolution of the target in mm.
    """

    mode: str
    residual_before: float | None = None
    residual_after: float | None = None
    support: tuple[float, ...] = ()
    resolution: tuple[float, ...] = ()

    def as_dict(self) -> dict[str, object]:
        """JSON-able."""
        return asdict(self)


def make_consistent(
    prepared: Prepared, monitor: Monitor | None = None, refined: tuple[bool, ...] = (True, True, True)
) -> tuple[LatticeImage, ConsistencyReport]:
    """`prepared` with the measured data put back, and how much that changed.

    The lattice of `prepared` must be one of the target's acquisition model, as all methods' are.

    Args:
        refined: the axes (k, j, i) that are super-resolved.
    """
    monitor = monitor or Monitor()
    target = prepared.target
    estimated = AcquisitionModel.estimate(target)
    model = estimated.refining(refined)
    samples = prepared.lattice.shape
    lattice = model.lattice(samples)
    if isinstance(prepared, LatticeImage):
        image = prepared.array
    else:
        image = prepared.render(lattice, monitor.part(0.0, 0.6, "consistency")).array
    consistent, residual = put_back(model, target.array, image, monitor.part(0.6, 0.9))
    after = model.weigh(target.array - model.acquire(consistent, monitor.part(0.9, 1.0)))
    scale = _rms(target.array) or 1.0
    report = ConsistencyReport(
        mode=model.trust,
        residual_before=_rms(residual) / scale,
        residual_after=_rms(after) / scale,
        support=tuple(axis.support.edge for axis in estimated.axes),
        resolution=estimated.resolution,
    )
    result = LatticeImage(target, estimated, consistent, prepared.notes, prepared.warnings)
    result.companion, result.fit = prepared.companion, prepared.fit
    return result, report


def put_back(
    model: AcquisitionModel, measured: np.ndarray, image: np.ndarray, monitor: Monitor | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """(`image` on a lattice of `model` with what was measured put back, W (y − A u): what it lacked).

    Independent slices (`AcquisitionModel.of_slices`) come out as those of the whole volume do.
    """
    monitor = monitor or Monitor()
    residual = model.weigh(measured - model.acquire(image, monitor.part(0.0, 0.4)))
    consistent = model.spread(residual, image.shape, monitor.part(0.4, 0.8))
    monitor.update(0.8)
    consistent += image
    return consistent, residual


def _rms(array: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(array, dtype=np.float64))))
