"""What of a recipe decides the content of a data pack, and whether a pack was made by a recipe with the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ...core.errors import InputError
from ..recipe import Recipe
from .pack import Pack

_LABELS = ("files", "count")


def data_settings(recipe: Recipe) -> dict[str, object]:
    """The sources and the label maps of `recipe`, in JSON types; see `Pack.settings`."""
    tables = recipe.as_dict()
    return {"source": tables["source"], "labels": {name: tables["labels"][name] for name in _LABELS}}


def check_pack(pack: Pack, recipe: Recipe, path: str | Path) -> str:
    """Check that the pack in the file `path` holds the data that `recipe` names.

    Returns:
        A warning where the pack was made by an earlier version, which did not record it; else "".

    Raises:
        InputError: it was made by a recipe with other sources or label maps.
    """
    if not pack.settings:
        return (
            f"Data pack {path} does not state the recipe that it was made by, and is used as it is. Make it again "
            "(--pack) if the recipe's sources have changed since."
        )
    different = list(_differences(pack, recipe))
    if different:
        raise InputError(
            f"Data pack {path} was made by a recipe with other data ({'; '.join(different[:5])}); expected one made by "
            "this recipe. Make it again by another name (--pack), or delete it."
        )
    return ""


def _differences(pack: Pack, recipe: Recipe) -> Iterator[str]:
    made, now = pack.settings, data_settings(recipe)
    if len(made["source"]) != len(now["source"]):
        yield f"{len(made['source'])} sources, and the recipe has {len(now['source'])}"
        return
    tables = [(f"source {n}", *pair) for n, pair in enumerate(zip(made["source"], now["source"], strict=True), 1)]
    if recipe.augmentation.synthetic > 0 or not pack.part("train"):
        if now["labels"]["files"] and not pack.labels:
            yield "no label maps, and the recipe's augmentation.synthetic needs them"
        tables.append(("labels", made["labels"], now["labels"]))
    for name, before, after in tables:
        for key, value in after.items():
            if before.get(key) != value:
                yield f"{key} of {name} was {before.get(key)!r}, the recipe's is {value!r}"
