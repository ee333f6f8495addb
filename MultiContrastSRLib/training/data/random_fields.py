"""Random images that depend on a numpy generator alone, and so are the same on every device."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

_LOG_BIAS = 0.3  # largest logarithm of the bias field
_CONTROL_POINTS = 4  # of the bias field, along each axis


def white_noise(shape: tuple[int, ...], rng: np.random.Generator, device: torch.device) -> Tensor:
    """White Gaussian noise of standard deviation 1."""
    return torch.from_numpy(rng.standard_normal(shape, dtype=np.float32)).to(device)


def bias_fields(shape: tuple[int, int], rng: np.random.Generator, device: torch.device) -> Tensor:
    """Two smooth, positive, multiplicative fields (2, H, W) around 1."""
    coarse = rng.uniform(-_LOG_BIAS, _LOG_BIAS, (1, 2, _CONTROL_POINTS, _CONTROL_POINTS))
    fine = F.interpolate(torch.as_tensor(coarse, dtype=torch.float32), tuple(shape), mode="bicubic", align_corners=True)
    return fine[0].exp().to(device)
