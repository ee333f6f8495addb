"""The whole state of a training run in one file, written completely or not at all and read without executing code."""

from __future__ import annotations

import pickle
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from ..core.errors import FileReadError, InputError
from ..io.files import replaced_together
from .data.pack import Pack
from .recipe import Recipe
from .recipe_file import from_mapping

NAME = "checkpoint.pt"
_RENAMED = {"row": "consecutive_skipped"}  # former names of the fields below


@dataclass
class State:
    """A training run at a step. Batches and learning rate follow from the step; there is no other random state.

    Attributes:
        recipe: see `Recipe.as_dict`.
        step: steps done.
        model, average: the weights, and their moving average.
        optimiser: see `Optimiser.state_dict`.
        curve: one entry for each validation: step, loss, scores.
        seconds: training time so far.
        skipped: steps with non-finite gradients, and `consecutive_skipped` how many of them were the last ones.
        loss_sum, loss_count: of the losses since the last validation.
        sources: of the data and the initial weights.
        device: names of the hardware, with "; " between them.
    """

    recipe: dict[str, object]
    step: int
    model: dict[str, Tensor]
    average: dict[str, Tensor]
    optimiser: list[dict[str, object]]
    curve: list[dict[str, object]] = field(default_factory=list)
    seconds: float = 0.0
    skipped: int = 0
    consecutive_skipped: int = 0
    loss_sum: float = 0.0
    loss_count: int = 0
    sources: list[str] = field(default_factory=list)
    device: str = ""


def save_state(state: State, folder: Path) -> Path:
    """Write the checkpoint of `folder`.

    Raises:
        FileWriteError: the file cannot be written; an earlier checkpoint is kept.
    """
    place = folder / NAME
    with replaced_together(place) as (partial,):
        torch.save(vars(state), partial)
    return place


def load_state(folder: str | Path) -> State:
    """Read the checkpoint of `folder`.

    Raises:
        FileReadError: it is missing or damaged.
    """
    place = Path(folder) / NAME
    if not place.exists():
        raise FileReadError(f"Folder {folder} holds no {NAME}; expected one that a training run wrote. Train first.")
    try:
        stored = torch.load(place, map_location="cpu", weights_only=True)
        return State(**{_RENAMED.get(name, name): value for name, value in stored.items()})
    except (
        OSError, EOFError, RuntimeError, ValueError, TypeError, KeyError, AttributeError, pickle.UnpicklingError,
    ) as error:  # fmt: skip
        raise FileReadError(
            f"Checkpoint {place} cannot be read ({type(error).__name__}); it is damaged or of another version. Remove "
            "it to train from the start."
        ) from error


def check_recipe(state: State, recipe: Recipe, folder: Path) -> None:
    """Check that `state`, the checkpoint of `folder`, is of `recipe`.

    Raises:
        InputError: it is of another recipe.
    """
    before, now = from_mapping(state.recipe).as_dict(), recipe.as_dict()
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
        f"Folder {folder} holds a training run of another recipe (different: {', '.join(different[:5])}); expected the "
        "same recipe to resume it. Choose another folder, or remove its checkpoint."
    )


def check_data(state: State, pack: Pack, folder: str | Path) -> None:
    """Check that `state`, the checkpoint of `folder`, was trained on the data of `pack`.

    A checkpoint of an earlier version that states no data passes.

    Raises:
        InputError: the pack holds other subjects, or other contrasts or parts of them.
    """
    # the last line is that of the initial weights, see `State.sources`
    initial = from_mapping(state.recipe).optimisation.initial_weights
    sources = state.sources[:-1] if initial else state.sources
    before, now = Counter(sources), Counter(pack.sources)
    if not state.sources or before == now:
        return
    changes = {"added": now - before, "missing": before - now}
    different = "; ".join(f"{what}: {'; '.join(list(lines)[:5])}" for what, lines in changes.items() if lines)
    raise InputError(
        f"Folder {folder} holds a training run on other data ({different}); expected the same subjects in the same "
        "parts, so that no subject is both trained on and validated on. Give it the same data, or choose another "
        "--output."
    )
