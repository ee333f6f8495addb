"""How the gradients of several contrasts are bound to each other: fields of small symmetric matrices.

At every voxel the products of the contrasts' gradients, averaged over the neighbours with binomial weights, make a
matrix S. Where edges of all contrasts lie together and point the same way, S has one eigenvalue above zero; so a sum
of powers of its eigenvalues is small for images that share their edges (nuclear-norm total variation: Holt 2014;
structure-tensor total variation: Lefkimmiatis, Roussos, Maragos, Unser 2015).

Fields are tensors (pairs, …) with the upper triangle's entries, in the order of `pairs`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

POWER = 0.5  # of the gradients: 1 is total variation (convex), less keeps strong edges cheaper still
ROUNDING = 0.04  # gradients below this part of a contrast's own are smoothed alike
_TINY = 1e-12


def pairs(count: int) -> list[tuple[int, int]]:
    """The upper triangle of a `count` × `count` matrix, row by row."""
    return [(first, second) for first in range(count) for second in range(first, count)]


def products(gradient: Tensor, out: Tensor) -> None:
    """`out` (pairs, …) = products of the contrasts' gradients (contrasts, axes, …), summed over the axes."""
    for number, (first, second) in enumerate(pairs(len(gradient))):
        torch.sum(gradient[first] * gradient[second], dim=0, out=out[number])


def spectral(field: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
    """`function` of the eigenvalues of every matrix (positive semidefinite), as a field."""
    if len(field) == 1:
        return function(field)
    if len(field) > 3:
        values, vectors = torch.linalg.eigh(_full(field))
        matrix = (vectors * function(values.clamp_(min=0.0))[..., None, :]) @ vectors.transpose(-1, -2)
        return torch.stack([matrix[..., first, second] for first, second in pairs(matrix.shape[-1])])
    mean, half, split = _eigen(field)
    upper, lower = function(mean + split), function((mean - split).clamp_(min=0.0))
    middle, turn = (upper + lower).mul_(0.5), (upper - lower).mul_(0.5).div_(split)
    return torch.stack(
        [torch.addcmul(middle, turn, half), turn * field[1], torch.addcmul(middle, turn, half, value=-1)]
    )


def trace(field: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
    """Sum over the eigenvalues of `function` of them, at every voxel."""
    if len(field) == 1:
        return function(field[0])
    if len(field) > 3:
        return function(torch.linalg.eigvalsh(_full(field)).clamp_(min=0.0)).sum(dim=-1)
    mean, _, split = _eigen(field)
    return function(mean + split) + function((mean - split).clamp_(min=0.0))


def penalty(values: Tensor) -> Tensor:
    """What an eigenvalue of S costs."""
    return (values + ROUNDING**2) ** (POWER / 2) / POWER


def slope(values: Tensor) -> Tensor:
    """Twice the derivative of `penalty`: the weight of a squared gradient that touches it from above."""
    return (values + ROUNDING**2) ** (POWER / 2 - 1)


def smooth(field: Tensor, dim: int) -> None:
    """Average with the neighbours along `dim`, in place; weights ¼ ½ ¼, the edge repeated. Self-adjoint."""
    n = field.shape[dim]
    before = field.clone()
    field.mul_(0.5)
    field.narrow(dim, 0, n - 1).add_(before.narrow(dim, 1, n - 1), alpha=0.25)
    field.narrow(dim, 1, n - 1).add_(before.narrow(dim, 0, n - 1), alpha=0.25)
    for end in (0, n - 1):
        field.narrow(dim, end, 1).add_(before.narrow(dim, end, 1), alpha=0.25)


def _eigen(field: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of 2 × 2 matrices: half the trace, half the difference of the diagonal, half that of the eigenvalues."""
    mean, half = (field[0] + field[2]).mul_(0.5), (field[0] - field[2]).mul_(0.5)
    return mean, half, torch.hypot(half, field[1]).clamp_(min=_TINY)


def _full(field: Tensor) -> Tensor:
    count = int((2 * len(field)) ** 0.5)
    matrix = field.new_empty((*field.shape[1:], count, count))
    for entry, (first, second) in zip(field, pairs(count), strict=True):
        matrix[..., first, second] = matrix[..., second, first] = entry
    return matrix
