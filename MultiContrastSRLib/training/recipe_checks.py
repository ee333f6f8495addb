"""Checks of the values of a recipe."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import fields
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

from ..networks.registry import SPECS

if TYPE_CHECKING:
    from .recipe import Recipe

_Range = tuple[str, Callable[[float], bool]]  # what is expected, and whether a finite number is that


def _at_least(least: int) -> _Range:
    return f"{least} or more", lambda value: value >= least


_SHARE: _Range = ("a share from 0 to 1", lambda value: 0 <= value <= 1)
_FROM_0, _FROM_1 = _at_least(0), _at_least(1)
_RANGES: dict[str, dict[str, _Range]] = {  # a number that is not listed is a share
    "source": {"slice_step": _FROM_1, "spacing": _FROM_0},
    "labels": {"count": _FROM_0, "background": _FROM_0},
    "degradation": {
        "scales": ("the lowest and the highest factor, from 1 on", lambda value: value >= 1),
        "scale_step": _FROM_0,
        "slice_sizes": ("sizes of at least 16", lambda value: value >= 16),
        "noise": _FROM_0,
    },
    "augmentation": {"max_coarsening": _FROM_1, "max_shift": _FROM_0},
    "loss": dict.fromkeys(("target", "mse", "reference", "kspace", "relative", "leakage"), _FROM_0),
    "optimisation": {
        "steps": _FROM_1,
        "batch_size": _FROM_1,
        "patch": _FROM_0,
        "output_patch": _FROM_0,
        "whole_slice_batch_size": _FROM_1,
        "learning_rate": ("a number above 0", lambda value: value > 0),
        "muon_learning_rate": _FROM_0,
        "warmup": _FROM_0,
        "restart": _FROM_0,
        "halve_every": _FROM_0,
        "ema_decay": ("a number from 0 to below 1", lambda value: 0 <= value < 1),
        "max_gradient_norm": _FROM_0,
        "max_skipped_steps": _FROM_1,
        "validate_every": _FROM_0,
        "save_every": _FROM_1,
        "validation_slices": _FROM_1,
        "validation_scales": (
            "factors above 1, at least one (validate_every = 0 does not validate)", lambda value: value > 1,
        ),
        "seed": ("a number from 0 to below 2^64", lambda value: 0 <= value < 2**64),
    },
}  # fmt: skip
_IMAGE_TERMS = ("target", "mse", "kspace", "relative")  # of the loss, which depend on the network's image
_CHOICES = {
    ("loss", "kspace_norm"): ("l1", "l2"),
    ("loss", "kspace_band"): ("lost", "measured"),
    ("degradation", "scale_sampling"): ("uniform", "log-uniform"),
    ("optimisation", "schedule"): ("cosine", "stable-decay", "halving", "constant"),
    ("optimisation", "amp"): ("auto", "bf16", "off"),
}
_SOURCE_CHOICES = {
    "part": ("train", "validation"),
    "register": ("off", "auto", "on"),
    "planes": ("all", "slices"),
}


def recipe_problems(recipe: Recipe) -> Iterator[str]:
    """A sentence for every value that is not possible: the value found and what was expected."""
    for source in recipe.sources:
        yield from _number_problems("source", source)
    for part in ("labels", "degradation", "augmentation", "loss", "curriculum", "optimisation"):
        yield from _number_problems(part, getattr(recipe, part))
    for (part, name), allowed in _CHOICES.items():
        yield from _choice(f"{part}.{name}", getattr(getattr(recipe, part), name), allowed)
    yield from _source_problems(recipe)
    yield from _degradation_problems(recipe)
    yield from _optimisation_problems(recipe)
    if recipe.spec.in_channels != 1:
        yield f"the model has {recipe.spec.in_channels} channels; expected 1: training is on magnitude images."
    if not any(getattr(recipe.loss, name) for name in _IMAGE_TERMS):
        yield f"{', '.join(f'loss.{name}' for name in _IMAGE_TERMS)} are all 0; expected at least one above 0."
    if recipe.loss.relative and recipe.spec.base_image is None:
        yield "loss.relative is above 0; expected 0: this network has no base image whose error could be compared."
    yield from _fixed_scale_problems(recipe)


def _number_problems(part: str, table: Any) -> Iterator[str]:
    """Problems of all fields of a part of the recipe that are numbers or lists of numbers."""
    for field in fields(table):
        kind, value = str(field.type), getattr(table, field.name)
        if "int" not in kind and "float" not in kind:
            continue
        name = f"{part}.{field.name} is {list(value) if isinstance(value, tuple) else value}"
        numbers = value if isinstance(value, tuple) else (value,)
        expected, holds = _RANGES.get(part, {}).get(field.name, _SHARE)
        if "int" in kind and not all(isinstance(number, Integral) for number in numbers):
            yield f"{name}; expected {expected}, in whole numbers."
        elif not all(isinstance(number, Real) and math.isfinite(number) for number in numbers):
            yield f"{name}; expected {expected}, in finite numbers."
        elif not all(map(holds, numbers)) or (field.default and not numbers):
            yield f"{name}; expected {expected}."


def _choice(name: str, value: str, allowed: tuple[str, ...]) -> Iterator[str]:
    if value not in allowed:
        yield f"{name} is {value!r}; expected one of {', '.join(allowed)}."


def _source_problems(recipe: Recipe) -> Iterator[str]:
    for source in recipe.sources:
        for name, allowed in _SOURCE_CHOICES.items():
            yield from _choice(f"source.{name}", getattr(source, name), allowed)
        if len(source.contrasts) < 2:
            yield f"a source names {len(source.contrasts)} contrasts; expected at least two."
        if not set(source.targets) <= set(source.contrasts):
            yield f"source.targets is {list(source.targets)}; expected some of {', '.join(source.contrasts)}."


def _degradation_problems(recipe: Recipe) -> Iterator[str]:
    settings = recipe.degradation
    if len(settings.scales) != 2 or settings.scales[0] > settings.scales[1]:
        yield f"degradation.scales is {list(settings.scales)}; expected {_RANGES['degradation']['scales'][0]}."


def _optimisation_problems(recipe: Recipe) -> Iterator[str]:
    settings = recipe.optimisation
    if settings.freeze_initial_weights and settings.initial_weights not in SPECS:
        yield (
            f"optimisation.freeze_initial_weights is true, and initial_weights is {settings.initial_weights!r}; "
            "expected a method whose weights ship."
        )
    if settings.restart and not (settings.schedule == "cosine" and settings.warmup < settings.restart < settings.steps):
        yield (
            f"optimisation.restart is {settings.restart}, with schedule {settings.schedule!r}; expected 0, or with "
            f'"cosine" a step between {settings.warmup} (warmup) and {settings.steps} (steps).'
        )
    if settings.schedule == "halving" and settings.halve_every < 1:
        yield f"optimisation.halve_every is {settings.halve_every}; expected the steps between halvings."


def _fixed_scale_problems(recipe: Recipe) -> Iterator[str]:
    """Settings that a network of one scale factor, whose reference lies on the output grid, cannot be trained with."""
    scale = recipe.spec.fixed_scale
    if scale is None:
        return
    settings = recipe.degradation
    if settings.scales != (scale, scale) or settings.slab or settings.anisotropic:
        yield (
            f"degradation.scales is {list(settings.scales)}; expected [{scale}, {scale}], with slab and anisotropic at "
            "0."
        )
    if any(n % (2 * scale) for n in settings.slice_sizes):
        yield (
            f"degradation.slice_sizes is {list(settings.slice_sizes)}; expected multiples of {2 * scale}, so that the "
            "first pixels of target and output coincide."
        )
    if recipe.curriculum.low_reference:
        yield "curriculum.low_reference is above 0; expected 0: this network's reference lies on the output grid."
