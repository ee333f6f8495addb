"""The errors of this library, with one root class, so that one `except` is enough.

Each message states the value that was found, what was expected, and the remedy.
"""

from __future__ import annotations


class MultiContrastSRError(Exception):
    """Root of all errors of MultiContrastSR. `exit_code` is what the command line returns for it."""

    exit_code = 2


class InputError(MultiContrastSRError, ValueError):
    """A volume, scale, spacing or other argument that cannot be used."""


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
    """A file that does not exist, is truncated or is no image of a supported format."""

    exit_code = 4


class FileWriteError(MultiContrastSRError, OSError):
    """A file that could not be written; no partial file is left."""

    exit_code = 4


class NotEnoughMemoryError(MultiContrastSRError, MemoryError):
    """The memory estimate, made before work starts, exceeds the available memory."""

    exit_code = 5


class CancelledError(MultiContrastSRError):
    """The caller cancelled. Nothing was changed."""

    exit_code = 130

    def __init__(self, stage: str = "") -> None:
        super().__init__(
            f"Cancelled during {stage}; nothing was changed." if stage else "Cancelled; nothing was changed."
        )
        self.stage = stage
