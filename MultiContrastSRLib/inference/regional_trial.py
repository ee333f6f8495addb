"""How far the reference and the network are trusted at each place of a slice: a trial one octave down.

The slice is degraded once more and super-resolved; the slice itself is the truth. The least-squares share of the
detail that brings the result closest to the truth, within a few pixels, is the share that the result itself may have of
that detail: first of the detail that guided regression takes from the reference, then of the network's correction.
Where either adds errors, it is left out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ..acquisition.axis import AxisModel
from ..guided.slices import guided
from ..networks.intensity import IntensityNormalisation
from ..networks.positions import Positions, sample_linear
from ..networks.test_time_augmentation import without_augmentation
from .slice_network import SliceNetwork
from .slice_stack import SliceStack
from .trial_acquisition import TrialAcquisition, oversampling

_REACH = 4  # target pixels on either side, of each of two moving means that make a region
_WHOLE = 0.2  # weight of the whole slice beside the region: a few pixels alone decide by chance
_NONE, _FULL = 0.1, 0.5  # shares of detail that count as 0 and as 1; from 0.5 on the whole of it helps in the trial
_ROUNDING = 1e-10  # of the truth's energy: less detail is rounding error


@dataclass(frozen=True)
class RegionalWeights:
    """Weights from 0 to 1 on the samples of the target, (N, h, w).

    Attributes:
        reference: how far the reference is used; None without a reference.
        correction: how far the network's correction is used.
        absent: whether the network has to run again, without the reference, for slices in which it is used nowhere.
    """

    reference: Tensor | None
    correction: Tensor
    absent: bool = False

    def on_lattice(self, axes: tuple[AxisModel, AxisModel], shape: tuple[int, int]) -> RegionalWeights:
        """The weights on the lattice of `shape` of slices with these `axes`, linearly interpolated: (N, *shape)."""
        if tuple(self.correction.shape[1:]) == tuple(shape):
            return self
        maps = tuple(axis.lattice_positions(n) for axis, n in zip(axes, shape, strict=True))
        rows, columns = Positions.regular(shape, maps).in_target
        found = [
            None if x is None else sample_linear(x[:, None], rows, columns)[:, 0]
            for x in (self.reference, self.correction)
        ]
        return RegionalWeights(*found, self.absent)


def regional_weights(
    network: SliceNetwork,
    trial: TrialAcquisition,
    target: Tensor,
    reference: Tensor | None,
    normalisations: tuple[IntensityNormalisation, IntensityNormalisation | None],
    *,
    whole_reference: bool = False,
) -> RegionalWeights:
    """The weights of some slices, on their device.

    Args:
        target: (N, h, w).
        reference: (N, f·h, f·w) with f = `oversampling`, or None.
        normalisations: of the volumes of target and reference.
        whole_reference: use the reference everywhere.
    """
    shape, acquisition = tuple(target.shape[1:]), trial.acquisition
    truth = trial.cropped(target)
    low = trial.degrading.forward(truth)
    base, other, confidence, absent = acquisition.consistent(acquisition.zero_filled(low), low), None, None, False
    if reference is not None:
        other = trial.cropped(reference, oversampling(network.spec))
        detail = acquisition.consistent(guided(acquisition, low, other), low) - base
        confidence = torch.ones_like(truth)
        if not whole_reference:
            confidence = _weight(trial.on_target(detail), truth - trial.on_target(base), without_detail=0.0)
            absent = not (network.net.black_reference_is_none or bool(_present(confidence).all()))
        fine = trial.on_result(confidence)
        if network.spec.base_image == "guided":
            base = acquisition.consistent(base + fine * detail, low)
        other = faded(other, fine, normalisations[1])
    with without_augmentation():
        image = super_resolved(network, trial.stack(low, base, other), confidence if absent else None, normalisations)
    correction = trial.on_target(acquisition.consistent(image, low) - base)
    weight = _weight(correction, truth - trial.on_target(base), without_detail=1.0)
    return RegionalWeights(*(None if x is None else trial.restored(x, shape) for x in (confidence, weight)), absent)


def faded(reference: Tensor, weight: Tensor, normalisation: IntensityNormalisation) -> Tensor:
    """The reference (N, H, W) that is absent, which the network receives as 0, where `weight` is 0."""
    offset = normalisation.offset  # without axes, so that it need not be copied to the device
    return offset + weight * (reference - offset)


def super_resolved(
    network: SliceNetwork,
    stack: SliceStack,
    confidence: Tensor | None,
    normalisations: tuple[IntensityNormalisation, IntensityNormalisation | None],
) -> Tensor:
    """The network's images (N, H, W): without the reference in slices where `confidence` (N, h, w) is 0 everywhere.

    `confidence`: None where there are no such slices, or the network takes a black reference for none.
    """
    image = network(stack, *normalisations)
    if confidence is None:
        return image
    without = network(replace(stack, reference=None), *normalisations)
    return torch.where(_present(confidence)[:, None, None], image, without)


def _present(confidence: Tensor) -> Tensor:
    """In which slices the reference is used anywhere, bool (N,)."""
    return confidence.amax((1, 2)) > 0


def _weight(detail: Tensor, residual: Tensor, *, without_detail: float) -> Tensor:
    """The weight of `detail` (N, h, w): from its least-squares share in `residual` within regions."""
    product, energy = (_region_means(x) + _WHOLE * x.mean((1, 2), keepdim=True)
                       for x in (detail * residual, detail.square()))  # fmt: skip
    share = torch.where(energy > 0, product / energy, 0.0).nan_to_num(nan=0.0)  # a network may diverge
    weight = ((share - _NONE) / (_FULL - _NONE)).clamp(0, 1)
    nothing = detail.square().mean((1, 2)) <= _ROUNDING * residual.square().mean((1, 2))
    return torch.where(nothing[:, None, None], without_detail, weight)


def _region_means(images: Tensor) -> Tensor:
    """Two moving means of (N, h, w), of the pixels inside the slice."""
    for _ in range(2):
        images = F.avg_pool2d(images[:, None], 2 * _REACH + 1, 1, _REACH, count_include_pad=False)[:, 0]
    return images
