"""How well an image explains one scan, in torch: the separable operators of an `Observation` on any device."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from .observation import Observation


class DataTerm:
    """½ · trust · ‖Uᵀ(y − A u)‖² of one scan, for images u (n, n, n) in units of `scale`.

    Args:
        trust: weight of the squares; (scale / noise)² for a term in units of the noise.
        like: a tensor of the device and type to compute in.
    """

    def __init__(self, scan: Observation, scale: float, trust: float, like: Tensor) -> None:
        self.bases = [None if basis is None else torch.from_numpy(basis).to(like) for basis in scan.bases]
        self.left = [None if basis is None else torch.from_numpy(basis).to(like) for basis in scan.left]
        self.gains = torch.from_numpy(scan.gains).to(like)
        self.coefficients = torch.from_numpy(np.ascontiguousarray(scan.coefficients)).to(like) / scale
        self.missing = None if scan.known is None else torch.from_numpy(~scan.known).to(like.device)
        self.trust = trust

    def residual(self, image: Tensor) -> Tensor:
        """Coefficients of what `image` does not explain. Samples that were not measured count as explained."""
        rest = project(image, self.bases).mul_(-1.0) if any(b is not None for b in self.bases) else -image
        rest = rest.mul_(self.gains).add_(self.coefficients)
        if self.missing is not None:
            rest = project(expand(rest, self.left).masked_fill_(self.missing, 0.0), self.left)
        return rest

    def value(self, image: Tensor) -> float:
        """The term itself."""
        return 0.5 * self.trust * float((self.residual(image).double() ** 2).sum())

    def prox(self, image: Tensor, step: float) -> None:
        """Move `image`, in place, to the minimum of ‖· − image‖² / 2 + step × the term.

        With samples missing it is the minimum of a bound that touches the term at `image`.
        """
        rest = self.residual(image).mul_(self.gains / (self.gains**2 + 1.0 / (step * self.trust)))
        expand(rest, self.bases, onto=image)

    def pull(self, dual: Tensor, step: float, image: Tensor) -> None:
        """Add −step · Aᵀ dual to `image`, in place."""
        expand(dual * self.gains * -step, self.bases, onto=image)


def project(image: Tensor, bases: Sequence[Tensor | None]) -> Tensor:
    """The transposes of `bases`, one an axis (None: identity), applied: (n, n, n) → (r, r, r)."""
    over_k, over_j, over_i = bases
    if over_k is not None:
        image = (over_k.T @ image.reshape(image.shape[0], -1)).reshape(-1, *image.shape[1:])
    if over_j is not None:
        image = over_j.T @ image
    return image if over_i is None else image @ over_i


def expand(coefficients: Tensor, bases: Sequence[Tensor | None], onto: Tensor | None = None) -> Tensor:
    """`bases` applied, (r, r, r) → (n, n, n); added to `onto`, in place, if given."""
    over_k, over_j, over_i = bases
    if over_i is not None:
        coefficients = coefficients @ over_i.T
    if over_j is not None:
        coefficients = over_j @ coefficients
    if over_k is not None:
        flat = coefficients.reshape(coefficients.shape[0], -1)
        if onto is not None:
            onto.view(onto.shape[0], -1).addmm_(over_k, flat)
            return onto
        coefficients = (over_k @ flat).reshape(-1, *coefficients.shape[1:])
    return coefficients if onto is None else onto.add_(coefficients)
