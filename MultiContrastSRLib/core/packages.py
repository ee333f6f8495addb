"""Whether the packages that a method requires work, not only whether they are installed."""

from __future__ import annotations

import importlib
import importlib.util
from types import ModuleType

import numpy as np

from .errors import MethodUnavailableError


def problem(module: str) -> str | None:
    """Why `module` cannot be imported, as far as that is known without importing it; None where nothing is known.

    >>> problem("numpy"), problem("a_package_that_is_not_there")
    (None, 'needs a_package_that_is_not_there, which is not installed; install it first')
    """
    try:
        found = importlib.util.find_spec(module)
    except (ImportError, ValueError):  # a broken parent package, or a module without a spec
        return None
    if found is None:
        return f"needs {module}, which is not installed; install it first"
    if (found.origin is None and found.loader is None) or type(found.loader).__name__ == "NamespaceLoader":
        return _broken(module, f"its folder {next(iter(found.submodule_search_locations or ['']), '')} is incomplete")
    return None


def require(module: str) -> ModuleType:
    """Import `module`, and try out PyTorch.

    Raises:
        MethodUnavailableError: it is not installed, or is installed but does not work; the message says the remedy.
    """
    if reason := problem(module):
        raise MethodUnavailableError(f"This {reason}.")
    try:
        imported = importlib.import_module(module)
        if module == "torch":
            probe_torch(imported)
    except Exception as error:  # a damaged or mismatched installation fails in any way
        lines = str(error).strip().splitlines()
        raise MethodUnavailableError(
            f"This {_broken(module, lines[-1] if lines else type(error).__name__)}."
        ) from error
    return imported


def probe_torch(torch: ModuleType) -> None:
    """Compute a little with `torch`; raises whatever an installation raises that cannot.

    An installation for another NumPy imports and computes, but cannot exchange arrays ("Numpy is not available").
    """
    values = np.arange(4, dtype=np.float32)
    if not np.array_equal((2 * torch.from_numpy(values)).numpy(), 2 * values):
        raise RuntimeError("it computes wrong numbers")


def _broken(module: str, cause: str) -> str:
    remedy = "in Slicer, press Uninstall and then Install in the module PyTorch Utils" if module == "torch" else ""
    return (
        f"needs {module}, which is installed but does not work ({cause.rstrip('.')}); install it again, for example by "
        f"`python -m pip install --force-reinstall {module}`{'; ' + remedy if remedy else ''}"
    )
