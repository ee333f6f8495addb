"""The acquisition of slices in torch: the small matrices of `acquisition.AxisModel`, on any device, with gradients.

Positions, spectra and slabs are therefore those of the rest of the library, to rounding.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from .model import AxisModel, Kind

ACROSS = AxisModel("slab", 1, 1.0, 1.0)  # of a slice that is a volume of its own
KEPT = 4096  # matrices, some 100 kB each: sizes are whole numbers, so that a training soon meets them all again


def samples_of(size: int, factor: float) -> int:
    """Samples that a degradation by `factor` leaves of `size`, as `acquisition.degrade` rounds."""
    return max(1, int(np.floor(size / factor + 0.5)))


@dataclass(frozen=True)
class SliceAcquisition:
    """How slices of `fine` shape (H, W) are recorded along rows and columns.

    Attributes:
        axes: the models of rows and columns.
        fine: (H, W) of the truth.
    """

    axes: tuple[AxisModel, AxisModel]
    fine: tuple[int, int]

    @classmethod
    def of(
        cls, fine: tuple[int, int], factors: tuple[float, float], kinds: tuple[Kind, Kind] = ("kspace", "kspace")
    ) -> SliceAcquisition:
        """The acquisition that is `factors` (rows, columns) coarser.

        >>> SliceAcquisition.of((48, 30), (2.0, 4.0)).measured
        (24, 8)
        """
        axes = []
        for n, factor, kind in zip(fine, factors, kinds, strict=True):
            m = samples_of(n, factor)
            axes.append(AxisModel(kind, m, n / m, n / m if kind == "slab" else 0.0))
        return cls(tuple(axes), tuple(fine))

    def cut(self, measured: tuple[int, int], fine: tuple[int, int]) -> SliceAcquisition:
        """The same acquisition of a part: `measured` samples (h, w) under `fine` pixels (H, W)."""
        axes = tuple(replace(axis, samples=n) for axis, n in zip(self.axes, measured, strict=True))
        return SliceAcquisition(axes, fine)

    @property
    def measured(self) -> tuple[int, int]:
        """(h, w) of what is recorded."""
        return self.axes[0].samples, self.axes[1].samples

    @property
    def lattice(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """(step, offset) of rows and of columns, see `AxisModel.lattice_positions`."""
        return tuple(axis.lattice_positions(n) for axis, n in zip(self.axes, self.fine, strict=True))

    def forward(self, image: Tensor) -> Tensor:
        """(…, H, W) → (…, h, w): what is recorded."""
        return self._apply(image, "forward")

    def interpolate(self, low: Tensor) -> Tensor:
        """(…, h, w) → (…, H, W): the record interpolated (sinc, spline across slabs)."""
        return self._apply(low, "interpolate")

    def spread(self, low: Tensor) -> Tensor:
        """(…, h, w) → (…, H, W): the smoothest image that is recorded as `low`."""
        return self._apply(low, "spread")

    def zero_filled(self, low: Tensor) -> Tensor:
        """(…, h, w) → (…, H, W): the image that guided super-resolution adds detail to."""
        ways = ["spread" if axis.kind == "kspace" else "interpolate" for axis in self.axes]
        return separable(low, *(operator(a, n, way, low) for a, n, way in zip(self.axes, self.fine, ways, strict=True)))

    def consistent(self, image: Tensor, low: Tensor) -> Tensor:
        """`image` (…, H, W) with the record `low` (…, h, w) put back, as `consistency.make_consistent` does."""
        return image + self.spread(low - self.forward(image))

    def _apply(self, array: Tensor, name: str) -> Tensor:
        return separable(array, *(operator(a, n, name, array) for a, n in zip(self.axes, self.fine, strict=True)))


def separable(array: Tensor, over_rows: Tensor | None, over_columns: Tensor | None) -> Tensor:
    """`array` (…, h, w) with a matrix applied along rows and columns; None is the identity."""
    if over_rows is not None:
        array = over_rows @ array
    return array if over_columns is None else array @ over_columns.T


def operator(axis: AxisModel, fine: int, name: str, like: Tensor) -> Tensor | None:
    """`AxisModel.forward`, `interpolate` or `spread` of `axis` for `fine` samples, on the device of `like`."""
    return None if fine == axis.samples else _matrix(axis, fine, name, like.device, like.dtype)


@lru_cache(maxsize=KEPT)
def _matrix(axis: AxisModel, fine: int, name: str, device: torch.device, dtype: torch.dtype) -> Tensor:
    return torch.from_numpy(getattr(axis, name)(fine)).to(device, dtype)
