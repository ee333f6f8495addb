"""The whole state of a training in one file, written all or nothing and read without executing anything."""

from __future__ import annotations

import pickle
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from ..core.errors import FileReadError, InputError
from ..io.files import replaced_together
from .recipe import Recipe

NAME = "checkpoint.pt"


@dataclass
class State:
    """What a training is at a step. Examples and learning rate follow from the step; no other random state exists.

    Attributes:
        recipe: as a table. step: steps done. model, average: weights, and their average. optimiser: its moments.
        curve: one entry a validation. seconds: of work so far. skipped: steps whose gradient was not finite, and `row`
        how many of them were the last ones. sources: what the data were. device: the hardware.
    """

    recipe: dict[str, object]
    step: int
    model: dict[str, Tensor]
    average: dict[str, Tensor]
    optimiser: list[dict[str, object]]
    curve: list[dict[str, object]] = field(default_factory=list)
    seconds: float = 0.0
    skipped: int = 0
    row: int = 0
    loss_sum: float = 0.0
    loss_count: int = 0
    sources: list[str] = field(default_factory=list)
    device: str = ""


def save_state(state: State, folder: Path) -> Path:
    """Write the checkpoint of `folder`. Raises `FileWriteError`; an earlier checkpoint then still stands."""
    place = folder / NAME
    with replaced_together(place) as (partial,):
        torch.save(vars(state), partial)
    return place


def load_state(folder: str | Path) -> State:
    """Read the checkpoint of `folder`. Raises `FileReadError`."""
    place = Path(folder) / NAME
    if not place.exists():
        raise FileReadError(f"Folder {folder} holds no {NAME}; expected one that a training wrote. Train first.")
    try:
        return State(**torch.load(place, map_location="cpu", weights_only=True))
    except (OSError, EOFError, RuntimeError, ValueError, TypeError, KeyError, pickle.UnpicklingError) as error:
        raise FileReadError(
            f"Checkpoint {place} cannot be read ({type(error).__name__}); it is damaged or of another version. Remove "
            "it to train from the start."
        ) from error


def check_recipe(state: State, recipe: Recipe, folder: Path) -> None:
    """Raises `InputError` when `folder` holds the training of another recipe."""
    before, now = state.recipe, recipe.as_dict()
    if before == now:
        return
    different = [
        f"{part}.{key}" if isinstance(value, dict) else part
        for part, value in now.items()
        for key in (value if isinstance(value, dict) else [part])
        if before.get(part) != value
        and (not isinstance(value, dict) or (before.get(part) or {}).get(key) != value.get(key))
    ]
    raise InputError(
        f"Folder {folder} holds a training by another recipe (different: {', '.join(different[:5])}); expected the "
        "same to go on with it. Choose another folder, or remove its checkpoint."
    )
