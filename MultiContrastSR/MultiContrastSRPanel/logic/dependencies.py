"""Installs what a method needs, just before its first use, in the ways Slicer offers. Main thread only.

PyTorch comes through the PyTorch extension, which picks the build for this computer; never through plain pip.
Other packages come through `slicer.packaging` (Slicer 5.12 and newer), else through `slicer.util.pip_install`.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Sequence
from types import ModuleType

import slicer

from .library import library

TORCH_REQUIREMENT = ">=2.1"
_OFFLINE = (
    "If this computer is offline or behind a proxy, connect it once, or have an administrator install the package "
    "into Slicer's Python."
)


def installable(module: str) -> bool:
    """Whether `ensure` knows a way to get `module`, so that a method lacking it can be offered all the same."""
    return module == "torch" or hasattr(slicer, "packaging") or hasattr(slicer.util, "pip_install")


def ensure(modules: Sequence[str]) -> None:
    """Make `modules` importable, asking the user before anything is installed.

    Raises:
        MethodUnavailableError: declined, failed or broken; the message says which, and the remedy.
    """
    for module in modules:
        if module == "torch":
            ensure_torch()
        else:
            ensure_package(module)


def ensure_torch() -> ModuleType:
    """A working `torch`, installed through the PyTorch extension when there is none. Errors as `ensure`."""
    torch = _probe_torch()
    if torch is not None:
        return torch
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
    """The package `name` (also the module's name), installed with pip when it is missing. Errors as `ensure`."""
    if _importable(name):
        return
    try:
        if hasattr(slicer, "packaging"):
            slicer.packaging.pip_ensure(name, requester="MultiContrastSR")
        elif slicer.util.confirmOkCancelDisplay(f"This method needs the Python package '{name}'. Install it now?"):
            slicer.util.pip_install(name)
        else:
            raise RuntimeError("declined")
    except Exception as error:
        if "declined" in str(error):  # pip_ensure says it with a RuntimeError of this text
            raise _unavailable(
                f"The Python package {name!r} was not installed because the installation was declined. "
                "Press Apply again to be asked again, or choose a method that does not need it."
            ) from error
        raise _unavailable(f"Installing the Python package {name!r} failed: {_cause(error)}. {_OFFLINE}") from error
    if not _importable(name):
        raise _unavailable(f"The Python package {name!r} was installed but cannot be imported yet. Restart Slicer.")


def _probe_torch() -> ModuleType | None:
    """torch if it works, None if it is not there; `MethodUnavailableError` if it is there but broken."""
    try:
        torch = importlib.import_module("torch")
        torch.zeros(1)
    except ModuleNotFoundError as error:
        if error.name == "torch":
            return None
        broken: Exception = error
    except Exception as error:  # a half-finished or mismatched installation fails in any way it likes
        broken = error
    else:
        return torch
    raise _unavailable(
        f"PyTorch is installed but does not work ({_cause(broken)}). Open the module 'PyTorch Utils', press Uninstall, "
        "restart Slicer, press Install there, and come back."
    ) from broken


def _install_torch(logic: object) -> object | None:
    """Call `installTorch` with those keywords that this version of the extension knows."""
    wanted = {"askConfirmation": True, "torchVersionRequirement": TORCH_REQUIREMENT}
    known = inspect.signature(logic.installTorch).parameters
    return logic.installTorch(**{name: value for name, value in wanted.items() if name in known})


def _importable(name: str) -> bool:
    importlib.invalidate_caches()
    try:
        importlib.import_module(name)
    except ImportError:
        return False
    return True


def _cause(error: BaseException) -> str:
    """What went wrong: the last words of a failed command's output where there is one, else the error's own."""
    output = getattr(error, "stderr", None) or getattr(error, "output", None)
    if isinstance(output, bytes):
        output = output.decode(errors="replace")
    lines = [line.strip() for line in str(output or error).splitlines() if line.strip()]
    return lines[-1].rstrip(".") if lines else type(error).__name__


def _unavailable(message: str) -> Exception:
    return library("core.errors").MethodUnavailableError(message)
