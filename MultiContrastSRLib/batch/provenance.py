"""Hashes of inputs and outputs, and versions of the software: what makes a result reproducible."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from .._version import __version__
from ..io.sidecar import stated_in_sidecars
from .plan import Image
from .recipe import Recipe

_PACKAGES = ("numpy", "scipy", "SimpleITK", "nibabel", "torch")
_PIECE = 1 << 20


def sha256_of(place: Path) -> str:
    """SHA-256 of a file; of a folder (a DICOM series), of the names and contents of its files.

    Raises:
        OSError: it cannot be read.
    """
    digest = hashlib.sha256()
    for path in sorted(place.rglob("*")) if place.is_dir() else [place]:
        if place.is_dir():
            digest.update(path.relative_to(place).as_posix().encode("utf-8", "surrogateescape") + b"\0")
        if path.is_file():
            with open(path, "rb") as stream:
                while piece := stream.read(_PIECE):
                    digest.update(piece)
    return digest.hexdigest()


def inputs_of(image: Image) -> list[dict[str, Any]]:
    """The scans that an image is made of: role, path below the input folder, SHA-256, and what side-cars state.

    Raises:
        OSError: one cannot be read.
    """
    scans = {"target": image.target, "reference": image.reference}
    return [
        {"role": role, "path": scan.relative, "sha256": sha256_of(scan.path), "stated": stated_in_sidecars(scan.path)}
        for role, scan in scans.items()
        if scan is not None
    ]


def weights_of(recipe: Recipe) -> list[str]:
    """SHA-256 of the weights that the method uses: those in files that its options name, else those that ship."""
    from ..weights.registry import shipped

    files = [Path(value) for value in recipe.options.values() if isinstance(value, str) and os.path.isfile(value)]
    return [sha256_of(place) for place in files] or [model.sha256 for model in shipped(recipe.method)]


def fingerprint(recipe: Recipe, inputs: list[dict[str, Any]], weights: list[str]) -> str:
    """Hash of everything that decides the voxels of a result: inputs, settings, weights and version.

    The device is left out: results of two devices count as the same.
    """
    from ..methods import get

    settings = {**recipe.as_dict(), "options": get(recipe.method).check_options(recipe.options)}
    settings = {key: value for key, value in settings.items() if key not in ("targets", "references", "runs", "device")}
    content = {"version": __version__, "settings": settings, "inputs": inputs, "weights": weights}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


@cache
def software() -> dict[str, str]:
    """Versions of this library, Python and the packages that compute."""
    packages = {name: _version(name) for name in _PACKAGES}
    found = {name: version for name, version in packages.items() if version}
    return {"MultiContrastSR": __version__, "Python": platform.python_version(), **found}


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
