"""The few operations of guided super-resolution that numpy and torch spell differently, each for both."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy

from ..acquisition.operators import matrix_like
from ..core.devices import has_float64
from ..core.progress import Monitor
from ..image.sampling import Array, apply_separable


def stack(arrays: Sequence[Array]) -> Array:
    """Arrays of one shape (…) as one array (n, …)."""
    if isinstance(arrays[0], np.ndarray):
        return np.stack(arrays)
    import torch

    return torch.stack(list(arrays))


def concatenate(arrays: Sequence[Array], axis: int) -> Array:
    """Arrays joined along `axis`."""
    if isinstance(arrays[0], np.ndarray):
        return np.concatenate(arrays, axis)
    import torch

    return torch.cat(list(arrays), axis)


def double(array: Array) -> Array:
    """`array` as float64, or as it is on devices that have none (Apple's)."""
    if isinstance(array, np.ndarray):
        return array.astype(np.float64)
    return array.double() if has_float64(array.device.type) else array


def mean_over(array: Array, axes: tuple[int, ...]) -> Array:
    """Means over `axes`, which keep a length of one."""
    if isinstance(array, np.ndarray):
        return array.mean(axis=axes, keepdims=True)
    return array.mean(dim=axes, keepdim=True)


def to_host(array: Array) -> np.ndarray:
    """`array` as a numpy array, without gradients."""
    return array if isinstance(array, np.ndarray) else array.detach().cpu().numpy()


def from_host(values: np.ndarray, like: Array) -> Array:
    """`values` as an array of the type of `like`, on its device."""
    if isinstance(like, np.ndarray):
        return values.astype(like.dtype)
    import torch

    return torch.from_numpy(values).to(like.dtype).to(like.device)  # some devices have no float64


def moving_means(arrays: Sequence[Array], sizes: tuple[int, int, int], monitor: Monitor) -> list[Array]:
    """Means over windows of `sizes` samples along the three axes of each array; mirrored at its ends.

    Running sums are fastest on the CPU; products with matrices keep tensors on their device.
    """
    if isinstance(arrays[0], np.ndarray):
        means = []
        for array in arrays:
            monitor.check()
            means.append(scipy.ndimage.uniform_filter(array, sizes, mode="reflect"))
        return means
    shape = arrays[0].shape
    matrices = [matrix_like(arrays[0], _moving_mean, n, size) for n, size in zip(shape, sizes, strict=True)]
    return list(apply_separable(stack(arrays), matrices))


def _moving_mean(n: int, size: int) -> np.ndarray | None:
    """Matrix (n, n) of the moving mean over `size` samples; None where that is the identity."""
    return None if size == 1 else scipy.ndimage.uniform_filter1d(np.eye(n), size, axis=0, mode="reflect")
