"""The few array operations that numpy and torch spell differently, each for both."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy

from ..core.devices import has_float64
from ..core.progress import Monitor
from ..image.sampling import Array, apply_separable
from .operators import matrix_like


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


def to_host(array: Array) -> np.ndarray:
    """`array` as a numpy array, without gradients."""
    return array if isinstance(array, np.ndarray) else array.detach().cpu().numpy()


def from_host(values: np.ndarray, like: Array) -> Array:
    """`values` as an array of the type of `like`, on its device."""
    if isinstance(like, np.ndarray):
        return values.astype(like.dtype)
    import torch

    return torch.from_numpy(values).to(like.dtype).to(like.device)  # some devices have no float64


def where(condition: Array, first: Array, second: Array | float) -> Array:
    """`first` where `condition` holds, else `second`."""
    if isinstance(condition, np.ndarray):
        return np.where(condition, first, second)
    import torch

    return torch.where(condition, first, second)


def may_hold(condition: Array) -> bool:
    """Whether a condition holds anywhere; True for tensors, as the answer would wait for their device."""
    return bool(condition.any()) if isinstance(condition, np.ndarray) else True


# ------------------------------------------------------------------ over axes, which keep a length of one


def axes_within(across: int | None) -> tuple[int, ...]:
    """The axes (k, j, i) of slices stacked along `across`, or of a volume."""
    return tuple(axis for axis in range(3) if axis != across)


def mean_over(array: Array, axes: tuple[int, ...]) -> Array:
    """Means over `axes`."""
    if isinstance(array, np.ndarray):
        return array.mean(axis=axes, keepdims=True)
    return array.mean(dim=axes, keepdim=True)


def sum_over(array: Array, axes: tuple[int, ...]) -> Array:
    """Sums over `axes`."""
    if isinstance(array, np.ndarray):
        return array.sum(axis=axes, keepdims=True)
    return array.sum(dim=axes, keepdim=True)


def count_over(condition: Array, axes: tuple[int, ...]) -> Array:
    """How often a condition holds over `axes`."""
    if isinstance(condition, np.ndarray):
        kept = [1 if axis in axes else n for axis, n in enumerate(condition.shape)]
        if max(kept) == 1:  # of a single slice: many times as fast as a sum
            return np.reshape(np.count_nonzero(condition), kept)
    return sum_over(condition, axes)


def energy_over(array: Array, axes: tuple[int, ...]) -> Array:
    """Sums of squares over `axes`, in float64 where the device has it."""
    if isinstance(array, np.ndarray):
        return np.square(array, dtype=np.float64).sum(axis=axes, keepdims=True)
    return double(array).square().sum(dim=axes, keepdim=True)


def range_over(array: Array, axes: tuple[int, ...]) -> Array:
    """Maximum minus minimum over `axes`."""
    if isinstance(array, np.ndarray):
        return np.ptp(array, axis=axes, keepdims=True)
    return array.amax(dim=axes, keepdim=True) - array.amin(dim=axes, keepdim=True)


# ------------------------------------------------------------------ windows and frequencies of arrays [k, j, i]


def moving_means(
    arrays: Sequence[Array], sizes: Sequence[int], monitor: Monitor | None = None, mode: str = "reflect"
) -> list[Array]:
    """Means over windows of `sizes` samples along the three axes of each array.

    Running sums are fastest on the CPU; products with matrices keep tensors on their device.

    Args:
        mode: how arrays go on beyond their ends, see `scipy.ndimage`.
    """
    if isinstance(arrays[0], np.ndarray):
        means = []
        for array in arrays:
            if monitor is not None:
                monitor.check()
            means.append(scipy.ndimage.uniform_filter(array, sizes, mode=mode))
        return means
    shape = arrays[0].shape
    matrices = [matrix_like(arrays[0], _moving_mean, n, size, mode) for n, size in zip(shape, sizes, strict=True)]
    return list(apply_separable(stack(arrays), matrices))


def local_range(array: Array, sizes: Sequence[int]) -> Array:
    """Maximum minus minimum of windows of `sizes` samples (odd) along the three axes, less at the ends of the array."""
    if isinstance(array, np.ndarray):
        found = scipy.ndimage.maximum_filter(array, sizes, mode="nearest")
        found -= scipy.ndimage.minimum_filter(array, sizes, mode="nearest")
        return found
    from torch.nn import functional

    highest, lowest = array, -array
    for axis, size in enumerate(sizes):
        if size > 1:
            highest, lowest = (
                functional.max_pool1d(x.movedim(axis, -1), size, 1, size // 2).movedim(-1, axis)
                for x in (highest, lowest)
            )
    return highest + lowest


def cosine_transform(array: Array, axes: Sequence[int], *, inverse: bool = False) -> Array:
    """The orthonormal discrete cosine transform (type II) over `axes`, or its inverse."""
    if isinstance(array, np.ndarray):
        return (scipy.fft.idctn if inverse else scipy.fft.dctn)(array, axes=axes, norm="ortho")
    matrices = [
        matrix_like(array, _cosines, n, inverse) if axis in axes else None for axis, n in enumerate(array.shape)
    ]
    return apply_separable(array, matrices)


def _moving_mean(n: int, size: int, mode: str) -> np.ndarray | None:
    """Matrix (n, n) of the moving mean over `size` samples; None where that is the identity."""
    return None if size == 1 else scipy.ndimage.uniform_filter1d(np.eye(n), size, axis=0, mode=mode)


def _cosines(n: int, inverse: bool) -> np.ndarray:
    """Matrix (n, n) of the cosine transform or of its inverse."""
    matrix = scipy.fft.dct(np.eye(n), axis=0, norm="ortho")
    return matrix.T.copy() if inverse else matrix
