"""Dual-branch implicit attention: features of both images at any position, by a sinusoidal basis (DINet)."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..layers import conv3
from ..positions import Positions, along, corners, sample_linear, take, to_device


class Maps(NamedTuple):
    """The maps that the attention samples, on the images' own grids.

    Attributes:
        coefficient, frequency: (B, D, h, w) of the target.
        reference_value, reference_frequency: (B, D, any size), or None without a reference.

    Frequencies are None where the attention has no sinusoidal basis.
    """

    coefficient: Tensor
    frequency: Tensor | None
    reference_value: Tensor | None
    reference_frequency: Tensor | None


class Feature(NamedTuple):
    """Features at the output's positions: target and reference (B, D, H, W), and their weight in the image."""

    target: Tensor
    reference: Tensor | None
    weight: Tensor | float


class DualBranchAttention(nn.Module):
    """Features (B, G, ·, ·) of both images → features (B, D, H, W) of both at the output's positions.

    Each of the four nearest target pixels gives, for each branch, a frequency pair per channel,
    f = k_2i·Δrow + k_2i+1·Δcolumn + phase, and the feature value·[cos πf, sin πf]. Target maps are taken at that pixel,
    reference maps bilinearly at the query; the phase is linear in an output pixel's size. Δ and sizes are in target
    pixels (the authors' code counts them twofold). The four are blended by opposite areas.
    """

    def __init__(self, features: int, dimension: int, basis: bool, blend: bool) -> None:
        """`basis=False`: without the sinusoidal basis. `blend=False`: four features with weights, not their sum."""
        super().__init__()
        self.basis, self.blend = basis, blend
        self.coefficient, self.reference_value = (conv3(features, dimension) for _ in range(2))
        if basis:
            self.frequency, self.reference_frequency = (conv3(features, dimension) for _ in range(2))
            self.phase = nn.Linear(2, dimension // 2, bias=False)

    def maps(self, target: Tensor, reference: Tensor | None) -> Maps:
        """The maps of target features (B, G, h, w) and reference features (B, G, any size)."""
        present = reference is not None
        found = (
            self.coefficient(target),
            self.frequency(target) if self.basis else None,
            self.reference_value(reference) if present else None,
            self.reference_frequency(reference) if present and self.basis else None,
        )
        # the basis takes every other channel, for which the channels-last format is slow
        return Maps(*(None if x is None else x.contiguous() for x in found))

    def forward(self, maps: Maps, positions: Positions) -> list[Feature]:
        """One feature pair; four without `blend`."""
        value = None
        if maps.reference_value is not None:
            value = sample_linear(maps.reference_value, *positions.in_reference)
        if not self.basis:
            return [Feature(sample_linear(maps.coefficient, *positions.in_target), value, 1.0)]
        target, basis = 0.0, 0.0
        found = []
        for one, other, weight in self._corners(maps, positions):
            if self.blend:
                target = target + weight * one
                basis = None if other is None else basis + weight * other
            else:
                found.append(Feature(one, None if other is None else value * other, weight))
        # the value is the same at all four, so it is multiplied once
        return found or [Feature(target, None if value is None else value * basis, 1.0)]

    def _corners(self, maps: Maps, positions: Positions):
        """Yields (target feature, the reference's basis or None, weight (H, W)) of the four target pixels."""
        x, frequency = maps.coefficient, None
        phase = math.pi * self.phase(to_device(torch.tensor(positions.step_t), x.device, x.dtype))[:, None, None]
        if maps.reference_frequency is not None:
            frequency = sample_linear(maps.reference_frequency, *positions.in_reference)
        for row, drow, row_weight in corners(positions.rows_t, x.shape[2]):
            drow, row_weight = along(math.pi * drow, x, 2), along(row_weight, x, 2)
            value_row, frequency_row = take(x, row, 2), take(maps.frequency, row, 2)
            by_row, by_col = frequency_row[:, ::2] * drow + phase, frequency_row[:, 1::2]
            for col, dcol, col_weight in corners(positions.cols_t, x.shape[3]):
                dcol = along(math.pi * dcol, x, 3)
                target = take(value_row, col, 3) * _basis(take(by_row, col, 3), take(by_col, col, 3), dcol)
                other = None
                if frequency is not None:
                    other = _basis(frequency[:, ::2] * drow + phase, frequency[:, 1::2], dcol)
                yield target, other, row_weight * along(col_weight, x, 3)


def _basis(by_row: Tensor, by_col: Tensor, dcol: Tensor) -> Tensor:
    """[cos, sin] of by_row + by_col·dcol: (B, D/2, H, W) twice and (1, W) → (B, D, H, W)."""
    angle = torch.addcmul(by_row, by_col, dcol)
    return torch.cat([angle.cos(), angle.sin()], dim=1)
