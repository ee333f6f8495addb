"""How much two images have in common: overlap, and mutual information within the target's foreground."""

from __future__ import annotations

import numpy as np

from ..image import kernels
from ..image.sampling import sample
from ..image.similarity import foreground, mutual_information
from ..image.volume import Volume

_BINS = 16
_SAMPLES = 200_000


class Probe:
    """The target's foreground on a subsampled grid, for quick comparisons with references."""

    def __init__(self, target: Volume) -> None:
        step = max(1, int(np.ceil((target.grid.size / _SAMPLES) ** 0.5)))
        # thin out within slices only: slices are few
        strides = [1 if axis == target.grid.slice_axis else step for axis in range(3)]
        if target.grid.slice_axis is None:
            strides = [max(1, round((target.grid.size / _SAMPLES) ** (1 / 3)))] * 3
        shape = [-(-n // s) for n, s in zip(target.shape, strides, strict=True)]
        self.grid = target.grid.remapped(shape, np.array(strides, dtype=float), np.zeros(3))
        self.values = target.array[:: strides[0], :: strides[1], :: strides[2]]
        self.foreground = foreground(self.values)

    def _resample(self, reference: Volume) -> tuple[np.ndarray, np.ndarray]:
        linear = (kernels.linear,) * 3
        covered = sample(np.ones(reference.shape, np.float32), reference.grid, self.grid, linear, fill=0.0) > 0.5
        return sample(reference.array, reference.grid, self.grid, linear), covered & self.foreground

    def compare(self, reference: Volume) -> tuple[float, float]:
        """(overlap, mutual information in nats)."""
        values, inside = self._resample(reference)
        overlap = float(inside.sum() / max(1, self.foreground.sum()))
        return overlap, _similarity(self.values[inside], values[inside])

    def chance(self, reference: Volume) -> float:
        """Mutual information that mere smoothness brings: the mean over references rolled by a third of the image."""
        values, inside = self._resample(reference)
        rolled = []
        for axis in (1, 2):
            for part in (1 / 3, 2 / 3):
                shift = round(part * values.shape[axis])
                rolled.append(_similarity(self.values[inside], np.roll(values, shift, axis)[inside]))
        return float(np.mean(rolled))


def _similarity(first: np.ndarray, second: np.ndarray) -> float:
    return mutual_information(first, second, bins=_BINS, binning="count", bias_corrected=True)
