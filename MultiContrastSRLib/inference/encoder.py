"""A trained method slice by slice, for live zoom."""

from __future__ import annotations

import numpy as np

from ..acquisition.model import AcquisitionModel
from ..core.progress import Monitor
from ..image.prepared import SliceEncoder
from ..image.volume import Volume
from .passes import PreparedPass


class TrainedSlices(SliceEncoder):
    """The slices of a pass; see `SliceEncoder`. `TrainedMethod.prepare` makes its volume of the same ones."""

    def __init__(self, target: Volume, prepared: PreparedPass, notes: tuple[str, ...]) -> None:
        self.target, self.notes, self._pass = target, notes, prepared
        self.lattice = AcquisitionModel.estimate(target).lattice(prepared.samples)
        self.sketched_by, self.axis = prepared.base, prepared.across

    @property
    def warnings(self) -> tuple[str, ...]:
        """See `SliceEncoder.warnings`."""
        return self._pass.warnings

    @property
    def nbytes(self) -> int:
        """See `SliceEncoder.nbytes`."""
        return self._pass.nbytes

    def slices(self, start: int, stop: int, monitor: Monitor | None = None) -> np.ndarray:
        """See `SliceEncoder.slices`."""
        made = self._pass.slices(self.axis, slice(start, stop), monitor or Monitor(stage="prepare"))
        return np.moveaxis(made, 0, self.axis)

    def sketch(self, start: int, stop: int, monitor: Monitor | None = None) -> np.ndarray:
        """See `SliceEncoder.sketch`: what the network corrects."""
        made = self._pass.bases(self.axis, slice(start, stop), monitor or Monitor())
        return np.moveaxis(made, 0, self.axis)
