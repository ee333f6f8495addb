"""The methods. Every module of this package is imported once, and registers the methods that it defines.

>>> import MultiContrastSRLib as mc
>>> [method.name for method in mc.methods()][:2]
['nearest', 'linear']
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Callable
from types import ModuleType

from ..image.prepared import Prepared
from .contract import GROUPS, REGISTRY, Method, Option, register

__all__ = ["GROUPS", "Method", "Option", "Prepared", "all_methods", "get", "register"]


def _discover() -> None:
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")


class _CallableModule(ModuleType):
    """`MultiContrastSRLib.methods()` and this package share a name; this class makes the package callable."""

    get: Callable[[str], Method]

    def __call__(self) -> tuple[Method, ...]:
        """All methods, in menu order."""
        return all_methods()


sys.modules[__name__].__class__ = _CallableModule


def all_methods() -> tuple[Method, ...]:
    """All methods, in menu order.

    >>> "guided" in [method.name for method in all_methods()]
    True
    """
    _discover()
    return tuple(REGISTRY)


def get(name: str) -> Method:
    """The method called `name`.

    Raises:
        UnknownNameError: no such method; the message lists the known ones.
    """
    _discover()
    return REGISTRY[name]
