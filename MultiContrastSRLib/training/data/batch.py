"""One batch: degraded targets, references, base images and ground truth, as a network sees them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ...acquisition.slices import SliceAcquisition
from ...inference.slice_base import base_image
from ...joint.slices import joint_tv
from ...networks.intensity import IntensityNormalisation, estimate_normalisation
from ...networks.positions import Positions
from ..recipe import Degradation, Optimisation, Recipe
from .degradation import BatchDegradation
from .random_fields import random_region, white_noise

_MIN_PATCH = 8  # target pixels
_GREY_LEVELS = 255  # of images that are stored in 8 bits


@dataclass(frozen=True, eq=False)
class Batch:
    """Examples that share sizes and positions; all images (B, C, ·, ·) in the intensities that the network sees.

    Attributes:
        target: (B, 1, h, w).
        truth: (B, 1, H, W), the ground truth.
        reference: (B, 1, ·, ·), on the grid of the truth or of the target; None without.
        base: (B, 1, H, W) images that the network corrects, or (B, 2, H, W) with their auxiliary images; None
            without.
        positions: of the pixels of the truth.
        intensity: the mapping from the target's units.
        acquisition: of the slices; for patches, that of a patch as a field of view of its own.
        reference_lesions: whether the second half repeats the first half with structures inserted in the reference.
    """

    target: Tensor
    truth: Tensor
    reference: Tensor | None
    base: Tensor | None
    positions: Positions
    intensity: IntensityNormalisation
    acquisition: SliceAcquisition
    reference_lesions: bool = False

    def to(self, device: torch.device) -> Batch:
        """The batch with its images on `device`."""
        images = {name: getattr(self, name) for name in ("target", "truth", "reference", "base")}
        moved = {name: None if image is None else image.to(device) for name, image in images.items()}
        return replace(self, **moved, intensity=IntensityNormalisation(*(x.to(device) for x in self.intensity)))


def make_batch(
    recipe: Recipe, pairs: Tensor, degradation: BatchDegradation, rngs: list[np.random.Generator] | None = None
) -> Batch:
    """Degrade pairs of whole slices.

    Args:
        pairs: (B, 2, H, W), ground truth and reference.
        rngs: one for each example, for noise and gain; None adds neither.
    """
    spec = recipe.spec
    truth, reference = pairs[:, 0], pairs[:, 1]
    shape = tuple(truth.shape[-2:])
    acquisition = SliceAcquisition.of(shape, degradation.factors, degradation.kinds)
    low = acquisition.forward(truth)
    if degradation.border_gain < 1:
        low = _apodised(low, degradation.border_gain)
    gains, offsets = torch.ones(len(pairs), device=truth.device), torch.zeros(len(pairs), device=truth.device)
    if rngs is not None:
        low = torch.stack([_recorded(image, recipe.degradation, rng) for image, rng in zip(low, rngs, strict=True)])
        limits = recipe.augmentation.gain, recipe.augmentation.offset
        errors = torch.tensor([[rng.uniform(-limit, limit) for limit in limits] for rng in rngs]).to(truth)
        gains, offsets = 1 + errors[:, 0], errors[:, 1]
    if degradation.reference == "low":
        reference = acquisition.forward(reference)
    confidence = None
    if degradation.partly_absent and rngs is not None:
        # a region for all: both halves of a batch with inserted structures must differ in these alone
        region = random_region(shape, rngs[0], truth.device)
        confidence = region.expand(len(pairs), *shape)
    base = base_image(
        spec.base_image, acquisition, low, None if degradation.reference == "none" else reference, confidence
    )
    recorded_target, low = low, low[:, None]
    intensity = estimate_normalisation(low, spec)
    scales = intensity.scale * gains.view(-1, 1, 1, 1)
    intensity = IntensityNormalisation(intensity.offset + offsets.view(-1, 1, 1, 1) * scales, scales)
    if degradation.reference == "none":
        reference, visible, positions = None, None, Positions.regular(shape, acquisition.lattice)
    else:
        found = estimate_normalisation(reference[:, None], spec)
        reference = found.apply(reference[:, None])
        reference = reference if confidence is None else reference * confidence[:, None]
        visible = found.undo(reference)[:, 0]
        recorded = acquisition if degradation.reference == "low" else SliceAcquisition.of(shape, (1.0, 1.0))
        positions = Positions.regular(shape, acquisition.lattice, recorded.lattice)
    if spec.auxiliary_image is not None:
        base = torch.cat([base, joint_tv(acquisition, recorded_target, visible)[:, None]], dim=1)
    return Batch(
        intensity.apply(low),
        intensity.apply(truth[:, None]),
        reference,
        None if base is None else intensity.apply(base),
        positions,
        intensity,
        acquisition,
    )


def _recorded(low: Tensor, settings: Degradation, rng: np.random.Generator) -> Tensor:
    """`low` (h, w) with noise, perhaps as the magnitude of a complex image, and perhaps in 256 steps."""
    level = settings.noise * rng.random()
    noise = level * white_noise(tuple(low.shape), rng, low.device)
    if rng.random() < settings.magnitude:
        low = torch.hypot(low + noise, level * white_noise(tuple(low.shape), rng, low.device))
    else:
        low = low + noise
    if rng.random() < settings.eight_bit:
        step = low.max().clamp(min=1e-6) / _GREY_LEVELS
        low = (low / step).round() * step
    return low


def _apodised(low: Tensor, border_gain: float) -> Tensor:
    """`low` (B, h, w) with its frequencies weighted by a raised cosine from 1 at the centre to `border_gain`."""
    weights = [1 - (1 - border_gain) * torch.sin(torch.pi * torch.fft.fftfreq(n)).square() for n in low.shape[-2:]]
    weights = [weight.to(low) for weight in weights]
    return torch.fft.ifft2(torch.fft.fft2(low) * weights[0][:, None] * weights[1]).real


def patch_shape(settings: Optimisation, factors: tuple[float, float]) -> tuple[int, int]:
    """(h, w) of the training patches in target pixels at the scale `factors`."""
    if not settings.output_patch:
        return settings.patch, settings.patch
    rows, cols = (max(_MIN_PATCH, round(settings.output_patch / factor)) for factor in factors)
    return rows, cols


def crop_batch(batch: Batch, shape: tuple[int, int], rng: np.random.Generator, fixed_scale: bool = False) -> Batch:
    """Crop a batch of whole slices to a patch at a random place: the brighter of two that are drawn.

    Args:
        shape: (h, w) of the patch in target pixels.
        fixed_scale: for a network of one scale factor, whose first output pixel lies on the first target pixel.
    """
    h, w = batch.target.shape[-2:]
    height, width = min(shape[0], h), min(shape[1], w)
    corners = [(int(rng.integers(h - height + 1)), int(rng.integers(w - width + 1))) for _ in range(2)]
    means = [float(batch.target[..., r : r + height, c : c + width].mean()) for r, c in corners]
    top, left = corners[int(means[1] > means[0])]
    rows, cols = batch.positions.in_target
    edge = 0.0 if fixed_scale else 0.5
    window = (_pixels_within(rows, top - edge, height), _pixels_within(cols, left - edge, width))
    positions = batch.positions.crop(window)
    positions = replace(positions, rows_t=positions.rows_t - top, cols_t=positions.cols_t - left)
    target_window = (slice(top, top + height), slice(left, left + width))
    reference = batch.reference
    if reference is not None:
        low = reference.shape[-2:] != batch.truth.shape[-2:]
        part = target_window if low else window
        reference = reference[(..., *part)]
        positions = replace(positions, rows_r=positions.rows_r - part[0].start, cols_r=positions.cols_r - part[1].start)
    return replace(
        batch,
        target=batch.target[(..., *target_window)],
        truth=batch.truth[(..., *window)],
        reference=reference,
        base=None if batch.base is None else batch.base[(..., *window)],
        positions=positions,
        acquisition=batch.acquisition.cut((height, width), tuple(part.stop - part.start for part in window)),
    )


def _pixels_within(positions: Tensor, start: float, count: int) -> slice:
    """The output pixels whose `positions` (n,) lie from `start` to `count` target pixels beyond."""
    inside = ((positions > start - 1e-6) & (positions < start + count - 1e-6)).nonzero()
    return slice(int(inside[0]), int(inside[-1]) + 1)
