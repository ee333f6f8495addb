"""The coupling of the contrasts' gradients: a penalty on the structure tensor over contrasts.

At every voxel the scalar products of the contrasts' gradients, averaged over the neighbours with binomial weights, make
a symmetric matrix S (contrasts × contrasts). Where the edges of all contrasts coincide in place and direction, S has
one eigenvalue above zero; a sum of powers of its eigenvalues is therefore small for images that share their edges
(nuclear-norm total variation: Holt 2014; structure-tensor total variation: Lefkimmiatis, Roussos, Maragos, Unser 2015).

A field of such matrices is a tensor (entries, …) of the upper triangle's entries, in the order of `upper_triangle`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

POWER = 0.5  # of the gradients: 1 is total variation (convex), less penalises strong edges less
ROUNDING = 0.04  # the penalty is quadratic below this fraction of a contrast's gradient size
_TINY = 1e-12


def upper_triangle(count: int) -> list[tuple[int, int]]:
    """(row, column) of the upper triangle's entries of a `count` × `count` matrix, row by row."""
    return [(first, second) for first in range(count) for second in range(first, count)]


def gradient_products(gradient: Tensor, out: Tensor) -> None:
    """`out` (entries, …) = scalar products of the contrasts' gradients (contrasts, axes, …)."""
    for entry, (first, second) in zip(out, upper_triangle(len(gradient)), strict=True):
        torch.mul(gradient[first, 0], gradient[second, 0], out=entry)
        for axis in range(1, gradient.shape[1]):
            entry.addcmul_(gradient[first, axis], gradient[second, axis])


def apply_matrix_function(field: Tensor, function: Callable[[Tensor], Tensor]) -> None:
    """Apply `function` to the (non-negative) eigenvalues of a field of matrices, in place; eigenvectors stay.

    `function` may change its argument.
    """
    if len(field) == 1:
        field.copy_(function(field))
        return
    if len(field) > 3:
        values, vectors = torch.linalg.eigh(_full(field))
        matrix = (vectors * function(values.clamp_(min=0.0))[..., None, :]) @ vectors.transpose(-1, -2)
        for entry, (first, second) in zip(field, upper_triangle(matrix.shape[-1]), strict=True):
            entry.copy_(matrix[..., first, second])
        return
    mean, half, split = _eigen(field)
    upper, lower = function(_eigenvalues(mean, split))
    ratio, middle = torch.sub(upper, lower).div_(split.mul_(2.0)), lower.lerp_(upper, 0.5)
    torch.addcmul(middle, ratio, half, out=field[0])
    field[1].mul_(ratio)
    torch.addcmul(middle, ratio, half, value=-1, out=field[2])


def trace_of_function(field: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
    """The sum of `function` over the eigenvalues, at every voxel: (…)."""
    if len(field) == 1:
        return function(field[0])
    if len(field) > 3:
        return function(torch.linalg.eigvalsh(_full(field)).clamp_(min=0.0)).sum(dim=-1)
    mean, _, split = _eigen(field)
    return function(_eigenvalues(mean, split)).sum(0)


def penalty(values: Tensor) -> Tensor:
    """The penalty of eigenvalues of S."""
    return (values + ROUNDING**2) ** (POWER / 2) / POWER


def quadratic_weight(values: Tensor) -> Tensor:
    """Twice the derivative of `penalty`: the weight of the squared gradient that majorises the penalty at `values`."""
    root = (values + ROUNDING**2).rsqrt_()
    return root.sqrt().mul_(root)  # the power POWER / 2 - 1 = -3/4, faster than `pow`


def binomial_smooth(field: Tensor, dim: int) -> None:
    """Smooth `field` along `dim` in place, with weights ¼ ½ ¼ and the edge replicated. Self-adjoint."""
    n = field.shape[dim]
    if n == 1:
        return
    # means of neighbours twice
    between = torch.lerp(field.narrow(dim, 0, n - 1), field.narrow(dim, 1, n - 1), 0.5)
    torch.lerp(between.narrow(dim, 0, n - 2), between.narrow(dim, 1, n - 2), 0.5, out=field.narrow(dim, 1, n - 2))
    ends, nearest = ([slice(None)] * field.ndim for _ in range(2))
    ends[dim], nearest[dim] = slice(None, None, n - 1), slice(None, None, max(1, n - 2))
    field[tuple(ends)].lerp_(between[tuple(nearest)], 0.5)


def _eigen(field: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of 2 × 2 matrices: half the trace, half the difference of the diagonal entries, half that of the eigenvalues."""
    mean, half = (field[0] + field[2]).mul_(0.5), (field[0] - field[2]).mul_(0.5)
    return mean, half, torch.addcmul(half * half, field[1], field[1]).sqrt_().clamp_(min=_TINY)


def _eigenvalues(mean: Tensor, split: Tensor) -> Tensor:
    """The larger and the smaller eigenvalues (2, …)."""
    values = mean.new_empty((2, *mean.shape))
    torch.add(mean, split, out=values[0])
    torch.sub(mean, split, out=values[1])
    return values.clamp_(min=0.0)


def _full(field: Tensor) -> Tensor:
    count = int((2 * len(field)) ** 0.5)
    matrix = field.new_empty((*field.shape[1:], count, count))
    for entry, (first, second) in zip(field, upper_triangle(count), strict=True):
        matrix[..., first, second] = matrix[..., second, first] = entry
    return matrix
