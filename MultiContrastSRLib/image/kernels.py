"""Interpolation along one axis, as small dense matrices.

Interpolation in 3-D on a grid whose axes are parallel to the source's is three matrix products, one per axis. The
matrices are at most a few thousand wide, so this is exact at any real position, needs no special case for odd sizes
or real scales, and runs at BLAS speed.

Every kernel takes `n` source samples at 0, 1, …, n−1, the fractional `positions` of the output samples (shape (p,))
and `step`, the distance between neighbouring output samples in source samples, and returns a float64 matrix (p, n).
Rows sum to one: a constant stays constant. Except for the periodic k-space kernels, the signal is mirrored at the voxel
edges (half-sample symmetry).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Protocol

import numpy as np
import scipy

_NEAR = 1e-4  # sine of a distance below which rounding of the addition theorem would show


class Kernel(Protocol):
    """An interpolation kernel; the arguments and the matrix are described above."""

    def __call__(self, n: int, positions: np.ndarray, step: float = 1.0, /) -> np.ndarray:
        """Matrix (p, n)."""


def _mirror(index: np.ndarray, n: int) -> np.ndarray:
    folded = np.mod(index, 2 * n)
    return np.where(folded < n, folded, 2 * n - 1 - folded)


def _local(n: int, positions: np.ndarray, radius: float, weight: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Matrix of a kernel `weight(distance)` that is 0 beyond `radius`, normalised to unit row sums."""
    first = np.ceil(positions - radius).astype(int)
    taps = first[:, None] + np.arange(int(2 * radius) + 1)
    weights = weight(positions[:, None] - taps)
    matrix = np.zeros((len(positions), n))
    np.add.at(matrix, (np.arange(len(positions))[:, None], _mirror(taps, n)), weights)
    return matrix / matrix.sum(axis=1, keepdims=True)


def nearest(n: int, positions: np.ndarray, step: float = 1.0) -> np.ndarray:
    """The nearest sample; ties go to the higher index."""
    matrix = np.zeros((len(positions), n))
    # ties must not depend on rounding errors, which differ between a crop and the whole
    matrix[np.arange(len(positions)), np.clip(np.floor(positions + 0.5 + 1e-6).astype(int), 0, n - 1)] = 1.0
    return matrix


def linear(n: int, positions: np.ndarray, step: float = 1.0) -> np.ndarray:
    """Linear between the two neighbours."""
    return _local(n, positions, 1.0, lambda d: np.maximum(0.0, 1.0 - np.abs(d)))


@lru_cache(maxsize=8)
def _basis(order: int) -> scipy.interpolate.BSpline:
    return scipy.interpolate.BSpline.basis_element(np.arange(order + 2) - (order + 1) / 2, extrapolate=False)


def _spline(order: int) -> Kernel:
    def matrix(n: int, positions: np.ndarray, step: float = 1.0) -> np.ndarray:
        def weight(distance: np.ndarray) -> np.ndarray:
            return np.nan_to_num(_basis(order)(distance))

        radius = (order + 1) / 2
        collocation = _local(n, np.arange(n, dtype=float), radius, weight)
        return np.linalg.solve(collocation.T, _local(n, positions, radius, weight).T).T

    matrix.__doc__ = f"Interpolating B-spline of order {order} (Unser 1999)."
    return matrix


bspline = _spline(3)
quintic = _spline(5)


@lru_cache(maxsize=8)
def lanczos(lobes: int) -> Kernel:
    """Lanczos-windowed sinc with this number of lobes (Duchon 1979), normalised."""

    def matrix(n: int, positions: np.ndarray, step: float = 1.0) -> np.ndarray:
        return _local(n, positions, float(lobes), lambda d: np.sinc(d) * np.sinc(d / lobes) * (np.abs(d) < lobes))

    return matrix


def dirichlet(n: int, positions: np.ndarray, samples: np.ndarray, bandwidth: float | None = None) -> np.ndarray:
    """Periodic sinc: the sum of all cosines of period n/f with f < bandwidth/2, divided by n, at all distances.

    An even whole `bandwidth` adds the term f = bandwidth/2 once: the real part of a zero-filled spectrum whose
    frequencies run from −bandwidth/2 to bandwidth/2 − 1, as FFT conventions have it.

    Args:
        n: period in samples.
        positions, samples: (p,) and (s,), in samples.
        bandwidth: number of frequencies kept, real; default n, which interpolates the samples exactly.

    Returns:
        Matrix (p, s).
    """
    width = float(n) if bandwidth is None else min(float(bandwidth), float(n))
    # highest frequency strictly inside the band; spacings in headers are rounded, so 64.0001 must count as 64
    top = max(int(np.ceil(width / 2 - 1e-2)) - 1, 0)
    denominator = _sine_of_distances(np.pi / n, positions, samples)
    rows, columns = np.nonzero(np.abs(denominator) < _NEAR)
    angle = np.pi * (positions[rows] - samples[columns]) / n
    sine = np.sin(angle)
    exact = np.abs(sine) < 1e-9
    near = np.where(exact, 2 * top + 1, np.sin((2 * top + 1) * angle) / np.where(exact, 1.0, sine))
    denominator[rows, columns] = 1.0
    value = _sine_of_distances((2 * top + 1) * np.pi / n, positions, samples)
    value /= denominator
    value[rows, columns] = near
    if abs(width / 2 - (top + 1)) < 1e-2:
        value += _cosine_of_distances(2 * (top + 1) * np.pi / n, positions, samples)
    value /= n
    return value


def _sine_of_distances(frequency: float, positions: np.ndarray, samples: np.ndarray) -> np.ndarray:
    """sin(frequency · (position − sample)) (p, s), by the addition theorem: p + s sines are faster than p · s."""
    p, s = frequency * positions, frequency * samples
    return np.stack([np.sin(p), -np.cos(p)], axis=1) @ np.stack([np.cos(s), np.sin(s)])


def _cosine_of_distances(frequency: float, positions: np.ndarray, samples: np.ndarray) -> np.ndarray:
    p, s = frequency * positions, frequency * samples
    return np.stack([np.cos(p), np.sin(p)], axis=1) @ np.stack([np.cos(s), np.sin(s)])


def nyquist_sine(n: int, positions: np.ndarray, step: float) -> np.ndarray | None:
    """The imaginary counterpart of the last term of `dirichlet`, where `anti_aliased_sinc` has it.

    Along two axes, that term is one frequency in a corner of k-space, whose real part is cos θ₁ cos θ₂ − sin θ₁ sin θ₂.

    Returns:
        Matrix (p, n) of the sines divided by n; None where the output is no coarser, or its size is no even number.
    """
    frequency = round(n / max(step, 1.0) / 2)
    if step <= 1 or abs(n / step / 2 - frequency) >= 1e-2 or 2 * frequency >= n:
        return None
    return _sine_of_distances(2 * np.pi * frequency / n, positions, np.arange(n)) / n


def sinc(n: int, positions: np.ndarray, step: float = 1.0) -> np.ndarray:
    """Zero-filled k-space: periodic band-limited interpolation, exact at every position."""
    return dirichlet(n, positions, np.arange(n))


def mirrored_sinc(n: int, positions: np.ndarray, step: float = 1.0) -> np.ndarray:
    """Band-limited interpolation of the mirrored signal, which across slices does not wrap around from head to neck."""
    index = np.arange(n)
    return dirichlet(2 * n, positions, index) + dirichlet(2 * n, positions, 2 * n - 1 - index)


def box(n: int, positions: np.ndarray, width: float) -> np.ndarray:
    """Mean over the interval [position − width/2, position + width/2] of samples that fill their cells (slab profile).

    The mean leaves out parts of the interval beyond the first or last cell.
    """
    edges = np.arange(n) - 0.5
    low, high = positions[:, None] - width / 2, positions[:, None] + width / 2
    overlap = np.clip(np.minimum(high, edges + 1) - np.maximum(low, edges), 0.0, None)
    total = overlap.sum(axis=1, keepdims=True)
    return np.where(total > 1e-9, overlap / np.maximum(total, 1e-9), nearest(n, positions))


def anti_aliased_sinc(n: int, positions: np.ndarray, step: float = 1.0) -> np.ndarray:
    """`sinc` cut off at the output's Nyquist frequency where the output is coarser than the source."""
    return dirichlet(n, positions, np.arange(n), n / max(step, 1.0))


def anti_aliased_spline(n: int, positions: np.ndarray, step: float = 1.0) -> np.ndarray:
    """`bspline`; where the output is coarser than the source, the mean over each output sample's slab."""
    return box(n, positions, step) if step > 1.001 else bspline(n, positions)
