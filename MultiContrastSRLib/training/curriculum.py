"""What a batch is degraded by, at each stage of Dual-ArbNet's Cur-Random curriculum (Zhang et al., Sec. 2.4)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..acquisition.model import Kind
from .recipe import Degradation, Recipe

_WARMUP = (2, 3, 4)  # whole factors


class Condition(NamedTuple):
    """One batch's degradation.

    Attributes:
        factors: (rows, columns). kinds: along each.
        canvas: (H, W) of the truth.
        reference: "high" (the truth's grid), "low" (degraded like the target) or "none".
    """

    factors: tuple[float, float]
    kinds: tuple[Kind, Kind]
    canvas: tuple[int, int]
    reference: str


def stage(recipe: Recipe, step: int) -> str:
    """ "warmup", "prelearning" or "full"."""
    share, wanted = step / recipe.optimisation.steps, recipe.curriculum
    if share < wanted.warmup:
        return "warmup"
    return "prelearning" if share < wanted.warmup + wanted.prelearning else "full"


def condition(recipe: Recipe, step: int, rng: np.random.Generator) -> Condition:
    """Draw the condition of a batch.

    Warm-up: whole factors with a reference of full resolution. Pre-learning: all factors. Then also references of
    the target's resolution, and batches without any.
    """
    now, wanted = stage(recipe, step), recipe.degradation
    canvas = tuple(int(n) for n in rng.choice(wanted.canvas, 2))
    low, high = wanted.scales
    kinds: tuple[Kind, Kind] = ("kspace", "kspace")
    if now == "warmup":
        whole = [s for s in _WARMUP if low <= s <= high] or [high]
        factor = float(rng.choice(whole))
        return Condition((factor, factor), kinds, canvas, "high")
    factors = (_factor(wanted, rng),) * 2
    if rng.random() < wanted.anisotropic:
        factors = (factors[0], _factor(wanted, rng))
    if rng.random() < wanted.slab:
        factors, kinds = ((1.0, factors[0]), ("kspace", "slab"))
        if rng.random() < 0.5:
            factors, kinds = factors[::-1], kinds[::-1]
    reference = "high"
    if now == "full":
        low_share, none_share = recipe.curriculum.low_reference, recipe.augmentation.missing
        chance = rng.random()
        reference = "none" if chance < none_share else "low" if rng.random() < low_share else "high"
    return Condition(factors, kinds, canvas, reference)


def _factor(wanted: Degradation, rng: np.random.Generator) -> float:
    low, high = wanted.scales
    if wanted.even == "ratio":
        return float(low * (high / low) ** rng.random())
    if wanted.step == 0:
        return float(rng.uniform(low, high))
    return float(low + wanted.step * rng.integers(int(np.floor((high - low) / wanted.step + 1e-6)) + 1))
