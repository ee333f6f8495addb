"""The command line that makes of every subject of a study what the panel would make of one scan."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .. import dependencies
from ..automatic import resolve_method
from ..library import library

_BIDS_READER = "ancpbids"
_RECIPE = ("method", "scale", "spacing", "register", "device")  # keywords of a run that recipes name alike


def batch_arguments(
    source: str,
    output: str,
    targets: Sequence[str],
    references: Sequence[str],
    scans: str,
    processes: int,
    settings: dict[str, Any],
) -> list[str]:
    """Arguments of `multicontrastsr batch`; packages that it needs are installed. Main thread only.

    Args:
        source, output: folders of the study and of the results.
        targets, references: contrasts; the references are left out for methods that use none.
        scans: template of the scans' paths below `source`; empty for a BIDS dataset.
        processes: number of subjects that are worked on at the same time.
        settings: method, scale or spacing, register, data_consistency, device, and the method's options.

    Raises:
        MultiContrastSRError: a setting that cannot be used, or a package that was not installed.
    """
    settings = resolve_method({"method": "guided", **settings})
    method = library("methods").get(settings["method"])
    stated = {name: settings[name] for name in _RECIPE if settings.get(name) is not None}
    options = {name: value for name, value in settings.items() if name not in (*_RECIPE, "data_consistency")}
    recipe = library("batch.recipe").from_mapping(
        {**stated, "targets": list(targets), "references": _references(method, references), "options": options}
    )
    dependencies.ensure([*method.requires, *([] if scans else [_BIDS_READER])])
    arguments = [str(Path(source).absolute()), str(Path(output).absolute()), "--targets", *recipe.targets]
    if recipe.references:
        arguments += ["--references", *recipe.references]
    arguments += ["--scans", scans] if scans else ["--skip-bids-validation"]
    if recipe.scale:
        arguments += ["--scale", *map(str, recipe.scale)]
    if recipe.spacing is not None:
        arguments += ["--spacing", str(recipe.spacing)]
    arguments += ["--method", recipe.method, "--register", recipe.register, "--device", recipe.device]
    arguments += [] if settings.get("data_consistency", True) else ["--no-consistency"]
    for name, value in recipe.options.items():
        arguments += ["--option", f"{name}={value}"]
    return [*arguments, "--n-procs", str(processes)]


def _references(method: Any, references: Sequence[str]) -> list[str]:
    return [] if method.reference == "none" else list(references)
