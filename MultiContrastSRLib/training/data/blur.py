"""Gaussian blur of batches of images, on any device."""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from ...core.cache import bytes_bounded_cache
from ...image.sampling import apply_separable


def gaussian_blur(images: Tensor, sigma: float) -> Tensor:
    """`images` (…, H, W) filtered with a Gaussian of standard deviation `sigma` pixels, rounded to a tenth."""
    tenths = round(10 * sigma)
    if tenths == 0:
        return images
    return apply_separable(images, [_gaussian_matrix(n, tenths).to(images) for n in images.shape[-2:]])


@bytes_bounded_cache(32 << 20)
def _gaussian_matrix(n: int, tenths: int) -> Tensor:
    return torch.from_numpy(ndimage.gaussian_filter1d(np.eye(n), tenths / 10, axis=0, mode="nearest"))
