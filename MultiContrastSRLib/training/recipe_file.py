"""Recipes in TOML files: the recipes that ship with the library, and the user's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

from ..core.errors import FileReadError, InputError, UnknownNameError
from ..io.toml import parse_toml
from ..networks.registry import from_dict, light, published
from ..networks.spec import Spec
from .recipe import PARTS, Recipe, Source
from .recipe_names import current_names

RECIPES = Path(__file__).with_name("recipes")
SIZES = {"light": light, "published": published}


def recipe_names() -> list[str]:
    """Names of the recipes that ship with the library."""
    return sorted(path.stem for path in RECIPES.glob("[!_]*.toml"))


def load_recipe(name: str | Path, changes: Mapping[str, str] | None = None) -> Recipe:
    """Read a recipe of the library by name, or a .toml file by path.

    Args:
        changes: "part.field" → TOML text of the value that replaces the file's.

    Raises:
        UnknownNameError: neither the name of a recipe nor a .toml file.
        FileReadError: the file is missing or not valid TOML.
        InputError: an unknown field or an impossible value.
    """
    values = _tables(name)
    for key, text in (changes or {}).items():
        part, _, field = key.rpartition(".")
        change = {field: parse_toml(f"value = {text}", f"Change {key}={text}", "train")["value"]}
        table = values.setdefault(part, {}) if part else values
        if not isinstance(table, dict):
            raise InputError(
                f"Change {key}={text} is of {part!r}, which is no single table; expected PART.FIELD=VALUE."
            )
        table.update(current_names({part: change})[part] if part else change)
    return from_mapping({"name": Path(name).stem, **values})


def _tables(name: str | Path) -> dict[str, object]:
    """The tables of a recipe, merged field by field into those of the recipe that its `base` names.

    `[model]` and `[[source]]` replace those of the base as a whole.
    """
    place = Path(name)
    if place.suffix != ".toml":
        place = RECIPES / f"{name}.toml"
        if not place.exists():
            raise UnknownNameError(
                f"Unknown recipe {str(name)!r}; expected one of {', '.join(recipe_names())}, or a .toml file."
            )
    try:
        text = place.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise FileReadError(
            f"Recipe {place} cannot be read ({error}); check the path. Recipes that ship with the library: "
            f"{', '.join(recipe_names())}."
        ) from error
    values = current_names(parse_toml(text, f"Recipe {place}", "train"))
    base = _tables(str(values.pop("base"))) if "base" in values else {}
    merged = {
        key: {**base[key], **values[key]}
        for key in base.keys() & values.keys() - {"model"}
        if isinstance(base[key], dict) and isinstance(values[key], dict)
    }
    return {**base, **values, **merged}


def from_mapping(values: Mapping[str, object]) -> Recipe:
    """A recipe from the tables of a TOML file, or from `Recipe.as_dict`. Former field names are accepted.

    Raises:
        InputError: an unknown field or an impossible value.
    """
    values = current_names(values)
    name = str(values.get("name", "unnamed"))
    known = {"name", "model", "source", *PARTS}
    _check_keys(f"Recipe {name!r}", values, known)
    parts = {key: _make(cls, values.get(key, {}), f"{name}.{key}") for key, cls in PARTS.items()}
    sources = tuple(_make(Source, entry, f"{name}.source") for entry in values.get("source", ()))
    return Recipe(name, _spec(dict(values.get("model", {})), name), sources, **parts)


def _spec(model: dict[str, object], name: str) -> Spec:
    if "size" not in model:
        return from_dict(model)
    size, network = model.pop("size"), model.pop("network", None)
    if size not in SIZES:
        raise InputError(f"Recipe {name!r}: size of the model is {size!r}; expected one of {', '.join(SIZES)}.")
    return SIZES[size](network, **model)


def _make(cls: type, values: object, place: str) -> object:
    if not isinstance(values, Mapping):
        raise InputError(f"Part {place} of the recipe is {values!r}; expected a table of its fields.")
    defaults = {f.name: getattr(cls(), f.name) for f in fields(cls)}
    _check_keys(f"Part {place} of the recipe", values, set(defaults))
    made = {}
    for key, value in values.items():
        kind = type(defaults[key])
        if kind is float and type(value) is int:
            value = float(value)
        elif kind is tuple and isinstance(value, list):
            value = tuple(value)
        if not isinstance(value, Mapping if kind is dict else kind) or (kind is int and isinstance(value, bool)):
            raise InputError(
                f"Field {place}.{key} of the recipe is {value!r}; expected {_TYPE_NAMES[kind]}, for example "
                f"{defaults[key]!r}."
            )
        made[key] = value
    return cls(**made)


_TYPE_NAMES = {
    int: "a whole number", float: "a number", bool: "true or false", str: "a text", tuple: "a list", dict: "a table",
}  # fmt: skip


def _check_keys(what: str, values: Mapping[str, object], known: set[str]) -> None:
    unknown = sorted(set(values) - known)
    if unknown:
        raise InputError(
            f"{what} has unknown {unknown[0]!r}; expected some of {', '.join(sorted(known))}. Correct the spelling."
        )
