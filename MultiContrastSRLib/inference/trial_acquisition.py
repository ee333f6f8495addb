"""The acquisition of a trial: slices of the target are degraded once more, by about one octave."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from ..acquisition.axis import AxisModel
from ..acquisition.slices import SliceAcquisition
from ..networks.positions import Positions, sample_linear
from ..networks.spec import Spec
from .slice_stack import SliceStack

_OCTAVE = 2.0
_SMALLEST = 24  # samples that the degraded slices must have along each axis


@dataclass(frozen=True)
class TrialAcquisition:
    """How a trial degrades slices (N, h, w) of the target, and compares a result with them.

    A network of a fixed scale f may make the trial's result finer than the target; that result is acquired once more on
    the target's samples. Two octaves down too few pixels are left: of patient26's T2 at ×4, 42 × 54 pixels a slice,
    10 × 13, and references that were worth 0.7 dB were left out.

    Attributes:
        acquisition: of the degraded slices, from the lattice of the trial's result.
        to_target: of the target's samples, from the same lattice.
        degrading: from the target's samples to the degraded slices.
        multiple: the slices are cropped to a multiple of it, so that first pixels coincide as they do for even sizes.
    """

    acquisition: SliceAcquisition
    to_target: SliceAcquisition
    degrading: SliceAcquisition
    multiple: int

    @classmethod
    def of(cls, spec: Spec, axes: tuple[AxisModel, AxisModel], factors: tuple[float, float]) -> TrialAcquisition | None:
        """The trial for slices with these `axes` that are to be refined by `factors`; None where they are too small."""
        fixed = spec.fixed_scale is not None
        multiple = 2 * spec.fixed_scale if fixed else 1
        shape = tuple(axis.samples - axis.samples % multiple for axis in axes)
        lower = tuple(
            1.0 if f <= 1 else _OCTAVE if fixed else min(f, _OCTAVE, max(1.0, n / _SMALLEST))
            for f, n in zip(factors, shape, strict=True)
        )
        if min(shape) < 2 * multiple or max(lower) == 1:
            return None
        finer = oversampling(spec)
        fine, kinds = tuple(finer * n for n in shape), tuple(axis.kind for axis in axes)
        return cls(
            SliceAcquisition.of(fine, tuple(finer * f for f in lower), kinds),
            SliceAcquisition.of(fine, (float(finer),) * 2, kinds),
            SliceAcquisition.of(shape, lower, kinds),
            multiple,
        )

    def cropped(self, images: Tensor, finer: int = 1) -> Tensor:
        """Slices (N, f·h, f·w), f = `finer` times as fine as the target, cropped to the trial's field of view."""
        window = [slice(None), slice(None), slice(None)]
        for dim, n in enumerate(self.degrading.fine, 1):
            samples = images.shape[dim] // finer
            start = samples * finer // 2 - samples // 2 * finer if self.multiple > 1 else 0  # the target's first pixel
            window[dim] = slice(start, start + n * finer)
        return images[tuple(window)]

    def stack(self, low: Tensor, base: Tensor, reference: Tensor | None) -> SliceStack:
        """What the network receives in the trial."""
        return SliceStack(self.acquisition.axes, low, base, reference)

    def on_target(self, images: Tensor) -> Tensor:
        """Images (N, ·, ·) on the lattice of the trial's result, on the target's samples (N, h, w)."""
        return self.to_target.forward(images)

    def on_result(self, weights: Tensor) -> Tensor:
        """Weights (N, h, w) on the target's samples, on the lattice of the trial's result, linearly."""
        positions = Positions.regular(self.to_target.fine, self.to_target.lattice)
        return sample_linear(weights[:, None], *positions.in_target)[:, 0]

    def restored(self, weights: Tensor, shape: tuple[int, int]) -> Tensor:
        """Weights (N, ·, ·) of the trial's field of view for slices of `shape` (h, w): constant beyond it."""
        extra = [n - m for n, m in zip(shape, weights.shape[-2:], strict=True)]
        return F.pad(weights[:, None], (0, extra[1], 0, extra[0]), mode="replicate")[:, 0] if any(extra) else weights


def oversampling(spec: Spec) -> int:
    """How many times as fine as the target a trial needs the reference: as fine as a fixed scale makes the result."""
    return 1 if spec.fixed_scale is None else max(1, round(spec.fixed_scale / _OCTAVE))
