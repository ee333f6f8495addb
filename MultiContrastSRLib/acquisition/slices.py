"""The acquisition of slices in torch: the matrices of `AxisModel` on any device, with gradients."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from .axis import AxisModel, Kind, samples_of
from .operators import Operator, apply_operator

ACROSS = AxisModel("slab", 1, 1.0, 1.0)  # the slice axis of a slice that is processed by itself


@dataclass(frozen=True)
class SliceAcquisition:
    """The acquisition of slices of shape `fine` (H, W) along rows and columns.

    Attributes:
        axes: the models along rows and columns.
        fine: shape (H, W) of the high-resolution slices.
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
        rows, columns = (_coarser(*each) for each in zip(fine, factors, kinds, strict=True))
        return cls((rows, columns), (fine[0], fine[1]))

    def cut(self, measured: tuple[int, int], fine: tuple[int, int]) -> SliceAcquisition:
        """The same acquisition of a patch of `measured` samples (h, w) and `fine` pixels (H, W)."""
        rows, columns = (replace(axis, samples=n) for axis, n in zip(self.axes, measured, strict=True))
        return SliceAcquisition((rows, columns), fine)

    @property
    def measured(self) -> tuple[int, int]:
        """Shape (h, w) of the acquired slices."""
        return self.axes[0].samples, self.axes[1].samples

    @property
    def lattice(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """(step, offset) of rows and of columns, see `AxisModel.lattice_positions`."""
        rows, columns = (axis.lattice_positions(n) for axis, n in zip(self.axes, self.fine, strict=True))
        return rows, columns

    def forward(self, image: Tensor) -> Tensor:
        """(…, H, W) → (…, h, w): the acquired slices."""
        return self._apply("forward", image)

    def interpolate(self, low: Tensor) -> Tensor:
        """(…, h, w) → (…, H, W): interpolation of the acquired slices (sinc; cubic spline across slabs)."""
        return self._apply("interpolate", low)

    def spread(self, low: Tensor) -> Tensor:
        """(…, h, w) → (…, H, W): the smoothest image that is acquired as `low`."""
        return self._apply("spread", low)

    def zero_filled(self, low: Tensor) -> Tensor:
        """(…, h, w) → (…, H, W): the zero-filled image, to which guided super-resolution adds detail."""
        return self._apply("zero_fill", low)

    def consistent(self, image: Tensor, low: Tensor) -> Tensor:
        """`image` (…, H, W) made consistent with the acquired slices `low` (…, h, w), as `enforce_consistency` does."""
        return image + self.spread(low - self.forward(image))

    def _apply(self, operator: Operator, array: Tensor) -> Tensor:
        return apply_operator(self.axes, operator, array, self.fine)


def _coarser(samples: int, factor: float, kind: Kind) -> AxisModel:
    """The acquisition of an axis of `samples` pixels, `factor` coarser."""
    measured = samples_of(samples, factor)
    spacing = samples / measured
    return AxisModel(kind, measured, spacing, spacing if kind == "slab" else 0.0)
