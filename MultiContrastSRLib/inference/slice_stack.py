"""A stack of slices as a network receives them."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ..acquisition.axis import AxisModel
from ..networks.positions import Positions


@dataclass(frozen=True)
class SliceStack:
    """Slices with the same acquisition, as tensors (slices, rows, columns) on one device, in the scans' own units.

    Attributes:
        axes: acquisition of rows and columns; `axes[·].samples` is the shape of a slice of `target`.
        target: (N, h, w), as acquired.
        base: (N, H, W), the base image; without one only its shape and device are used.
        reference: (N, H, W), or (N, h, w) for a reference of the target's resolution; None without.
    """

    axes: tuple[AxisModel, AxisModel]
    target: Tensor
    base: Tensor
    reference: Tensor | None

    @property
    def positions(self) -> Positions:
        """Where the output's pixels lie in the slices of the target and of the reference."""
        rows, columns = shape = self.base.shape[1:]
        in_target = tuple(axis.lattice_positions(n) for axis, n in zip(self.axes, shape, strict=True))
        in_reference = None
        if self.reference is not None:
            same = self.reference.shape[1:] == shape
            in_reference = ((1.0, 0.0), (1.0, 0.0)) if same else in_target
        return Positions.regular((rows, columns), in_target, in_reference)
