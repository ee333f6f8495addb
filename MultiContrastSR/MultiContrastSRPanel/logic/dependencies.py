"""Installs what a method needs, just before its first use, in the ways Slicer offers, and imports it.

`ensure` installs (main thread, asks the user); `load` imports, which may take seconds (any thread). PyTorch is
installed through the PyTorch extension, which picks the build for this computer; never through plain pip. Other
packages are installed through `slicer.packaging` (Slicer 5.12 and newer), else through `slicer.util.pip_install`.
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType

import slicer

from .library import library

TORCH_REQUIREMENT = ">=2.3"  # the first that works with NumPy 2
_OFFLINE = (
    "If this computer is offline or behind a proxy, connect it once, or have an administrator install the package "
    "into Slicer's Python."
)
_broken: set[str] = set()  # modules whose last `load` failed


def installable(module: str) -> bool:
    """Whether `ensure` can install `module`, so that a method which needs it can be offered all the same."""
    return module == "torch" or hasattr(slicer, "packaging") or hasattr(slicer.util, "pip_install")


def ensure(modules: Sequence[str]) -> None:
    """Install those of `modules` that are missing, asking the user before. Main thread only; `load` imports them.

    Raises:
        MethodUnavailableError: declined, failed or broken; the message says which, and the remedy.
    """
    for module in modules:
        if module == "torch":
            ensure_torch()
        elif not is_installed(module):
            ensure_package(module)


def load(modules: Sequence[str], progress: Callable[[float, str], None] | None = None) -> None:
    """Import `modules`, which `ensure` has installed. On any thread: the first import of PyTorch takes seconds.

    Args:
        progress: called with `loading_text` before the import, when there is something to import.

    Raises:
        MethodUnavailableError: an installed package does not work.
    """
    if not are_loaded(modules) and progress is not None:
        progress(0.0, loading_text(modules))
    for module in modules:
        try:
            _load(module)
        except Exception:
            _broken.add(module)
            raise
        _broken.discard(module)


def may_work(module: str) -> bool:
    """Whether `module` is installed, and its last `load`, if there was one, did not fail. Imports nothing."""
    return is_installed(module) and module not in _broken


def _load(module: str) -> None:
    if module == "torch":
        _preload_torch_library()
        if _probe_torch() is None:
            raise _unavailable("PyTorch is not installed any more. Press Apply again to install it.")
        return
    try:
        importlib.import_module(module)
    except Exception as error:
        raise _unavailable(
            f"The Python package {module!r} is installed but does not work ({_cause(error)}). "
            f"Install it again in Slicer's Python console: pip_install('--force-reinstall {module}')."
        ) from error


def are_loaded(modules: Sequence[str]) -> bool:
    """Whether `load` has nothing to import. A module that another thread is importing does not count yet."""
    found = [sys.modules.get(module) for module in modules]
    return not any(m is None or getattr(getattr(m, "__spec__", None), "_initializing", False) for m in found)


def loading_text(modules: Sequence[str]) -> str:
    """What the user reads while `load` imports `modules`."""
    names = ", ".join("PyTorch" if module == "torch" else module for module in modules)
    return f"Starting {names}…"


def is_installed(module: str) -> bool:
    """Whether Python finds `module`, without importing it."""
    if module in sys.modules:
        return sys.modules[module] is not None
    importlib.invalidate_caches()
    return importlib.util.find_spec(module) is not None


def ensure_torch() -> ModuleType | None:
    """PyTorch, installed through its extension when there is none; None while it is installed and not imported yet.

    Raises:
        MethodUnavailableError: as `ensure`.
    """
    if is_installed("torch"):
        return _probe_torch() if are_loaded(["torch"]) else None
    try:
        from PyTorchUtils import PyTorchUtilsLogic
    except Exception as error:  # missing, or an extension built for another Slicer
        raise _unavailable(
            f"This method needs PyTorch, and the PyTorch extension that installs it cannot be used ({error}). "
            "Install the extension 'PyTorch' with the Extensions Manager, restart Slicer and press Apply again."
        ) from error
    try:
        installed = _install_torch(PyTorchUtilsLogic())
    except Exception as error:
        raise _unavailable(
            f"Installing PyTorch failed: {_cause(error)}. {_OFFLINE} "
            "Then press Apply again; the module 'PyTorch Utils' shows the details."
        ) from error
    if installed is None:
        raise _unavailable(
            "PyTorch was not installed because the installation was declined. "
            "Press Apply again to be asked again, or choose a classical method, which needs no PyTorch."
        )
    torch = _probe_torch()
    if torch is None:
        raise _unavailable("PyTorch was installed but cannot be found yet. Restart Slicer and press Apply again.")
    return torch


def ensure_package(name: str) -> None:
    """Install the missing package `name` (also the module's name) with pip. Errors as `ensure`."""
    try:
        if hasattr(slicer, "packaging"):
            slicer.packaging.pip_ensure(name, requester="MultiContrastSR")
        elif slicer.util.confirmOkCancelDisplay(f"This method needs the Python package '{name}'. Install it now?"):
            slicer.util.pip_install(name)
        else:
            raise RuntimeError("declined")
    except Exception as error:
        if "declined" in str(error):  # the text of pip_ensure's RuntimeError
            raise _unavailable(
                f"The Python package {name!r} was not installed because the installation was declined. "
                "Press Apply again to be asked again, or choose a method that does not need it."
            ) from error
        raise _unavailable(f"Installing the Python package {name!r} failed: {_cause(error)}. {_OFFLINE}") from error
    if not _importable(name):
        raise _unavailable(f"The Python package {name!r} was installed but cannot be imported yet. Restart Slicer.")


def _probe_torch() -> ModuleType | None:
    """The module torch if it works, None if it is not there; `MethodUnavailableError` if it is there but broken."""
    try:
        torch = importlib.import_module("torch")
        library("core.packages").probe_torch(torch)
    except ModuleNotFoundError as error:
        if error.name == "torch":
            return None
        broken: Exception = error
    except Exception as error:  # a half-finished or mismatched installation raises errors of any type
        broken = error
    else:
        return torch
    raise _unavailable(
        f"PyTorch is installed but does not work ({_cause(broken)}). Open the module 'PyTorch Utils', press Uninstall, "
        "restart Slicer, press Install there, and come back."
    ) from broken


def _preload_torch_library() -> None:
    """Load PyTorch's largest shared library with Python's lock (the GIL) released.

    `import torch` loads it with the lock held, which stops the interface for half a second. Where this does not work
    (Windows, another file name), the import does it as ever.
    """
    spec = None if are_loaded(["torch"]) else importlib.util.find_spec("torch")
    if spec is None or not spec.submodule_search_locations or not hasattr(os, "RTLD_LAZY"):
        return
    folder = Path(spec.submodule_search_locations[0]) / "lib"
    suffix = ".dylib" if sys.platform == "darwin" else ".so"
    load_library = ctypes.CDLL(None).dlopen  # a function called through ctypes runs with the lock released
    load_library.restype, load_library.argtypes = ctypes.c_void_p, [ctypes.c_char_p, ctypes.c_int]
    # in the order and the mode in which `import torch` loads them
    for name, mode in (("libtorch_global_deps", os.RTLD_GLOBAL), ("libtorch_cpu", os.RTLD_LOCAL)):
        path = folder / f"{name}{suffix}"
        if path.is_file():
            load_library(os.fsencode(path), os.RTLD_LAZY | mode)


def _install_torch(logic: object) -> object | None:
    """Call `installTorch` with those keywords that this version of the extension knows."""
    keywords = {"askConfirmation": True, "torchVersionRequirement": TORCH_REQUIREMENT}
    known = inspect.signature(logic.installTorch).parameters
    return logic.installTorch(**{name: value for name, value in keywords.items() if name in known})


def _importable(name: str) -> bool:
    importlib.invalidate_caches()
    try:
        importlib.import_module(name)
    except ImportError:
        return False
    return True


def _cause(error: BaseException) -> str:
    """The last line of a failed command's output where there is one, else the message of the error."""
    output = getattr(error, "stderr", None) or getattr(error, "output", None)
    if isinstance(output, bytes):
        output = output.decode(errors="replace")
    lines = [line.strip() for line in str(output or error).splitlines() if line.strip()]
    return lines[-1].rstrip(".") if lines else type(error).__name__


def _unavailable(message: str) -> Exception:
    return library("core.errors").MethodUnavailableError(message)
