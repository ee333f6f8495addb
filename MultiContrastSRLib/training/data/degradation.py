"""The degradation of each batch, at each stage of Dual-ArbNet's Cur-Random curriculum (Zhang et al., Sec. 2.4)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ...acquisition.axis import Kind
from ..recipe import Degradation, Recipe

_WARMUP_FACTORS = (2, 3, 4)
_BORDER_GAINS = (0.3, 0.9)  # of apodised targets


class BatchDegradation(NamedTuple):
    """How the examples of one batch are degraded.

    Attributes:
        factors: scale factors along (rows, columns).
        kinds: kinds of degradation along (rows, columns).
        shape: (H, W) of the ground truth.
        reference: resolution of the reference: "high" (the ground truth's grid), "low" (degraded like the target) or
            "none" (no reference).
        border_gain: of the frequencies at the border of the measured k-space, relative to its centre; 1 without
            apodisation.
        partly_absent: whether the reference is left out in irregular regions.
    """

    factors: tuple[float, float]
    kinds: tuple[Kind, Kind]
    shape: tuple[int, int]
    reference: str
    border_gain: float = 1.0
    partly_absent: bool = False


def curriculum_stage(recipe: Recipe, step: int) -> str:
    """The stage of the curriculum at `step`: "warmup", "prelearning" or "full"."""
    share, curriculum = step / recipe.optimisation.steps, recipe.curriculum
    if share < curriculum.warmup:
        return "warmup"
    return "prelearning" if share < curriculum.warmup + curriculum.prelearning else "full"


def draw_degradation(recipe: Recipe, step: int, rng: np.random.Generator) -> BatchDegradation:
    """Draw the degradation of the batch of `step`.

    Warm-up uses integer factors and a reference of full resolution, pre-learning all factors; after these there are
    also references of the target's resolution and batches without a reference.
    """
    stage, settings = curriculum_stage(recipe, step), recipe.degradation
    shape = tuple(int(n) for n in rng.choice(settings.slice_sizes, 2))
    low, high = settings.scales
    kinds: tuple[Kind, Kind] = ("kspace", "kspace")
    if stage == "warmup":
        factor = float(rng.choice([s for s in _WARMUP_FACTORS if low <= s <= high] or [high]))
        return BatchDegradation((factor, factor), kinds, shape, "high")
    factors = (_draw_factor(settings, rng),) * 2
    if rng.random() < settings.anisotropic:
        factors = (factors[0], _draw_factor(settings, rng))
    if rng.random() < settings.slab:
        factors, kinds = ((1.0, factors[0]), ("kspace", "slab"))
        if rng.random() < 0.5:
            factors, kinds = factors[::-1], kinds[::-1]
    reference = "high"
    if stage == "full":
        low_share, none_share = recipe.curriculum.low_reference, recipe.augmentation.no_reference
        chance = rng.random()
        reference = "none" if chance < none_share else "low" if rng.random() < low_share else "high"
    border_gain = float(rng.uniform(*_BORDER_GAINS)) if rng.random() < settings.apodised else 1.0
    partly_absent = reference == "high" and rng.random() < recipe.augmentation.partly_absent
    return BatchDegradation(factors, kinds, shape, reference, border_gain, partly_absent)


def _draw_factor(settings: Degradation, rng: np.random.Generator) -> float:
    low, high = settings.scales
    if settings.scale_sampling == "log-uniform":
        return float(low * (high / low) ** rng.random())
    if settings.scale_step == 0:
        return float(rng.uniform(low, high))
    count = int(np.floor((high - low) / settings.scale_step + 1e-6)) + 1
    return float(low + settings.scale_step * rng.integers(count))
