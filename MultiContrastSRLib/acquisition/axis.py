"""The acquisition along one array axis, as small dense matrices."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

import numpy as np

from ..image import kernels
from .support import Support

Kind = Literal["kspace", "slab"]
_MIN_GAIN = 0.4  # smallest share of a frequency's amplitude that a slab must record to be enforced: noise grows by 2.5


@dataclass(frozen=True)
class AxisModel:
    """The acquisition along one axis.

    Every matrix is float32, or None where it is the identity.

    Attributes:
        kind: "kspace" (central block of frequencies) or "slab" (mean over a box).
        samples: number of acquired samples (the target's size along the axis).
        spacing: mm between samples.
        thickness: mm of the slab profile (slab only); 0 for point samples.
        support: the part of the spectrum that holds measured data (kspace only).
    """

    kind: Kind
    samples: int
    spacing: float
    thickness: float = 0.0
    support: Support = field(default_factory=Support)

    @property
    def resolution(self) -> float:
        """Effective resolution in mm: the voxel size that the measured data would fill without zero-filling."""
        return self.spacing / self.support.edge if self.kind == "kspace" else max(self.thickness, self.spacing)

    def positions(self, fine: int) -> np.ndarray:
        """Where the acquired samples lie on a lattice of `fine` samples, in its indices."""
        index = np.arange(self.samples)
        ratio = fine / self.samples
        if self.kind == "kspace":
            return fine // 2 + (index - self.samples // 2) * ratio
        return (index + 0.5) * ratio - 0.5

    def lattice_positions(self, fine: int) -> tuple[float, float]:
        """(step, offset): lattice sample x lies at acquired index step·x + offset."""
        step = self.samples / fine
        if self.kind == "kspace":
            return step, self.samples // 2 - (fine // 2) * step
        return step, (step - 1) / 2

    def forward(self, fine: int) -> np.ndarray | None:
        """Matrix (samples, fine): what the scanner records of an image on the lattice that varies along this axis.

        Along several axes of even sizes, the recorded image is not the product of these matrices alone, see
        `operators.apply_operator`.
        """
        if fine == self.samples:
            return None
        return _forward(self.kind, self.samples, fine, self.thickness / self.spacing)

    def interpolate(self, fine: int) -> np.ndarray | None:
        """Matrix (fine, samples): interpolation of the samples (sinc in plane, cubic spline across slices)."""
        return None if fine == self.samples else _interpolate(self.kind, self.samples, fine)

    def spread(self, fine: int) -> np.ndarray | None:
        """Matrix (fine, samples): the smoothest image on the lattice that `forward` turns back into the samples."""
        if fine == self.samples:
            return None
        return _spread(self.kind, self.samples, fine, self.thickness / self.spacing)

    def zero_fill(self, fine: int) -> np.ndarray | None:
        """Matrix (fine, samples): the zero-filled image in plane (`spread`), `interpolate` across slices."""
        return self.spread(fine) if self.kind == "kspace" else self.interpolate(fine)

    def linear(self, fine: int) -> np.ndarray | None:
        """Matrix (fine, samples): linear interpolation, constant beyond the first and last sample."""
        return None if fine == self.samples else _linear(self.kind, self.samples, fine)

    def nyquist(self, fine: int) -> tuple[np.ndarray, np.ndarray] | None:
        """The imaginary part of the lone Nyquist frequency −samples/2 that the central block of an even size holds.

        Returns:
            Matrices (samples, 1) and (1, fine), whose product is the imaginary counterpart of `forward`; None where
            there is none: odd sizes, slabs, axes that are not refined.
        """
        if self.kind == "slab" or fine == self.samples or self.samples % 2:
            return None
        return _nyquist(self.samples, fine)

    def weight(self) -> np.ndarray | None:
        """Matrix (samples, samples) that keeps the measured part of the spectrum; None when all of it is measured."""
        if self.kind == "kspace":
            return None if self.support.full else _measured(self.support, self.samples)
        # a slab no thicker than the spacing records at least 2/π of the amplitude of every frequency
        if self.samples == 1 or self.thickness <= self.spacing:
            return None
        return _recorded(self.samples, self.thickness / self.spacing)


def samples_of(size: float, factor: float) -> int:
    """Samples of an axis of `size` samples after degradation by `factor`: the nearest whole number, at least 1.

    >>> samples_of(31, 2), samples_of(3, 8)
    (16, 1)
    """
    return max(1, int(np.floor(size / factor + 0.5)))


@lru_cache(maxsize=32)
def _forward(kind: Kind, samples: int, fine: int, width: float) -> np.ndarray:
    positions = AxisModel(kind, samples, 1.0, width).positions(fine)
    if kind == "kspace":
        matrix = kernels.dirichlet(fine, positions, np.arange(fine), samples)
    elif width == 0:
        matrix = kernels.bspline(fine, positions)  # point samples
    else:
        matrix = kernels.box(fine, positions, width * fine / samples)
    return matrix.astype(np.float32)


@lru_cache(maxsize=32)
def _nyquist(samples: int, fine: int) -> tuple[np.ndarray, np.ndarray]:
    alternating = (-1.0) ** (np.arange(samples) - samples // 2)
    wave = np.sin(np.pi * samples / fine * (fine // 2 - np.arange(fine))) / fine
    return alternating[:, None].astype(np.float32), wave[None].astype(np.float32)


@lru_cache(maxsize=32)
def _interpolate(kind: Kind, samples: int, fine: int) -> np.ndarray:
    step, offset = AxisModel(kind, samples, 1.0, 1.0).lattice_positions(fine)
    kernel = kernels.sinc if kind == "kspace" else kernels.bspline
    return kernel(samples, step * np.arange(fine) + offset).astype(np.float32)


@lru_cache(maxsize=32)
def _linear(kind: Kind, samples: int, fine: int) -> np.ndarray:
    step, offset = AxisModel(kind, samples, 1.0, 1.0).lattice_positions(fine)
    positions = np.clip(step * np.arange(fine) + offset, 0, samples - 1)
    return kernels.linear(samples, positions).astype(np.float32)


@lru_cache(maxsize=32)
def _spread(kind: Kind, samples: int, fine: int, width: float) -> np.ndarray:
    up = _interpolate(kind, samples, fine).astype(np.float64)
    # A real image keeps half of the lone Nyquist frequency of an even size; the inverse makes up for it. Slabs much
    # thicker than their spacing hardly record the finest frequencies: these are left out, as they would amplify noise.
    left, gains, right = np.linalg.svd(_forward(kind, samples, fine, width) @ up)
    kept = gains >= _MIN_GAIN
    return (up @ (right[kept].T / gains[kept]) @ left[:, kept].T).astype(np.float32)


@lru_cache(maxsize=32)
def _measured(support: Support, samples: int) -> np.ndarray:
    return support.matrix(samples)


@lru_cache(maxsize=32)
def _recorded(samples: int, width: float) -> np.ndarray | None:
    """Matrix (samples, samples) that keeps what slabs of `width` spacings record well; None when that is all."""
    fine = 8 * samples
    left, gains, _ = np.linalg.svd(_forward("slab", samples, fine, width) @ _interpolate("slab", samples, fine))
    kept = gains >= _MIN_GAIN
    return None if kept.all() else (left[:, kept] @ left[:, kept].T).astype(np.float32)
