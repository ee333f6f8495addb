"""MultiContrastSR: multi-contrast MRI super-resolution. Research use only; not for diagnosis.

    >>> import MultiContrastSRLib as mc
    >>> volume = mc.Volume(np.random.default_rng(0).random((4, 32, 32)), np.diag([1, 1, 3, 1]), "T2")
    >>> result = mc.super_resolve(volume, method="sinc", scale=2)
    >>> result.volume
    Volume('T2 sinc 2x', shape=(4, 64, 64), spacing (k, j, i)=3 × 0.5 × 0.5 mm)

Importing this package imports numpy only; torch, SimpleITK, nibabel, vtk and slicer are imported when first needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._version import __version__ as __version__
from .core.errors import MultiContrastSRError
from .image.grid import Grid
from .image.volume import Volume

if TYPE_CHECKING:
    from .acquisition.degrade import degrade
    from .io import load_volume, save_volume
    from .methods import _CallableModule
    from .pipeline import prepare, super_resolve

    methods: _CallableModule

__all__ = [
    "Grid",
    "MultiContrastSRError",
    "Volume",
    "degrade",
    "load_volume",
    "methods",
    "prepare",
    "save_volume",
    "super_resolve",
]

_HOME = {
    "degrade": "acquisition.degrade",
    "load_volume": "io",
    "prepare": "pipeline",
    "save_volume": "io",
    "super_resolve": "pipeline",
}


def __getattr__(name: str) -> object:
    # PEP 562: the verbs pull scipy and the readers; they arrive with their first use.
    from importlib import import_module

    if name == "methods":  # both the package of methods and the call `methods()`, see there
        return import_module(".methods", __name__)
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
