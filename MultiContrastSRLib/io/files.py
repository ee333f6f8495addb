"""What files are, and files that appear whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import FileWriteError


def same_file(first: Path, second: Path) -> bool:
    """Whether both names mean one file, whatever links lie between."""
    try:
        return os.path.samefile(first, second)
    except OSError:
        return os.path.abspath(first) == os.path.abspath(second)


def is_dicom(path: Path) -> bool:
    """Whether a file begins as DICOM files do."""
    try:
        with open(path, "rb") as stream:
            return stream.read(132)[128:] == b"DICM"
    except OSError:
        return False


@contextmanager
def replaced_together(*paths: Path) -> Iterator[list[Path]]:
    """Temporary names beside `paths`; they take their places together when the block ends well, else vanish.

    Raises:
        FileWriteError: for an `OSError` of the block; earlier files at `paths` are then as they were.
    """
    # in the same folder, for only there is the final move one step
    partial = [path.with_name(f".{path.name}.{os.getpid()}.partial") for path in paths]
    try:
        for path in paths:
            if path.is_dir():
                raise IsADirectoryError(21, "it is a folder", str(path))
        yield partial
        for source, path in zip(partial, paths, strict=True):
            os.replace(source, path)
    except OSError as error:
        if isinstance(error, FileWriteError):
            raise
        raise FileWriteError(
            f"Could not write {paths[0]}: {error.strerror or error}. Nothing was left behind. Choose a folder that is "
            "writable and has space."
        ) from error
    finally:
        for path in partial:
            path.unlink(missing_ok=True)
