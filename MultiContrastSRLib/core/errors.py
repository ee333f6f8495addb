"""Every error this library raises on purpose. One root, so that one `except` is enough.

Each message carries three things: the value that was found, what was expected, and what to do about it.
"""

from __future__ import annotations


class MultiContrastSRError(Exception):
    """Root of all errors of MultiContrastSR. `exit_code` is what the command line returns for it."""

    exit_code = 2


class InputError(MultiContrastSRError, ValueError):
    """A volume, scale, spacing or other argument that cannot be worked with."""


class GeometryError(InputError):
    """An affine, grid or transform that is singular, non-finite or not representable."""


class UnknownNameError(MultiContrastSRError, KeyError):
    """A method or option name that is not registered."""

    def __str__(self) -> str:  # KeyError would print the repr of the message
        return str(self.args[0]) if self.args else ""


class OptionError(InputError):
    """A method option of the wrong type or outside its range."""


class MethodUnavailableError(MultiContrastSRError):
    """A method that exists but cannot run here (a package, weights or device is missing)."""

    exit_code = 3


class FileReadError(MultiContrastSRError, OSError):
    """A file that does not exist, is truncated or is no image we can read."""

    exit_code = 4


class FileWriteError(MultiContrastSRError, OSError):
    """A file that could not be written; nothing is left behind."""

    exit_code = 4


class NotEnoughMemoryError(MultiContrastSRError, MemoryError):
    """The estimate, made before work starts, exceeds the memory at hand."""

    exit_code = 5


class CancelledError(MultiContrastSRError):
    """The caller asked to stop. Nothing was changed."""

    exit_code = 130

    def __init__(self, stage: str = "") -> None:
        super().__init__(
            f"Cancelled during {stage}; nothing was changed." if stage else "Cancelled; nothing was changed."
        )
        self.stage = stage
