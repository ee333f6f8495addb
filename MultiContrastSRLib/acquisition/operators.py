"""The matrices of an acquisition, applied along the axes of numpy volumes and of torch tensors on any device."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Literal, cast

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
    if operator == "forward":
        even = [axis.nyquist(n) is not None for axis, n in zip(axes, fine, strict=True)]
        if sum(even) > 1:
            return _acquired(axes, array, fine, even, monitor)
    matrices = [matrix_like(array, _matrix, axis, operator, n) for axis, n in zip(axes, fine, strict=True)]
    return apply_separable(array, matrices, monitor=monitor)


def _acquired(
    axes: Sequence[AxisModel], array: Array, fine: Sequence[int], even: Sequence[bool], monitor: Monitor | None
) -> Array:
    """The operator "forward" where several axes are `even`: less the products of the imaginary parts of two axes each.

    A further row of the matrix of an even axis gives its lone Nyquist frequency, so that all is done in one go.
    """
    matrices = [
        matrix_like(array, _with_nyquist if is_even else _matrix, axis, "forward", n)
        for axis, n, is_even in zip(axes, fine, even, strict=True)
    ]
    found = apply_separable(array, matrices, monitor=monitor)
    inside = [slice(axis.samples if is_even else None) for axis, is_even in zip(axes, even, strict=True)]
    result = _last_axes(found, inside)
    for pair in combinations([number for number, is_even in enumerate(even) if is_even], 2):
        corner = _last_axes(found, [slice(-1, None) if n in pair else part for n, part in enumerate(inside)])
        signs = constant_like(array, _nyquist_signs, tuple(axes), tuple(fine), pair)
        result = result - signs * corner
    return result


def _last_axes(array: Array, parts: Sequence[slice]) -> Array:
    """A part of `array`, given for its last axes."""
    return array[tuple([slice(None)] * (array.ndim - len(parts)) + list(parts))]


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


def constant_like(array: Array, make: Callable[..., np.ndarray], *arguments: Hashable) -> Array:
    """`matrix_like` for any array that is not None."""
    return cast(Array, matrix_like(array, make, *arguments))


def _matrix(axis: AxisModel, operator: Operator, fine: int) -> np.ndarray | None:
    return axis.weight() if operator == "weight" else getattr(axis, operator)(fine)


def _with_nyquist(axis: AxisModel, operator: Operator, fine: int) -> np.ndarray:
    return np.concatenate([cast(np.ndarray, _matrix(axis, operator, fine)), _nyquist(axis, fine)[1]])


def _nyquist(axis: AxisModel, fine: int) -> tuple[np.ndarray, np.ndarray]:
    """See `AxisModel.nyquist`, of an even axis."""
    return cast(tuple[np.ndarray, np.ndarray], axis.nyquist(fine))


def _nyquist_signs(axes: tuple[AxisModel, ...], fine: tuple[int, ...], pair: tuple[int, int]) -> np.ndarray:
    """What the Nyquist frequencies of a pair of axes are multiplied by, with a length of 1 along the other axes."""
    signs = np.ones((1,) * len(axes), np.float32)
    for number in pair:
        column = _nyquist(axes[number], fine[number])[0]
        signs = signs * column.reshape([-1 if axis == number else 1 for axis in range(len(axes))])
    return signs


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
