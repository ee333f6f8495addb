"""Synthetic contrasts from label maps: perfectly aligned pairs of images in contrasts that no scanner has.

After SynthSeg's generative model (Billot et al., Medical Image Analysis 86, 2023): every tissue gets a random mean and
texture in each contrast; then a bias field and the blur of partial volumes are applied.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .blur import gaussian_blur
from .random_fields import bias_fields, white_noise

_MEAN_RANGE = (0.05, 1.0)
_MAX_TEXTURE = 0.05  # standard deviation within a tissue
_TEXTURE_BLUR_RANGE = (0.0, 2.0)  # pixels
_CORRELATED_SHARE = 0.3  # pairs whose contrasts are correlated
_PARTIAL_VOLUME_BLUR_RANGE = (0.4, 0.9)  # pixels
_MERGED_SHARE = 0.3  # contrasts in which half of the tissues have one of a few means: borders of the other alone
_MERGED_MEANS = 4
_SKULL_STRIPPED_SHARE = 0.5  # pairs that show only the brain


def synthetic_pair(labels: Tensor, brain: Tensor, rng: np.random.Generator) -> Tensor:
    """Two contrasts (2, H, W) of a label map, with intensities in about 0…1.

    Args:
        labels: (H, W) integers below len(brain); 0 is air.
        brain: (labels,) boolean, whether a skull-stripped scan shows the label.
        rng: all randomness, the same result on every device.
    """
    count = len(brain)
    means = rng.uniform(*_MEAN_RANGE, (2, count))
    if rng.random() < _CORRELATED_SHARE:
        means[1] = 0.7 * means[0] + 0.3 * means[1]
    for contrast in means:
        if rng.random() < _MERGED_SHARE:
            merged = rng.random(count) < 0.5
            contrast[merged] = rng.choice(rng.uniform(*_MEAN_RANGE, _MERGED_MEANS), int(merged.sum()))
    means[:, 0] = 0.0  # air
    deviations = rng.uniform(0.0, _MAX_TEXTURE, (2, count)) * (means > 0)
    stripped = rng.random() < _SKULL_STRIPPED_SHARE
    visible = brain if stripped else torch.arange(count, device=labels.device) > 0
    index = labels.long()
    like = {"device": labels.device, "dtype": torch.float32}
    mean, deviation = (torch.as_tensor(table, **like)[:, index] for table in (means, deviations))
    texture = gaussian_blur(white_noise((2, *labels.shape), rng, labels.device), rng.uniform(*_TEXTURE_BLUR_RANGE))
    texture = texture / texture.std().clamp(min=1e-6)
    images = (mean + deviation * texture) * visible[index]
    images = gaussian_blur(images, rng.uniform(*_PARTIAL_VOLUME_BLUR_RANGE))
    return (images * bias_fields(labels.shape, rng, labels.device)).clamp(min=0)
