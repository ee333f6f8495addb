"""Synthetic contrasts of a label map: perfectly aligned pairs in contrasts that no scanner has.

After SynthSeg's generative model (Billot et al., Medical Image Analysis 86, 2023): every tissue gets a random mean and
texture in each contrast; then a bias field and the blur of partial volumes.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor

from ..acquisition.slices import separable

_MEANS = (0.05, 1.0)
_TEXTURE = 0.05  # largest standard deviation within a tissue
_TEXTURE_GRAIN = (0.0, 2.0)  # pixels
_SIMILAR = 0.3  # share of pairs whose contrasts are related
_BIAS = 0.3  # largest logarithm of the bias field
_BLUR = (0.4, 0.9)  # pixels: partial volumes
_STRIPPED = 0.5  # share of pairs without what is not brain


def synthetic_pair(labels: Tensor, brain: Tensor, rng: np.random.Generator) -> Tensor:
    """Two contrasts (2, H, W), in about 0…1.

    Args:
        labels: (H, W) whole numbers below len(brain). brain: per label, whether a skull-stripped scan shows it.
        rng: decides everything, on any device alike.
    """
    count = len(brain)
    means = rng.uniform(*_MEANS, (2, count))
    if rng.random() < _SIMILAR:
        means[1] = 0.7 * means[0] + 0.3 * means[1]
    means[:, 0] = 0.0  # air
    deviations = rng.uniform(0.0, _TEXTURE, (2, count)) * (means > 0)
    shown = brain if rng.random() < _STRIPPED else torch.arange(count, device=labels.device) > 0
    index = labels.long()
    like = dict(device=labels.device, dtype=torch.float32)
    mean, deviation = (torch.as_tensor(table, **like)[:, index] for table in (means, deviations))
    texture = blurred(noise((2, *labels.shape), rng, labels.device), rng.uniform(*_TEXTURE_GRAIN))
    texture = texture / texture.std().clamp(min=1e-6)
    images = (mean + deviation * texture) * shown[index]
    return (blurred(images, rng.uniform(*_BLUR)) * bias_fields(labels.shape, rng, labels.device)).clamp(min=0)


def bias_fields(shape: tuple[int, int], rng: np.random.Generator, device: torch.device) -> Tensor:
    """Two smooth positive fields (2, H, W) around 1."""
    coarse = rng.uniform(-_BIAS, _BIAS, (1, 2, 4, 4))
    fine = F.interpolate(torch.as_tensor(coarse, dtype=torch.float32), tuple(shape), mode="bicubic", align_corners=True)
    return fine[0].exp().to(device)


def noise(shape: tuple[int, ...], rng: np.random.Generator, device: torch.device) -> Tensor:
    """White Gaussian noise, the same on every device."""
    return torch.from_numpy(rng.standard_normal(shape, dtype=np.float32)).to(device)


def blurred(images: Tensor, width: float) -> Tensor:
    """`images` (…, H, W) under a Gaussian of `width` pixels (standard deviation, to a tenth)."""
    tenths = round(10 * width)
    if tenths == 0:
        return images
    return separable(images, *(_gaussian(n, tenths).to(images) for n in images.shape[-2:]))


@lru_cache(maxsize=128)
def _gaussian(n: int, tenths: int) -> Tensor:
    return torch.from_numpy(ndimage.gaussian_filter1d(np.eye(n), tenths / 10, axis=0, mode="nearest"))
