"""What to make of each subject of a study: the settings in a TOML file or on the command line."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from ..core.errors import FileReadError, InputError
from ..io.toml import parse_toml

NATIVE = "native-min"
_CHOICES = {
    "register": ("auto", "off", "on"),
    "grid": ("target", "reference"),
    "runs": ("one", "first", "last", "all"),
    "unused_reference": ("fail", "warn"),
}


@dataclass(frozen=True)
class Recipe:
    """What to make of each subject.

    Attributes:
        targets: contrasts to super-resolve. In BIDS a suffix, with entities before it where it is not unique:
            "T2w", "acq-mprage_T1w".
        references: contrasts that may be the reference, the preferred one first; empty for methods without one.
        method: a name from `multicontrastsr methods`; `options` are its own.
        scale: one factor, or three (slices, rows, columns).
        spacing: instead of `scale`: isotropic voxels of this many mm, or "native-min" for the smallest spacing of the
            scan whose field of view is rendered.
        grid: "target" renders the target's field of view. "reference" renders that of the reference, in the place of
            the reference, so that all contrasts of a subject share one grid; without scale or spacing it is the
            reference's own grid, also for the reference itself as a target.
        register: "auto", "off" or "on", see `registration.align`.
        consistency: whether results must agree with the acquired data.
        runs: what is done where several runs of a contrast are found: "one" refuses them, "first" and "last" choose
            one, "all" makes a result of each target run (and takes the last run of the reference).
        unused_reference: whether a subject fails whose reference shows no relation to the target ("fail"), or gets a
            result without it ("warn").
        device: "auto", "cpu", "cuda" or another of `core.devices`.
        options: the method's own options.

    >>> Recipe(("T2w",), ("T1w",), spacing=1.0).resolution_label
    '1mm'
    """

    targets: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    method: str = "guided"
    scale: tuple[float, ...] = ()
    spacing: float | str | None = None
    grid: str = "target"
    register: str = "auto"
    consistency: bool = True
    runs: str = "one"
    unused_reference: str = "fail"
    device: str = "auto"
    options: Mapping[str, bool | int | float | str] = field(default_factory=dict)

    @property
    def resolution_label(self) -> str:
        """Value of the entity `res`: letters and digits only."""
        if isinstance(self.spacing, str):
            return "nativemin"
        if self.spacing is not None:
            return f"{self.spacing:g}mm".replace(".", "p")
        if not self.scale and self.grid == "reference":
            return "reference"
        return "x".join(f"{s:g}" for s in self.scale or (2.0,)).replace(".", "p") + "x"

    @property
    def digest(self) -> str:
        """The same for recipes that make the same of a study, on whatever device."""
        content = {**self.as_dict(), "device": None}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]

    def as_dict(self) -> dict[str, object]:
        """JSON-able; `from_mapping` makes the same recipe of it."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}


def load_recipe(path: str | Path) -> dict[str, object]:
    """The settings in a TOML file, to be passed to `from_mapping`.

    Raises:
        FileReadError: the file is missing or not valid TOML.
        MethodUnavailableError: Python 3.10 without the package tomli.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise FileReadError(f"Recipe {path} cannot be read ({error}); expected a TOML file. Check the path.") from error
    return parse_toml(text, f"Recipe {path}", "batch")


def from_mapping(values: Mapping[str, object]) -> Recipe:
    """A recipe from settings as TOML gives them: one text or number may stand for a list of one.

    Raises:
        InputError: an unknown setting, an impossible value, or no target.
        UnknownNameError, OptionError: an unknown method or option.

    >>> from_mapping({"targets": "T2w", "scale": 2}).scale
    (2.0,)
    """
    known = [each.name for each in fields(Recipe)]
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise InputError(
            f"Recipe has unknown {unknown[0]!r}; expected some of {', '.join(known)}. Correct the spelling."
        )
    made: dict[str, Any] = dict(values)
    for name in ("targets", "references"):
        made[name] = _texts(name, values.get(name, ()))
    made["scale"] = _scale(values.get("scale", ()))
    made["spacing"] = _spacing(values.get("spacing"))
    for name, choices in _CHOICES.items():
        if made.get(name, choices[0]) not in choices:
            raise InputError(f"{name} of the recipe is {made[name]!r}; expected one of {', '.join(choices)}.")
    if type(made.get("consistency", True)) is not bool:
        raise InputError(f"consistency of the recipe is {made['consistency']!r}; expected true or false.")
    if not isinstance(made.get("options", {}), Mapping):
        raise InputError(f"options of the recipe are {made['options']!r}; expected a table [options] of NAME = VALUE.")
    recipe = Recipe(**made)
    _check(recipe)
    return recipe


def _check(recipe: Recipe) -> None:
    from ..methods import get

    if not recipe.targets:
        raise InputError('Recipe names no target; expected contrasts, for example targets = ["T2w"].')
    if recipe.scale and recipe.spacing is not None:
        raise InputError(f"Recipe has both scale {recipe.scale} and spacing {recipe.spacing!r}; expected one of them.")
    method = get(recipe.method)
    method.check_options(recipe.options)
    if method.reference == "required" and not recipe.references:
        raise InputError(
            f"Recipe names no reference, which method {recipe.method!r} needs; expected contrasts in order of "
            'preference, for example references = ["T1w"].'
        )
    if recipe.grid == "reference" and not recipe.references:
        raise InputError('Recipe has grid = "reference" and names no reference; expected references = ["T1w"], say.')


def _texts(name: str, value: object) -> tuple[str, ...]:
    texts = (value,) if isinstance(value, str) else tuple(value) if isinstance(value, (list, tuple)) else (None,)
    if not all(isinstance(text, str) and re.fullmatch(r"[^/\s]+", text) for text in texts):
        raise InputError(f'{name} of the recipe is {value!r}; expected names of contrasts, for example ["T2w"].')
    if len(set(texts)) < len(texts):
        raise InputError(f"{name} of the recipe is {value!r}; expected each contrast once.")
    return texts


def _scale(value: object) -> tuple[float, ...]:
    factors = tuple(value) if isinstance(value, (list, tuple)) else (value,)
    if len(factors) not in (0, 1, 3) or not all(_is_positive(each) for each in factors):
        raise InputError(f"scale of the recipe is {value!r}; expected one factor above 0, or three, for example 2.")
    return tuple(float(each) for each in factors)


def _spacing(value: object) -> float | str | None:
    if value is None or value == NATIVE:
        return NATIVE if value else None
    try:
        number = float(value) if isinstance(value, (int, float, str)) else 0.0
    except ValueError:
        number = 0.0
    if not _is_positive(number):
        raise InputError(f"spacing of the recipe is {value!r}; expected mm above 0, or {NATIVE!r}.")
    return number


def _is_positive(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < float("inf")
