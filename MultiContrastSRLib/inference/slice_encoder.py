"""A trained method slice by slice, for live zoom."""

from __future__ import annotations

import numpy as np

from ..acquisition.model import AcquisitionModel
from ..core.progress import Monitor
from ..image.prepared import SliceEncoder
from ..image.volume import Volume
from .prepared_step import PreparedStep


class TrainedSliceEncoder(SliceEncoder):
    """The slices of a prepared step, see `SliceEncoder`. `TrainedMethod.prepare` computes the same ones."""

    def __init__(self, target: Volume, prepared: PreparedStep, notes: tuple[str, ...]) -> None:
        self.target, self.notes, self._step = target, notes, prepared
        self.lattice = AcquisitionModel.estimate(target).lattice(prepared.samples)
        self.sketched_by, self.axis = prepared.base_method, prepared.across
        self.reference_used, self.weights = prepared.reference_used, prepared.network.net.weights
        self.earlier_warnings: tuple[str, ...] = ()  # of a preparation with the reference, which was rejected

    @property
    def warnings(self) -> tuple[str, ...]:
        """See `SliceEncoder.warnings`."""
        return (*self.earlier_warnings, *self._step.warnings)

    @property
    def nbytes(self) -> int:
        """See `SliceEncoder.nbytes`."""
        return self._step.nbytes

    @property
    def batch(self) -> int:
        """See `SliceEncoder.batch`."""
        return self._step.batch_size(self.axis)

    def slices(self, start: int, stop: int, monitor: Monitor | None = None) -> np.ndarray:
        """See `SliceEncoder.slices`."""
        slices = self._step.slices(self.axis, slice(start, stop), monitor or Monitor(stage="prepare"))
        return np.moveaxis(slices, 0, self.axis)

    def sketch(self, start: int, stop: int, monitor: Monitor | None = None) -> np.ndarray:
        """See `SliceEncoder.sketch`: the base image."""
        slices = self._step.base_slices(self.axis, slice(start, stop), monitor or Monitor())
        return np.moveaxis(slices, 0, self.axis)
