"""Export of a checkpoint: float16 weights in a safetensors file, with their model card."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from .._version import __version__
from ..core.errors import FileWriteError, InputError
from ..io.files import check_place
from ..networks.registry import build
from ..weights.card import save_card
from ..weights.file import load_network, save_weights
from .checkpoint import check_data, load_state
from .data.pack import Pack
from .initial_weights import load_initial_weights
from .recipe import Recipe
from .recipe_file import from_mapping, load_recipe, recipe_names
from .validation import Validation

_SUFFIX = ".safetensors"


def check_export(output: str | Path, *, overwrite: bool = False) -> Path:
    """The place of a weights file, after a check that it and its model card may be written.

    Raises:
        FileWriteError: another extension, or a file that exists already.
    """
    place = Path(output)
    if place.suffix != _SUFFIX:
        raise FileWriteError(f"Output {place} has an unknown extension; expected {_SUFFIX}. Rename it.")
    for path in (place, place.with_suffix(".json"), place.with_suffix(".md")):
        check_place(path, overwrite=overwrite)
    return place


def export(
    folder: str | Path,
    output: str | Path,
    pack: Pack,
    *,
    arguments: Sequence[str] = (),
    overwrite: bool = False,
) -> tuple[Path, Path, Path]:
    """Write the averaged weights of the training run in `folder`, and score the written file.

    Args:
        output: NAME.safetensors; the model card is written next to it as NAME.json and NAME.md.
        pack: validation data; the scores are those of the written float16 file. Without any, and in a recipe that does
            not validate, there are none.
        arguments: of `multicontrastsr train` that give the recipe and its changes, for the card; by default its
            name, or NAME.toml where none of that name ships.

    Returns:
        The paths of the three files.

    Raises:
        FileReadError: the folder holds no checkpoint.
        InputError: the checkpoint has not done a step, or was trained on other data than `pack`.
        FileWriteError: another extension, or a file that exists already.
    """
    place = check_export(output, overwrite=overwrite)
    state = load_state(folder)
    recipe = from_mapping(state.recipe)
    if state.step < 1:
        raise InputError(f"Checkpoint in {folder} has done {state.step} steps; expected at least one. Train first.")
    check_data(state, pack, folder)
    frozen, initial = frozenset(), None
    if recipe.optimisation.freeze_initial_weights:
        initial = recipe.optimisation.initial_weights
        frozen = load_initial_weights(build(recipe.spec), initial).names
    tensors = {name: tensor.numpy() for name, tensor in state.average.items() if name not in frozen}
    texts = {"recipe": recipe.name, "version": __version__}
    digest = save_weights(place, recipe.spec, tensors, texts, extends=initial)
    net = load_network(place, digest)
    scores = {}
    if recipe.optimisation.validate_every or any(stack.slices() for stack in pack.part("validation")):
        scores = Validation(pack, recipe)(net)
    card = {
        "title": recipe.about.title or f"{recipe.name} of MultiContrastSR",
        "version": __version__,
        "licence": recipe.about.licence or "not stated",
        "model": recipe.spec.as_dict(),
        "parameters": sum(p.numel() for p in net.parameters()),
        "file": {"name": place.name, "bytes": place.stat().st_size, "sha256": digest},
        "training": {
            "recipe": recipe.as_dict(),
            "steps": state.step,
            "skipped": state.skipped,
            "seconds": round(state.seconds, 1),
            "hardware": state.device,
            "sources": state.sources,
            "curve": state.curve,
        },
        "scores": {
            "what": "Mean PSNR of validation slices after data consistency, peak = range of the true slice, k-space "
            "degradation in plane, every ordered pair of contrasts.",
            "command": _command(recipe, arguments, place.name),
            "validation": scores,
        },
        "data": list(recipe.about.data),
        "limits": list(recipe.about.limits),
    }
    return (place, *save_card(card, place.with_suffix(".json")))


def _command(recipe: Recipe, arguments: Sequence[str], file: str) -> str:
    """The command that trains `recipe` and writes `file`."""
    if not arguments:
        ships = recipe.name in recipe_names() and load_recipe(recipe.name) == recipe
        arguments = [recipe.name if ships else f"{recipe.name}.toml"]
    places = ["--data", "SCANS", "--output", "FOLDER", "--export", file]
    return shlex.join(["multicontrastsr", "train", *arguments, *places])
