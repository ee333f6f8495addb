"""Checks of the values of a recipe."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..networks.registry import SPECS

if TYPE_CHECKING:
    from .recipe import Recipe

_SHARES = {
    "augmentation": (
        "synthetic", "hard_edges", "bias_field", "target_curve", "target_inversion", "intensity_curve",
        "intensity_inversion", "shifted", "locally_shifted", "wrong_reference", "partly_wrong", "partly_absent",
        "no_reference", "lesions", "reference_lesions", "gain", "offset",
    ),
    "degradation": ("anisotropic", "slab", "magnitude", "apodised", "eight_bit"),
    "curriculum": ("warmup", "prelearning", "low_reference"),
    "optimisation": ("whole_slices", "decay", "restart_share"),
}  # fmt: skip
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
_LEAST = {
    "steps": 1,
    "batch_size": 1,
    "whole_slice_batch_size": 1,
    "max_skipped_steps": 1,
    "save_every": 1,
    "validate_every": 0,
    "patch": 0,
    "output_patch": 0,
}


def recipe_problems(recipe: Recipe) -> Iterator[str]:
    """A sentence for every value that is not possible: the value found and what was expected."""
    for part, names in _SHARES.items():
        for name in names:
            yield from _share(f"{part}.{name}", getattr(getattr(recipe, part), name))
    for (part, name), allowed in _CHOICES.items():
        yield from _choice(f"{part}.{name}", getattr(getattr(recipe, part), name), allowed)
    yield from _source_problems(recipe)
    yield from _degradation_problems(recipe)
    yield from _optimisation_problems(recipe)
    if recipe.spec.in_channels != 1:
        yield f"the model has {recipe.spec.in_channels} channels; expected 1: training is on magnitude images."
    if recipe.loss.relative and recipe.spec.base_image is None:
        yield "loss.relative is above 0; expected 0: this network has no base image whose error could be compared."
    yield from _fixed_scale_problems(recipe)


def _share(name: str, value: float) -> Iterator[str]:
    if not 0 <= value <= 1:
        yield f"{name} is {value}; expected a share from 0 to 1."


def _choice(name: str, value: str, allowed: tuple[str, ...]) -> Iterator[str]:
    if value not in allowed:
        yield f"{name} is {value!r}; expected one of {', '.join(allowed)}."


def _source_problems(recipe: Recipe) -> Iterator[str]:
    for source in recipe.sources:
        yield from _share("source.validation_share", source.validation_share)
        for name, allowed in _SOURCE_CHOICES.items():
            yield from _choice(f"source.{name}", getattr(source, name), allowed)
        if len(source.contrasts) < 2:
            yield f"a source names {len(source.contrasts)} contrasts; expected at least two."
        if not set(source.targets) <= set(source.contrasts):
            yield f"source.targets is {list(source.targets)}; expected some of {', '.join(source.contrasts)}."
        if source.slice_step < 1:
            yield f"source.slice_step is {source.slice_step}; expected 1 or more."


def _degradation_problems(recipe: Recipe) -> Iterator[str]:
    settings = recipe.degradation
    if len(settings.scales) != 2 or not 1 <= settings.scales[0] <= settings.scales[-1]:
        yield f"degradation.scales is {list(settings.scales)}; expected the lowest and the highest factor, from 1 on."
    if min(settings.slice_sizes, default=0) < 16:
        yield f"degradation.slice_sizes is {list(settings.slice_sizes)}; expected sizes of at least 16."


def _optimisation_problems(recipe: Recipe) -> Iterator[str]:
    settings = recipe.optimisation
    for name, least in _LEAST.items():
        if getattr(settings, name) < least:
            yield f"optimisation.{name} is {getattr(settings, name)}; expected {least} or more."
    if settings.muon_learning_rate < 0:
        yield f"optimisation.muon_learning_rate is {settings.muon_learning_rate}; expected 0 or a number above it."
    if settings.learning_rate <= 0:
        yield f"optimisation.learning_rate is {settings.learning_rate}; expected a number above 0."
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
