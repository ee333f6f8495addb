"""Random augmentation of a pair of slices.

Every function takes its randomness from a numpy generator and works on tensors of any device. A pair (2, H, W) holds
target and reference, with intensities in about 0…1.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...acquisition.slices import SliceAcquisition
from ..recipe import Augmentation
from .blur import gaussian_blur
from .random_fields import bias_fields, random_region, smooth_fields

_FADE = 8  # pixels over which a cropped slice fades out: a step at the border would ring through the whole slice
_MAX_ROTATION = 1.0  # degrees, of a misregistration
_LOCAL_SHIFT_POINTS = 6  # of a field of local displacements, along each axis
_TISSUE = 0.1  # intensity above which a pixel is tissue
_LESION_BLUR = 0.6  # pixels
_LESION_COUNT = (1, 6)
_LESION_AXES = (1.2, 9.0)  # half axes in pixels, log-uniform
_LESION_STRENGTH = (0.1, 0.6)  # of the intensity range
_LESION_SHARES = {"target": 0.3, "reference": 0.5, "both": 0.2}  # images that show the lesions
# Leakage of large or bright structures is easily learned and would outweigh that of small, faint ones.
_REFERENCE_LESION_COUNT = 40
_REFERENCE_LESION_AXES = (1.2, 3.0)
_REFERENCE_LESION_STRENGTH = (0.1, 0.35)
_LEAST_SIDE = 16  # pixels of a slice that is made coarser


def pad_or_crop(
    images: Tensor, shape: tuple[int, int], rng: np.random.Generator | None = None, *, fade: bool = True
) -> Tensor:
    """`images` (…, h, w) padded with zeros or cropped to (…, *shape).

    Args:
        rng: draws the position; None centres.
        fade: cropped borders fade out; otherwise they are cut, as in a scan of a part of the body.
    """
    for dim, size in ((-2, shape[0]), (-1, shape[1])):
        extra = size - images.shape[dim]
        if extra >= 0:
            before = extra // 2 if rng is None else int(rng.integers(extra + 1))
            pad = [before, extra - before]
            images = F.pad(images, pad if dim == -1 else [0, 0, *pad])
        else:
            start = -extra // 2 if rng is None else int(rng.integers(-extra + 1))
            images = images.narrow(dim, start, size)
            if not fade:
                continue
            window = _fade_window(size).to(images)
            images = images * (window if dim == -1 else window[:, None])
    return images


def _fade_window(size: int) -> Tensor:
    distance = torch.arange(size).minimum(torch.arange(size).flip(0)) + 0.5
    return 0.5 - 0.5 * torch.cos(torch.pi * (distance / _FADE).clamp(max=1))


def insert_lesions(pair: Tensor, rng: np.random.Generator) -> Tensor:
    """The pair (2, H, W) with soft ellipses in tissue: in the target, the reference, or both with unequal contrast."""
    tissue = (pair > _TISSUE).all(dim=0)
    image = rng.choice(list(_LESION_SHARES), p=list(_LESION_SHARES.values()))
    visible = [image in ("both", name) for name in ("target", "reference")]
    count = int(rng.integers(*_LESION_COUNT))
    return _add_in_tissue(pair, tissue, _ellipses(tissue, count, _LESION_AXES, _LESION_STRENGTH, visible, rng))


def insert_reference_lesions(pair: Tensor, rng: np.random.Generator) -> Tensor:
    """The pair (2, H, W) with many small soft ellipses in the tissue of the reference only."""
    tissue = (pair > _TISSUE).all(dim=0)
    lesions = _ellipses(
        tissue, _REFERENCE_LESION_COUNT, _REFERENCE_LESION_AXES, _REFERENCE_LESION_STRENGTH, [False, True], rng
    )
    return _add_in_tissue(pair, tissue, lesions)


def _ellipses(
    tissue: Tensor,
    count: int,
    axes: tuple[float, float],
    strengths: tuple[float, float],
    visible: list[bool],
    rng: np.random.Generator,
) -> Tensor:
    """Ellipses (2, H, W) at random places of `tissue` (H, W), in the images that are `visible`.

    Each ellipse has another strength and sign in each image.
    """
    added = torch.zeros(2, *tissue.shape, device=tissue.device)
    places = tissue.nonzero()
    rows, cols = (torch.arange(n, device=tissue.device, dtype=added.dtype) for n in tissue.shape)
    for _ in range(count if len(places) else 0):
        r, c = places[int(rng.integers(len(places)))].tolist()
        a, b = np.exp(rng.uniform(*np.log(axes), 2))
        angle = rng.uniform(0, np.pi)
        y, x = (rows - r)[:, None], (cols - c)[None]
        u, v = np.cos(angle) * y + np.sin(angle) * x, -np.sin(angle) * y + np.cos(angle) * x
        mask = ((1 - (u / a) ** 2 - (v / b) ** 2) * 2).clamp(0, 1)
        for image in range(2):
            strength = rng.uniform(*strengths) * rng.choice((-1, 1))
            if visible[image]:
                added[image] = torch.where(mask > 0, strength * mask, added[image])
    return added


def _add_in_tissue(pair: Tensor, tissue: Tensor, lesions: Tensor) -> Tensor:
    return torch.where(tissue, (pair + gaussian_blur(lesions, _LESION_BLUR)).clamp(min=0), pair)


def misregister(image: Tensor, max_shift: float, rng: np.random.Generator) -> Tensor:
    """`image` (H, W) shifted by up to `max_shift` pixels in a random direction and slightly rotated, bicubic."""
    distance, direction = max_shift * np.sqrt(rng.random()), rng.uniform(0, 2 * np.pi)
    angle = np.deg2rad(rng.uniform(-_MAX_ROTATION, _MAX_ROTATION)) * min(1.0, max_shift)
    h, w = image.shape
    c, s = np.cos(angle), np.sin(angle)
    # the axes of grid_sample are x, y, from −1 to 1 between the outer edges
    right, down = distance * np.cos(direction), distance * np.sin(direction)
    theta = [[c, -s * h / w, 2 * right / w], [s * w / h, c, 2 * down / h]]
    matrix = torch.tensor([theta], dtype=image.dtype, device=image.device)
    grid = F.affine_grid(matrix, [1, 1, h, w], align_corners=False)
    return F.grid_sample(image[None, None], grid, mode="bicubic", align_corners=False)[0, 0]


def random_intensity_curve(image: Tensor, rng: np.random.Generator) -> Tensor:
    """`image` with its intensities mapped by a random monotone curve: a power and a sine of limited slope."""
    high = image.max().clamp(min=1e-6)
    x = (image / high).clamp(0, 1)
    x = x ** float(np.exp(rng.uniform(-0.7, 0.7)))
    bend = rng.uniform(-0.8, 0.8)
    return high * (x + bend / (2 * np.pi) * torch.sin(2 * np.pi * x))


def invert_intensities(image: Tensor, rng: np.random.Generator) -> Tensor:
    """`image` with bright and dark exchanged; air stays dark in 70 % of the draws."""
    high = image.max()
    inverted = (high - image).clamp(min=0)
    return inverted * (image > 0.03 * high) if rng.random() < 0.7 else inverted


def coarsened(pair: Tensor, factor: float) -> Tensor:
    """The pair (2, h, w) at pixels that are `factor` times as large, by a centred crop of k-space."""
    shape = tuple(pair.shape[-2:])
    rows, columns = (min(factor, n / _LEAST_SIDE) for n in shape)
    return SliceAcquisition.of(shape, (rows, columns)).forward(pair)


def deform(image: Tensor, max_shift: float, rng: np.random.Generator) -> Tensor:
    """`image` (H, W) with smooth local displacements of up to `max_shift` pixels, bicubic."""
    h, w = image.shape
    coarse = rng.uniform(-max_shift, max_shift, (2, _LOCAL_SHIFT_POINTS, _LOCAL_SHIFT_POINTS))
    right, down = smooth_fields(coarse, (h, w), image.device)
    rows, cols = torch.arange(h, device=image.device)[:, None], torch.arange(w, device=image.device)
    grid = torch.stack([(cols + 0.5 + right) * 2 / w - 1, (rows + 0.5 + down) * 2 / h - 1], dim=-1)
    return F.grid_sample(image[None, None], grid[None].to(image), mode="bicubic", align_corners=False)[0, 0]


def augment_intensities(pair: Tensor, settings: Augmentation, rng: np.random.Generator) -> Tensor:
    """The pair (2, H, W) with bias fields, and with the intensities of each image mapped by a curve or inverted."""
    if rng.random() < settings.bias_field:
        pair = pair * bias_fields(pair.shape[-2:], rng, pair.device)
    curves = settings.target_curve, settings.intensity_curve
    inversions = settings.target_inversion, settings.intensity_inversion
    images = []
    for image, curve, inversion in zip(pair, curves, inversions, strict=True):
        mapped = random_intensity_curve(image, rng) if rng.random() < curve else image
        images.append(invert_intensities(mapped, rng) if rng.random() < inversion else mapped)
    return torch.stack(images)


def augment_reference(reference: Tensor, other: Tensor, settings: Augmentation, rng: np.random.Generator) -> Tensor:
    """`reference` (H, W) after the augmentations that concern the reference alone.

    Args:
        other: (H, W), a slice that does not fit, for regions in which the reference is wrong.
    """
    if rng.random() < settings.shifted:
        reference = misregister(reference, settings.max_shift, rng)
    if rng.random() < settings.locally_shifted:
        reference = deform(reference, settings.max_shift, rng)
    if rng.random() < settings.partly_wrong:
        reference = torch.lerp(reference, other, random_region(reference.shape, rng, reference.device))
    return reference
