"""Finds `MultiContrastSRLib` next to the module or in the source tree."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

NAME = "MultiContrastSRLib"
MODULE_FOLDER = Path(__file__).resolve().parents[2]  # the folder of MultiContrastSR.py

# Built or installed, the library is next to the module; in a source tree, next to the module's folder.
FOLDERS = (MODULE_FOLDER, MODULE_FOLDER.parent)


def library(submodule: str = "") -> ModuleType:
    """`MultiContrastSRLib`, or one of its modules: `library("pipeline")`. Imported at the first call.

    Raises:
        ImportError: the library was not found; the message lists the folders that were searched.
    """
    if NAME not in sys.modules:
        try:
            importlib.import_module(NAME)
        except ModuleNotFoundError as error:
            if error.name != NAME:
                raise
            sys.path.append(str(library_folder().parent))
    return importlib.import_module(f"{NAME}.{submodule}" if submodule else NAME)


def clear_method_caches() -> None:
    """Free the fits and images that methods keep for another run (`Method.clear_cache`). Imports nothing."""
    registered = sys.modules.get(f"{NAME}.methods.contract")
    for method in registered.REGISTRY if registered else ():
        method.clear_cache()


def library_folder() -> Path:
    """The folder of the library, without importing it; `ImportError` when there is none."""
    for folder in FOLDERS:
        if (folder / NAME / "__init__.py").is_file():
            return folder / NAME
    raise ImportError(
        f"The Python package {NAME} was not found in {' or '.join(map(str, FOLDERS))}. "
        "Install the MultiContrastSR extension again, or add the module from a complete source tree."
    )
