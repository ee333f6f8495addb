"""The losses of the papers, and a penalty on leakage from the reference, as terms of one sum."""

from __future__ import annotations

import torch
from torch import Tensor

from .data.blur import gaussian_blur
from .recipe import Loss

_LESION_SIGMA = 1.0  # pixels
_MIN_ERROR = 1e-5  # of the base image, squared: where it is nearly exact there is nothing to learn
_MIN_ENERGY = 1e-4  # of inserted structures: a patch with next to none of them would dominate the mean


def kspace_loss(
    image: Tensor, truth: Tensor, measured: tuple[int, int], norm: str = "l1", band: str = "lost"
) -> Tensor:
    """Dual-ArbNet's K-loss (Zhang et al., MICCAI 2023, Eq. 5): distance in k-space where the target was not measured.

    Two channels are the real and imaginary part of one complex image, as in the authors' code. A single channel is a
    magnitude image. The mean is taken over all H·W frequencies, of which those outside the band count as 0; the
    transforms are orthonormal.

    Args:
        image, truth: (B, 1, H, W) or (B, 2, H, W).
        measured: (h, w) of the target; the central h×w frequencies were measured.
        norm: "l1", the mean modulus of the difference (the authors' code); "l2", the root of its mean square (paper).
        band: "lost" leaves out the measured frequencies (the code, and the purpose); "measured" leaves out the others
            (the mask of Eq. 5).
    """
    difference = (image - truth).float()
    if difference.shape[1] == 2:
        difference = torch.complex(difference[:, :1], difference[:, 1:])
    spectrum = torch.fft.fftshift(torch.fft.fft2(difference, norm="ortho"), dim=(-2, -1))
    shape = image.shape[-2:]
    inside = torch.zeros(shape, dtype=torch.bool, device=image.device)
    # frequency zero of n shifted samples is at n//2, and at m//2 in the central m
    top, left = (n // 2 - m // 2 for n, m in zip(shape, measured, strict=True))
    inside[top : top + measured[0], left : left + measured[1]] = True
    spectrum = spectrum.masked_fill(inside if band == "lost" else ~inside, 0)
    if norm == "l1":
        return spectrum.abs().mean()
    return torch.linalg.vector_norm(spectrum, dim=(-3, -2, -1)).mean() / (spectrum[0].numel() ** 0.5)


def l1(image: Tensor, truth: Tensor) -> Tensor:
    """Mean absolute difference."""
    return (image.float() - truth.float()).abs().mean()


def relative_error(image: Tensor, truth: Tensor, base: Tensor) -> Tensor:
    """The mean over the examples (B, C, H, W) of the squared error, relative to that of the base image.

    Its logarithm is the gain in PSNR. Absolute errors at x6 are nine times as large as at x2 and would outweigh them.
    """
    error, least = ((x.float() - truth.float()).square().mean((1, 2, 3)) for x in (image, base))
    return (error / (least + _MIN_ERROR)).mean()


def leakage_loss(image: Tensor, reference: Tensor) -> Tensor:
    """Energy of structures in the image that only the reference has, relative to their energy in the reference.

    Both are blurred to the size of a small lesion, so that it counts whether a lesion appears, and not each of its
    edges. No gradient flows into the first half of the image.

    Args:
        image, reference: (2·B, 1, H, W); the second half has structures inserted in the reference.
    """
    without, leaking = image.float().chunk(2)
    before, after = reference.chunk(2)
    appearing, inserted = (gaussian_blur(x, _LESION_SIGMA).square().mean((-3, -2, -1))
                           for x in (leaking - without.detach(), after - before))  # fmt: skip
    return (appearing / (inserted + _MIN_ENERGY)).mean()


def total_loss(
    settings: Loss,
    image: Tensor,
    truth: Tensor,
    measured: tuple[int, int],
    reconstruction: Tensor | None = None,
    reference: Tensor | None = None,
    base: Tensor | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """The weighted sum to minimise, and its unweighted terms by name.

    Args:
        image, truth: (B, C, H, W).
        measured: (h, w) of the target.
        reconstruction: the network's reconstruction of `reference`, for the auxiliary term of DINet and MINet
            (DINet: 0.7 · target + 0.3 · reference; MINet the same by default, in its paper 0.3 and 0.7).
    """
    terms = {"target": l1(image, truth)}
    total = settings.target * terms["target"]
    if settings.mse:
        terms["mse"] = (image.float() - truth.float()).square().mean()
        total = total + settings.mse * terms["mse"]
    if settings.relative and base is not None:
        terms["relative"] = relative_error(image, truth, base)
        total = total + settings.relative * terms["relative"]
    if settings.reference and reconstruction is not None and reference is not None:
        terms["reference"] = l1(reconstruction, reference)
        total = total + settings.reference * terms["reference"]
    if settings.kspace:
        terms["kspace"] = kspace_loss(image, truth, measured, settings.kspace_norm, settings.kspace_band)
        total = total + settings.kspace * terms["kspace"]
    return total, {name: term.detach() for name, term in terms.items()}
