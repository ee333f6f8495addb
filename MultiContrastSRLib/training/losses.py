"""Losses of the papers, as terms of one sum."""

from __future__ import annotations

import torch
from torch import Tensor

from .recipe import Loss
from .synthetic import blurred

_LESION = 1.0  # pixels, standard deviation of the blur that leaks are seen through
_LITTLE = 1e-4  # energy of a window with next to nothing planted, which would rule the mean


def kspace_loss(
    image: Tensor, truth: Tensor, measured: tuple[int, int], norm: str = "l1", band: str = "lost"
) -> Tensor:
    """Dual-ArbNet's K-loss (Eq. 5): distance of spectra where the target holds nothing.

    Args:
        image, truth: (B, C, H, W). measured: (h, w) of the target; the central h×w frequencies were measured.
        norm: "l1" mean modulus of the difference (the authors' code); "l2" root of the mean square (paper).
        band: "lost" leaves the measured frequencies out (code, and the purpose); "measured" the others (Eq. 5's mask).

    The mean runs over all H·W frequencies, of which those outside the band count as 0. Transforms are orthonormal.
    """
    difference = torch.fft.fftshift(torch.fft.fft2((image - truth).float(), norm="ortho"), dim=(-2, -1))
    shape = image.shape[-2:]
    inside = torch.zeros(shape, dtype=torch.bool, device=image.device)
    # frequency zero of n shifted samples is at n//2, and m//2 in the crop
    top, left = (n // 2 - m // 2 for n, m in zip(shape, measured, strict=True))
    inside[top : top + measured[0], left : left + measured[1]] = True
    difference = difference.masked_fill(inside if band == "lost" else ~inside, 0)
    if norm == "l1":
        return difference.abs().mean()
    return torch.linalg.vector_norm(difference, dim=(-3, -2, -1)).mean() / (image[0].numel() ** 0.5)


def l1(image: Tensor, truth: Tensor) -> Tensor:
    """Mean absolute difference."""
    return (image.float() - truth.float()).abs().mean()


def leak_loss(image: Tensor, reference: Tensor) -> Tensor:
    """Energy with which structures that only the reference has appear, relative to theirs in the reference.

    Both are blurred to the size of a small lesion, so that what counts is whether it is seen there, not each edge.

    Args:
        image, reference: (2·B, 1, H, W), the second half with structures planted in the reference; the image's first
            half is taken as it is: that of an untouched reference is not to come closer to the other.
    """
    without, leaking = image.float().chunk(2)
    before, after = reference.chunk(2)
    appears, planted = (blurred(x, _LESION).square().mean((-3, -2, -1))
                        for x in (leaking - without.detach(), after - before))  # fmt: skip
    return (appears / (planted + _LITTLE)).mean()


def total_loss(
    wanted: Loss,
    image: Tensor,
    truth: Tensor,
    measured: tuple[int, int],
    mirrored: Tensor | None = None,
    reference: Tensor | None = None,
) -> tuple[Tensor, dict[str, float | Tensor]]:
    """(the sum to minimise, its terms unweighted).

    Args:
        mirrored: the network's reconstruction of `reference`, for the auxiliary term of DINet and MINet
            (DINet: 0.7 · target + 0.3 · reference; MINet the same by default, its paper 0.3 and 0.7).
    """
    terms = {"target": l1(image, truth)}
    total = wanted.target * terms["target"]
    if wanted.square:
        terms["square"] = (image.float() - truth.float()).square().mean()
        total = total + wanted.square * terms["square"]
    if wanted.reference and mirrored is not None and reference is not None:
        terms["reference"] = l1(mirrored, reference)
        total = total + wanted.reference * terms["reference"]
    if wanted.kspace:
        terms["kspace"] = kspace_loss(image, truth, measured, wanted.norm, wanted.band)
        total = total + wanted.kspace * terms["kspace"]
    return total, {name: term.detach() for name, term in terms.items()}
