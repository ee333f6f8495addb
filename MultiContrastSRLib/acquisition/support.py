"""The support of an image's spectrum: the part of k-space that was measured.

Scanners often acquire fewer phase-encoding lines than the image has rows and fill the rest of k-space with zeros. The
spectrum then falls steeply to a plateau (noise, and leakage from filters and magnitude reconstruction) well before the
Nyquist frequency. Data beyond that edge are not measured; data consistency there would blur the result.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy

_SPAN = 0.1  # of Nyquist: the width over which the fall before and after an edge is compared
_CORNER = 4.0  # dB: how much steeper the fall must be before the edge than after it
_STEEPNESS = 8.0  # exponent of the power law by which the spectrum falls before an edge; that of anatomy is 2 to 5
_FALL = 10.0  # dB: how far the spectrum must have fallen over twice the span before the edge
_EDGE_LEVEL = 0.7  # part of that fall at which the edge lies
_TAPER = 0.15  # of the edge: the soft shoulder of the weights


@dataclass(frozen=True)
class Support:
    """The measured part of one axis' spectrum.

    Attributes:
        edge: highest measured frequency as a fraction of Nyquist; 1 for a full spectrum.
        noise: mean power beyond the edge (noise and leakage) relative to the power just inside it, 0 to 1.
    """

    edge: float = 1.0
    noise: float = 0.0

    @property
    def full(self) -> bool:
        """Whether the whole spectrum was measured."""
        return self.edge >= 1.0

    def weights(self, frequency: np.ndarray) -> np.ndarray:
        """Weights in [0, 1] at `frequency` (fractions of Nyquist, any sign): 1 inside, a cosine taper at the edge."""
        shoulder = np.clip((self.edge - np.abs(frequency)) / (_TAPER * self.edge), 0.0, 1.0)
        taper = 0.5 - 0.5 * np.cos(np.pi * shoulder)
        return np.ones_like(taper) if self.full else taper / (1.0 + self.noise * (1.0 - taper))

    def matrix(self, n: int) -> np.ndarray:
        """The weights as a circulant matrix (n, n) acting on samples."""
        weights = self.weights(np.fft.fftfreq(n) * 2)
        column = np.fft.ifft(weights).real
        return column[(np.arange(n)[:, None] - np.arange(n)) % n].astype(np.float32)


def estimate_support(array: np.ndarray, axis: int) -> Support:
    """The measured part of the spectrum of `array` [k, j, i] along `axis`.

    The edge is a corner in the mean power spectrum: a fall of at least 10 dB over 0.2 of Nyquist, at least 4 dB per 0.1
    steeper before the corner than after it. The power spectrum of anatomy falls by a power law whose exponent varies,
    which makes corners at low frequencies; before an edge it falls by an exponent of at least 8 (11 to 25 on 33
    zero-filled axes of heads, 3 to 5 at other corners). Without a corner, and for axes of fewer than 32 samples, which
    are too short to estimate it, the support is full.
    """
    n = array.shape[axis]
    if n < 32:
        return Support()
    # the middle half along another axis suffices and halves the work
    other = 0 if axis != 0 else 1
    middle = slice(array.shape[other] // 4, array.shape[other] - array.shape[other] // 4)
    region = array[(slice(None),) * other + (middle,)]
    moved = np.moveaxis(region, axis, -1) - region.mean()  # an offset of the intensities would raise the floor below
    power = np.mean(np.abs(np.fft.rfft(moved, axis=-1)) ** 2, axis=(0, 1))
    peak = power.max()
    if not peak > 0:
        return Support()
    decibel = 10 * np.log10(np.maximum(power, 1e-9 * peak) / peak)
    decibel = scipy.ndimage.uniform_filter1d(decibel, max(3, n // 80), mode="nearest")
    frequency = np.linspace(0, 1, len(decibel))

    def level(f: np.ndarray) -> np.ndarray:
        return np.interp(f, frequency, decibel)

    candidates = np.arange(0.3, 0.97 - _SPAN, 1 / len(decibel))
    before, after = level(candidates - _SPAN) - level(candidates), level(candidates) - level(candidates + _SPAN)
    steep = before >= _STEEPNESS * 10 * np.log10(candidates / (candidates - _SPAN))
    far = level(candidates - 2 * _SPAN) - level(candidates) >= _FALL
    corner = np.where(steep & far, before - after, 0.0)
    if corner.max() < _CORNER:
        return Support()
    # the corner is blurred; the edge is where most of the fall to the plateau has happened
    at = float(candidates[np.argmax(corner)])
    around = np.linspace(at - _SPAN, at + _SPAN / 2, 61)
    heights = level(around)
    edge = float(around[np.argmax(heights <= heights[0] - _EDGE_LEVEL * (heights[0] - heights[-1]))])
    beyond = 10 ** (decibel[frequency > edge].mean() / 10)
    inside = 10 ** (level(np.array([edge * (1 - _TAPER)]))[0] / 10)
    return Support(edge, float(np.clip(beyond / inside, 0.0, 1.0)))
