"""The auxiliary image by joint total variation, slice by slice."""

from __future__ import annotations

import numpy as np

from ..core.progress import Monitor
from ..image.grid import Grid
from ..image.volume import Volume
from ..joint.slices import ITERATIONS
from ..joint.volumes import JointReconstruction


class JointTVSlices:
    """The target's slices along one axis of a lattice, each reconstructed independently and on demand.

    Args:
        reference: None for total variation of the target alone.
        lattice: of the network (`AcquisitionModel.estimate(volume).lattice(samples)`).
        across: the axis along which the slices are stacked; nothing is refined along it.
    """

    def __init__(
        self, volume: Volume, reference: Volume | None, lattice: Grid, across: int, device: str, monitor: Monitor
    ) -> None:
        contrasts = [[volume]] if reference is None else [[volume], [reference]]
        self._joint = JointReconstruction(contrasts, lattice, across, device, monitor.silent)
        self._across = across

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences for the report about a device that ran out of memory or failed."""
        return self._joint.warnings

    @property
    def nbytes(self) -> int:
        """Memory that it holds."""
        return self._joint.nbytes

    def stack(self, numbers: slice, monitor: Monitor) -> np.ndarray:
        """Slices `numbers`: (slices, rows, columns)."""
        part = tuple(numbers if axis == self._across else slice(None) for axis in range(3))
        image = self._joint.reconstruct(part, iterations=ITERATIONS, monitor=monitor.silent)[0]
        return np.moveaxis(image, self._across, 0)
