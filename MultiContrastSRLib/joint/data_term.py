"""The data term of one scan, in torch: the separable operators of an `Observation` on any device."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from .observation import Observation


class DataTerm:
    """½ · weight · ‖Uᵀ(y − A u)‖² of one scan, for images u (n, n, n) in units of `scale`.

    Args:
        scan: the measurements; U and A are its operators.
        scale: intensity that is 1 in the images; of each slice (slices, 1, 1) or of all.
        weight: of the squares, as `scale`; (scale / noise)² for a term in units of the noise.
        like: a tensor of the device and data type to compute in.
    """

    def __init__(self, scan: Observation, scale: float | Tensor, weight: float | Tensor, like: Tensor) -> None:
        self.bases = [None if basis is None else as_tensor(basis, like) for basis in scan.bases]
        left = (None, None, None) if scan.measured is None else scan.left
        self.left = [None if basis is None else as_tensor(basis, like) for basis in left]
        self.gains = as_tensor(scan.gains, like)
        self.coefficients = as_tensor(scan.coefficients, like) / scale
        self.missing = None if scan.measured is None else torch.from_numpy(~scan.measured).to(like.device)
        self.weight = weight
        self._prox: tuple[float, Tensor, Tensor, Tensor] | None = None

    def residual(self, image: Tensor) -> Tensor:
        """Coefficients (r, r, r) of y − A `image`; 0 at samples that were not measured."""
        residual = torch.addcmul(self.coefficients, project(image, self.bases), self.gains, value=-1.0)
        if self.missing is not None:
            residual = project(expand(residual, self.left).masked_fill_(self.missing, 0.0), self.left)
        return residual

    def value(self, image: Tensor) -> float:
        """The term at `image`."""
        return 0.5 * float((self.weight * self.residual(image) ** 2).cpu().double().sum())

    def prox(self, image: Tensor, step: float) -> None:
        """The proximal operator, in place: the minimum of ‖· − image‖² / 2 + step × the term.

        Where samples are missing, the term is replaced by its quadratic majoriser at `image`.
        """
        if self._prox is None or self._prox[0] != step:
            gains = self.gains / (self.gains**2 + 1.0 / (step * self.weight))
            self._prox = step, gains, gains * self.coefficients, gains * self.gains
        _, gains, target, share = self._prox
        if self.missing is not None:
            expand(self.residual(image).mul_(gains), self.bases, onto=image)
        elif any(basis is not None for basis in self.bases):
            expand(torch.addcmul(target, project(image, self.bases), share, value=-1.0), self.bases, onto=image)
        else:
            image.lerp_(self.coefficients, gains)  # the same in one pass: all gains are 1

    def add_adjoint(self, dual: Tensor, step: float, image: Tensor) -> None:
        """Add −step · Aᵀ dual to `image`, in place."""
        expand(dual * self.gains, self.bases, onto=image, share=-step)


def as_tensor(array: np.ndarray | Tensor, like: Tensor) -> Tensor:
    """`array` on the device and in the data type of `like`; itself, or its memory, where these are its own."""
    return torch.as_tensor(np.ascontiguousarray(array) if isinstance(array, np.ndarray) else array).to(like)


def project(image: Tensor, bases: Sequence[Tensor | None]) -> Tensor:
    """The transposes of `bases`, one an axis (None: identity), applied: (n, n, n) → (r, r, r)."""
    over_k, over_j, over_i = bases
    if over_k is not None:
        image = (over_k.T @ image.reshape(image.shape[0], -1)).reshape(-1, *image.shape[1:])
    if _columns_shrink_more(over_j, over_i):
        return over_j.T @ (image @ over_i)
    if over_j is not None:
        image = over_j.T @ image
    return image if over_i is None else image @ over_i


def expand(
    coefficients: Tensor, bases: Sequence[Tensor | None], onto: Tensor | None = None, share: float = 1.0
) -> Tensor:
    """`bases` applied, (r, r, r) → (n, n, n); a `share` of it is added to `onto`, in place, if given."""
    over_k, over_j, over_i = bases
    if _columns_shrink_more(over_j, over_i):
        coefficients, over_j = over_j @ coefficients, None
    elif over_i is not None and over_j is not None:
        coefficients, over_i = coefficients @ over_i.T, None
    if over_k is None and onto is not None:  # the last product and the sum in one pass
        if over_i is not None:
            return onto.baddbmm_(coefficients, over_i.T.expand(len(onto), *over_i.T.shape), alpha=share)
        if over_j is not None:
            return onto.baddbmm_(over_j.expand(len(onto), *over_j.shape), coefficients, alpha=share)
    if over_i is not None:
        coefficients = coefficients @ over_i.T
    if over_j is not None:
        coefficients = over_j @ coefficients
    if over_k is not None:
        flat = coefficients.reshape(coefficients.shape[0], -1)
        if onto is not None:
            onto.view(onto.shape[0], -1).addmm_(over_k, flat, alpha=share)
            return onto
        coefficients = (over_k @ flat).reshape(-1, *coefficients.shape[1:])
    return coefficients if onto is None else onto.add_(coefficients, alpha=share)


def _columns_shrink_more(over_j: Tensor | None, over_i: Tensor | None) -> bool:
    """Whether columns are to be projected before rows, and expanded after them: then there is less to multiply."""
    if over_j is None or over_i is None:
        return False
    return over_i.shape[1] * over_j.shape[0] < over_j.shape[1] * over_i.shape[0]
