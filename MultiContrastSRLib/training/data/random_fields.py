"""Random images that depend on a numpy generator alone, and so are the same on every device."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

_LOG_BIAS = 0.3  # largest logarithm of the bias field
_CONTROL_POINTS = 4  # of the bias field, along each axis
_REGION_POINTS = 5  # of a region, along each axis
_REGION_EDGE = 0.3  # width of its border, in the values of the field that it is cut from


def white_noise(shape: tuple[int, ...], rng: np.random.Generator, device: torch.device) -> Tensor:
    """White Gaussian noise of standard deviation 1."""
    return torch.from_numpy(rng.standard_normal(shape, dtype=np.float32)).to(device)


def bias_fields(shape: tuple[int, int], rng: np.random.Generator, device: torch.device) -> Tensor:
    """Two smooth, positive, multiplicative fields (2, H, W) around 1."""
    coarse = rng.uniform(-_LOG_BIAS, _LOG_BIAS, (2, _CONTROL_POINTS, _CONTROL_POINTS))
    return smooth_fields(coarse, shape, device).exp()


def smooth_fields(coarse: np.ndarray, shape: tuple[int, int], device: torch.device) -> Tensor:
    """Fields (n, H, W) through the values `coarse` (n, points, points) at a regular grid of points, bicubic."""
    points = torch.as_tensor(coarse[None], dtype=torch.float32)
    return F.interpolate(points, tuple(shape), mode="bicubic", align_corners=True)[0].to(device)


def random_region(shape: tuple[int, int], rng: np.random.Generator, device: torch.device) -> Tensor:
    """A map (H, W) that is 1 within irregular regions of about half of the area, 0 elsewhere, with soft borders."""
    field = smooth_fields(rng.uniform(-1, 1, (1, _REGION_POINTS, _REGION_POINTS)), shape, device)[0]
    return ((field + rng.uniform(-0.5, 0.5)) / _REGION_EDGE + 0.5).clamp(0, 1)
