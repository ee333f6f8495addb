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
    for number, (first, second) in enumerate(upper_triangle(len(gradient))):
        torch.sum(gradient[first] * gradient[second], dim=0, out=out[number])


def matrix_function(field: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
    """The field of matrices with the same eigenvectors and `function` of the (non-negative) eigenvalues."""
    if len(field) == 1:
        return function(field)
    if len(field) > 3:
        values, vectors = torch.linalg.eigh(_full(field))
        matrix = (vectors * function(values.clamp_(min=0.0))[..., None, :]) @ vectors.transpose(-1, -2)
        return torch.stack([matrix[..., first, second] for first, second in upper_triangle(matrix.shape[-1])])
    mean, half, split = _eigen(field)
    upper, lower = function(mean + split), function((mean - split).clamp_(min=0.0))
    middle, ratio = (upper + lower).mul_(0.5), (upper - lower).mul_(0.5).div_(split)
    return torch.stack(
        [torch.addcmul(middle, ratio, half), ratio * field[1], torch.addcmul(middle, ratio, half, value=-1)]
    )


def trace_of_function(field: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
    """The sum of `function` over the eigenvalues, at every voxel: (…)."""
    if len(field) == 1:
        return function(field[0])
    if len(field) > 3:
        return function(torch.linalg.eigvalsh(_full(field)).clamp_(min=0.0)).sum(dim=-1)
    mean, _, split = _eigen(field)
    return function(mean + split) + function((mean - split).clamp_(min=0.0))


def penalty(values: Tensor) -> Tensor:
    """The penalty of eigenvalues of S."""
    return (values + ROUNDING**2) ** (POWER / 2) / POWER


def quadratic_weight(values: Tensor) -> Tensor:
    """Twice the derivative of `penalty`: the weight of the squared gradient that majorises the penalty at `values`."""
    return (values + ROUNDING**2) ** (POWER / 2 - 1)


def binomial_smooth(field: Tensor, dim: int) -> None:
    """Smooth `field` along `dim` in place, with weights ¼ ½ ¼ and the edge replicated. Self-adjoint."""
    n = field.shape[dim]
    before = field.clone()
    field.mul_(0.5)
    field.narrow(dim, 0, n - 1).add_(before.narrow(dim, 1, n - 1), alpha=0.25)
    field.narrow(dim, 1, n - 1).add_(before.narrow(dim, 0, n - 1), alpha=0.25)
    for end in (0, n - 1):
        field.narrow(dim, end, 1).add_(before.narrow(dim, end, 1), alpha=0.25)


def _eigen(field: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of 2 × 2 matrices: half the trace, half the difference of the diagonal entries, half that of the eigenvalues."""
    mean, half = (field[0] + field[2]).mul_(0.5), (field[0] - field[2]).mul_(0.5)
    return mean, half, torch.hypot(half, field[1]).clamp_(min=_TINY)


def _full(field: Tensor) -> Tensor:
    count = int((2 * len(field)) ** 0.5)
    matrix = field.new_empty((*field.shape[1:], count, count))
    for entry, (first, second) in zip(field, upper_triangle(count), strict=True):
        matrix[..., first, second] = matrix[..., second, first] = entry
    return matrix
