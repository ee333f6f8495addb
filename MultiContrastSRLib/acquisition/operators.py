"""The matrices of an acquisition, applied along the axes of numpy volumes and of torch tensors on any device."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Literal

import numpy as np

from ..core.cache import bytes_bounded_cache
from ..core.progress import Monitor
from ..image.sampling import Array, apply_separable
from .axis import AxisModel

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Operator = Literal["forward", "interpolate", "spread", "zero_fill", "linear", "weight"]
_CACHE_BYTES = 256 << 20  # of matrices, some 100 kB each: training meets the same sizes again


def apply_operator(
    axes: Sequence[AxisModel],
    operator: Operator,
    array: Array,
    fine: Sequence[int],
    monitor: Monitor | None = None,
) -> Array:
    """One of the matrices of `AxisModel` along each axis of an image.

    "forward" is the real part of the centred k-space crop. Where several sizes are even, this is not the product of the
    real parts along the axes: at a corner of k-space, the lone Nyquist frequencies of two axes have one coefficient, of
    exp(i(θ₁ + θ₂)), whose real part is cos θ₁ cos θ₂ − sin θ₁ sin θ₂. "spread" is a right inverse of it as it is.

    Args:
        axes: models of the last axes of `array`.
        operator: name of the method of `AxisModel` that gives the matrix.
        array: numpy [k, j, i], or a tensor (…, rows, columns).
        fine: lattice samples along `axes`.

    Returns:
        An array of the type of `array`; for numpy always a new one.
    """
    matrices = [matrix_like(array, _matrix, axis, operator, n) for axis, n in zip(axes, fine, strict=True)]
    result = apply_separable(array, matrices, monitor=monitor)
    return _without_corners(result, axes, array, fine, matrices) if operator == "forward" else result


def _without_corners(
    result: Array, axes: Sequence[AxisModel], array: Array, fine: Sequence[int], matrices: Sequence[Array | None]
) -> Array:
    """`result` less the products of the imaginary parts of two axes each, with the `matrices` of the other axes."""
    even = [number for number, (axis, n) in enumerate(zip(axes, fine, strict=True)) if axis.nyquist(n) is not None]
    for pair in combinations(even, 2):
        left, right = list(matrices), list[Array | None]([None] * len(axes))
        for number in pair:
            left[number] = matrix_like(array, _nyquist, axes[number], fine[number], 0)
            right[number] = matrix_like(array, _nyquist, axes[number], fine[number], 1)
        result = result - apply_separable(apply_separable(array, right), left)
    return result


def weigh(axes: Sequence[AxisModel], acquired: Array, monitor: Monitor | None = None) -> Array:
    """`acquired`, as `array` of `apply_operator`, without frequencies outside the measured part of its spectrum.

    Returns:
        `acquired` itself where all of its spectrum was measured.
    """
    if all(axis.weight() is None for axis in axes):
        return acquired
    return apply_operator(axes, "weight", acquired, [axis.samples for axis in axes], monitor)


def matrix_like(array: Array, make: Callable[..., np.ndarray | None], *arguments: Hashable) -> Array | None:
    """The matrix `make(*arguments)` for products with `array`; for a tensor on its device and in its type, cached.

    Args:
        make: returns a matrix, or None for the identity; for equal arguments always the same.
    """
    if isinstance(array, np.ndarray):
        return make(*arguments)
    return _tensor(make, arguments, array.device, array.dtype)


def _matrix(axis: AxisModel, operator: Operator, fine: int) -> np.ndarray | None:
    return axis.weight() if operator == "weight" else getattr(axis, operator)(fine)


def _nyquist(axis: AxisModel, fine: int, factor: int) -> np.ndarray | None:
    factors = axis.nyquist(fine)
    return None if factors is None else factors[factor]


@bytes_bounded_cache(_CACHE_BYTES)
def _tensor(
    make: Callable[..., np.ndarray | None], arguments: tuple[Hashable, ...], device: torch.device, dtype: torch.dtype
) -> Tensor | None:
    import torch

    matrix = make(*arguments)
    if matrix is None:
        return None
    with torch.inference_mode(False):  # the cached tensor may be needed for gradients later
        return torch.from_numpy(matrix).to(dtype, copy=True).to(device)  # some devices have no float64
