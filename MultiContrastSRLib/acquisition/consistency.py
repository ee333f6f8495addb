"""Data consistency: the acquisition of the result must equal the acquired data.

The method's image u is computed once on its canonical lattice. Its acquisition A u is compared with the acquired data
y, and the smoothest image whose acquisition is the difference is added:

    consistent = u + A⁺ W (y − A u)

A is the target's acquisition model (central block of k-space in plane, slab means across slices), A⁺ its smoothest
right inverse and W a weight in [0, 1] for each measured frequency: 1 for simulated crops, so that the agreement is
exact, and the estimated support of the spectrum for scanner images whose k-space was zero-filled. The result is again
an image on a lattice, which `render` samples; a viewport is therefore the crop of the whole.
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
    """Agreement of the result with the acquired data.

    Attributes:
        mode: "off", "exact" (all frequencies were measured) or "support" (weighted by the measured support).
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
    """`prepared` with data consistency enforced, and the agreement before and after.

    The lattice of `prepared` must be one of the target's acquisition model, as those of all methods are.

    Args:
        prepared: the image u.
        refined: the axes (k, j, i) that are super-resolved.
    """
    monitor = monitor or Monitor()
    target = prepared.target
    estimated = AcquisitionModel.estimate(target)
    model = estimated.refining(refined)
    image = prepared.lattice_array(monitor.part(0.0, 0.6))
    consistent, residual = enforce_consistency(model, target.array, image, monitor.part(0.6, 0.9))
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
    result.reference_used, result.fallback = prepared.reference_used, prepared.fallback
    return result, report


def enforce_consistency(
    model: AcquisitionModel, acquired: np.ndarray, image: np.ndarray, monitor: Monitor | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Add to `image` what its acquisition lacks.

    Independent slices (`AcquisitionModel.of_slices`) come out as those of the whole volume do.

    Args:
        model: of the acquisition of `acquired`.
        acquired: the acquired data y, [k, j, i].
        image: the image u on a lattice of `model`, [k, j, i].

    Returns:
        u + A⁺ W (y − A u), and the weighted residual W (y − A u).
    """
    monitor = monitor or Monitor()
    residual = model.weigh(acquired - model.acquire(image, monitor.part(0.0, 0.4)))
    consistent = model.spread(residual, image.shape, monitor.part(0.4, 0.8))
    monitor.update(0.8)
    consistent += image
    return consistent, residual


def _rms(array: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(array, dtype=np.float64))))
