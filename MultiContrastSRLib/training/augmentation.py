"""Variations of one pair of slices, so that the weights survive the clinic.

Every function takes its randomness from a numpy generator and works on tensors of any device. A pair is (2, H, W):
target, reference.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .recipe import Augmentation
from .synthetic import blurred

_TAPER = 8  # pixels over which a slice that is cut off fades out: a jump at the border would ring all through it
_TURN = 1.0  # degrees, largest rotation of a misregistration
_LESIONS = (1, 6)  # how many
_LESION_AXES = (1.2, 9.0)  # half axes in pixels, as many small ones as large ones
_LESION_STRENGTH = (0.1, 0.6)  # of the range
# Planted structures are small and faint: leaks of large or bright ones are easily learned, and would outweigh theirs.
_PLANTED, _PLANTED_AXES, _PLANTED_STRENGTH = 40, (1.2, 3.0), (0.1, 0.35)  # how many, half axes in pixels, of the range
_LESION_SIDES = {"target": 0.3, "reference": 0.5, "both": 0.2}  # who shows them


def fitted(images: Tensor, canvas: tuple[int, int], rng: np.random.Generator | None = None) -> Tensor:
    """(…, h, w) → (…, *canvas): zeros around what is smaller, a random part of what is larger, faded out.

    Without `rng` the middle.
    """
    for dim, size in ((-2, canvas[0]), (-1, canvas[1])):
        extra = size - images.shape[dim]
        if extra >= 0:
            before = extra // 2 if rng is None else int(rng.integers(extra + 1))
            pad = [before, extra - before]
            images = F.pad(images, pad if dim == -1 else [0, 0, *pad])
        else:
            start = -extra // 2 if rng is None else int(rng.integers(-extra + 1))
            images = images.narrow(dim, start, size)
            window = _fade(size).to(images)
            images = images * (window if dim == -1 else window[:, None])
    return images


def _fade(size: int) -> Tensor:
    distance = torch.arange(size).minimum(torch.arange(size).flip(0)) + 0.5
    return 0.5 - 0.5 * torch.cos(torch.pi * (distance / _TAPER).clamp(max=1))


def with_lesions(pair: Tensor, rng: np.random.Generator) -> Tensor:
    """Soft ellipses inside the tissue, drawn into the target only, the reference only, or both unlike."""
    tissue = (pair > 0.1).all(dim=0)
    which = rng.choice(list(_LESION_SIDES), p=list(_LESION_SIDES.values()))
    shown = [which in ("both", side) for side in ("target", "reference")]
    count = int(rng.integers(*_LESIONS))
    return _added(pair, tissue, _ellipses(tissue, count, _LESION_AXES, _LESION_STRENGTH, shown, rng))


def planted(pair: Tensor, rng: np.random.Generator) -> Tensor:
    """Many small soft ellipses inside the tissue of the reference alone: nothing of them should show in the target."""
    tissue = (pair > 0.1).all(dim=0)
    shown = [False, True]
    return _added(pair, tissue, _ellipses(tissue, _PLANTED, _PLANTED_AXES, _PLANTED_STRENGTH, shown, rng))


def _ellipses(
    tissue: Tensor,
    count: int,
    axes: tuple[float, float],
    strengths: tuple[float, float],
    shown: list[bool],
    rng: np.random.Generator,
) -> Tensor:
    """(2, H, W): ellipses in the images that are `shown`, each of a strength of its own."""
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
            if shown[image]:
                added[image] = torch.where(mask > 0, strength * mask, added[image])
    return added


def _added(pair: Tensor, tissue: Tensor, lesions: Tensor) -> Tensor:
    return torch.where(tissue, (pair + blurred(lesions, 0.6)).clamp(min=0), pair)


def misregistered(image: Tensor, largest: float, rng: np.random.Generator) -> Tensor:
    """`image` (H, W) moved by up to `largest` pixels in any direction and turned a little, read by cubic splines."""
    distance, direction = largest * np.sqrt(rng.random()), rng.uniform(0, 2 * np.pi)
    angle = np.deg2rad(rng.uniform(-_TURN, _TURN)) * min(1.0, largest)
    h, w = image.shape
    c, s = np.cos(angle), np.sin(angle)
    # grid_sample's axes are x, y in −1…1 over the outer edges
    right, down = distance * np.cos(direction), distance * np.sin(direction)
    theta = [[c, -s * h / w, 2 * right / w], [s * w / h, c, 2 * down / h]]
    matrix = torch.tensor([theta], dtype=image.dtype, device=image.device)
    grid = F.affine_grid(matrix, [1, 1, h, w], align_corners=False)
    return F.grid_sample(image[None, None], grid, mode="bicubic", align_corners=False)[0, 0]


def curved(image: Tensor, rng: np.random.Generator) -> Tensor:
    """A random monotone curve of the intensities: a power and a wave that never turns back."""
    high = image.max().clamp(min=1e-6)
    x = (image / high).clamp(0, 1)
    x = x ** float(np.exp(rng.uniform(-0.7, 0.7)))
    bend = rng.uniform(-0.8, 0.8)
    return high * (x + bend / (2 * np.pi) * torch.sin(2 * np.pi * x))


def inverted(image: Tensor, rng: np.random.Generator) -> Tensor:
    """Bright becomes dark; the air stays dark, or not."""
    high = image.max()
    turned_around = (high - image).clamp(min=0)
    return turned_around * (image > 0.03 * high) if rng.random() < 0.7 else turned_around


def varied_reference(reference: Tensor, wanted: Augmentation, rng: np.random.Generator) -> Tensor:
    """`reference` (H, W) after the variations that concern it alone."""
    if rng.random() < wanted.shifted:
        reference = misregistered(reference, wanted.shift, rng)
    if rng.random() < wanted.curve:
        reference = curved(reference, rng)
    if rng.random() < wanted.invert:
        reference = inverted(reference, rng)
    return reference
