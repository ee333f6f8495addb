"""A small training on phantoms, which takes seconds."""

from __future__ import annotations

import numpy as np
from phantoms import pair

from MultiContrastSRLib.training.pack import Pack, Stack
from MultiContrastSRLib.training.recipe import Recipe
from MultiContrastSRLib.training.recipe_file import from_mapping

TINY = {
    "dual-arbnet": {"features": 8, "blocks": 1, "layers": 2, "fusion_layers": 2, "fusion_convs": 1, "skip": "linear"},
    "dinet": {
        "features": 8, "target_blocks": 1, "target_layers": 1, "reference_blocks": 1, "dimension": 8, "reduced": 4,
        "rank": 2, "radius": 1, "hidden": 8,
    },
    "minet": {"features": 8, "stages": 1, "blocks": 1},
}  # fmt: skip


def tables(network: str = "dual-arbnet", **parts: dict) -> dict:
    """The tables of a tiny recipe; `parts` are laid over them."""
    made = {
        "name": "tiny",
        "model": {"network": network, "size": "light", "base": "sinc", **TINY[network]},
        "source": [{"contrasts": {"T2": "{subject}/t2.nii.gz", "T1": "{subject}/t1.nii.gz"}}],
        "degradation": {"scales": [2.0, 2.0], "canvas": [48]},
        "curriculum": {},
        "augmentation": {},
        "loss": {},
        "optimisation": {
            "steps": 6, "batch": 2, "patch": 0, "rate": 1e-3, "validate": 3, "save": 3, "slices": 2, "ema": 0.9,
            "validation_scales": [2.0],
        },
    }  # fmt: skip
    for name, values in parts.items():
        made[name] = {**made.get(name, {}), **values}
    return made


def recipe(network: str = "dual-arbnet", **parts: dict) -> Recipe:
    """A tiny recipe."""
    return from_mapping(tables(network, **parts))


def phantom_stack(part: str, seed: int, slices: int = 6) -> Stack:
    """T2 and T1 of one invented subject."""
    images = np.stack([v.array / np.percentile(v.array, 99.9) for v in pair((slices, 80, 72), seed)])
    return Stack(f"phantom {seed}", part, ("T2", "T1"), (0, 1), (0,), images.astype(np.float16))


def phantom_pack(train: int = 1) -> Pack:
    """Training subjects and one to validate on."""
    stacks = [phantom_stack("train", seed) for seed in range(1, 1 + train)]
    return Pack((*stacks, phantom_stack("validation", 99, 3)), sources=("phantoms",))
