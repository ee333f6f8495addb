"""A small training on phantoms, which takes seconds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from phantoms import pair

import MultiContrastSRLib as mc
from MultiContrastSRLib.training.data.pack import ContrastStack, Pack
from MultiContrastSRLib.training.recipe import Recipe
from MultiContrastSRLib.training.recipe_file import from_mapping
from MultiContrastSRLib.training.recipe_names import current_names

TINY = {
    "dual-arbnet": {"features": 8, "blocks": 1, "layers": 2, "fusion_layers": 2, "fusion_convs": 1, "skip": "linear"},
    "dinet": {
        "features": 8, "target_blocks": 1, "target_layers": 1, "reference_blocks": 1, "dimension": 8, "reduced": 4,
        "rank": 2, "radius": 1, "hidden": 8,
    },
    "minet": {"features": 8, "stages": 1, "blocks": 1},
    "swift": {"features": 8, "blocks": 1},
}  # fmt: skip


def tables(network: str = "dual-arbnet", **parts: dict) -> dict:
    """The tables of a tiny recipe; `parts` are laid over them."""
    made = {
        "name": "tiny",
        "model": {"network": network, "size": "light", "base": "sinc", **TINY[network]},
        "source": [{"contrasts": {"T2": "{subject}/t2.nii.gz", "T1": "{subject}/t1.nii.gz"}}],
        "degradation": {"scales": [2.0, 2.0], "slice_sizes": [48]},
        "curriculum": {},
        "augmentation": {},
        "loss": {},
        "optimisation": {
            "steps": 6, "batch_size": 2, "patch": 0, "learning_rate": 1e-3, "validate_every": 3, "save_every": 3,
            "validation_slices": 2, "ema_decay": 0.9, "validation_scales": [2.0],
        },
    }  # fmt: skip
    for name, values in current_names(parts).items():
        made[name] = {**made.get(name, {}), **values}
    return made


def recipe(network: str = "dual-arbnet", **parts: dict) -> Recipe:
    """A tiny recipe."""
    return from_mapping(tables(network, **parts))


def phantom_stack(part: str, seed: int, slices: int = 6) -> ContrastStack:
    """T2 and T1 of one invented subject."""
    images = np.stack([v.array / np.percentile(v.array, 99.9) for v in pair((slices, 80, 72), seed)])
    return ContrastStack(f"phantom {seed}", part, ("T2", "T1"), (0, 1), (0,), images.astype(np.float16))


def phantom_pack(train: int = 1) -> Pack:
    """Training subjects and one to validate on."""
    stacks = [phantom_stack("train", seed) for seed in range(1, 1 + train)]
    return Pack((*stacks, phantom_stack("validation", 99, 3)), sources=("phantoms",))


RICH = {
    "augmentation": {
        "intensity_curve": 0.5, "intensity_inversion": 0.5, "shifted": 1.0, "max_shift": 1.5, "wrong_reference": 0.2,
        "lesions": 0.5, "gain": 0.1,
    },
    "degradation": {
        "scales": [1.0, 3.0], "scale_step": 0.0, "slice_sizes": [48, 60], "noise": 0.02, "anisotropic": 0.5,
        "slab": 0.2,
    },
    "optimisation": {"batch_size": 4},
}  # fmt: skip


@pytest.fixture
def scans(tmp_path) -> Path:
    """Two subjects; the second one's reference lies on another grid."""
    for number, subject in enumerate(("anna", "bert")):
        (tmp_path / subject).mkdir()
        t2, t1 = pair((5, 64, 60), number)
        mc.save_volume(t2, tmp_path / subject / "t2.nii.gz")
        mc.save_volume(mc.degrade(t1, "kspace", 1.25) if number else t1, tmp_path / subject / "t1.nii.gz")
    return tmp_path


@pytest.fixture
def one_thread():
    """Sums in one order, so that equal means equal."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def seeded(one_thread):
    """Random weights and images are the same in every run."""
    import torch

    torch.manual_seed(7)
