"""What files are, and files that appear whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..core.errors import FileWriteError


def same_file(first: Path, second: Path) -> bool:
    """Whether both names mean one file, whatever links lie between."""
    try:
        return os.path.samefile(first, second)
    except OSError:
        return os.path.abspath(first) == os.path.abspath(second)


def check_place(place: Path, inputs: tuple[object, ...] = (), *, overwrite: bool = True) -> None:
    """Whether a file may be written at `place`; asked before long work starts, and again before writing.

    Args:
        inputs: paths that must survive; None among them is ignored.
        overwrite: whether another file may lie there already.

    Raises:
        FileWriteError: no such folder, or one that cannot be written to, an input, or a file that must stay.
    """
    if not place.parent.is_dir():
        raise FileWriteError(
            f"Output folder {place.parent} does not exist; expected an existing folder. Create it first."
        )
    if not os.access(place.parent, os.W_OK, effective_ids=os.access in os.supports_effective_ids):
        raise _not_written(place, "Permission denied")
    for source in inputs:
        if source and same_file(place, Path(str(source))):
            raise FileWriteError(
                f"Output {place} is also an input; expected another name, for an acquired scan is never overwritten. "
                "Choose another name."
            )
    if not overwrite and place.exists():
        raise FileWriteError(f"Output {place} exists already; choose another name, or allow it (--overwrite).")


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
    # in the same folder, for only there is the final move one step; with the extension, which tells writers the format
    partial = [path.with_name(f".partial-{os.getpid()}-{path.name}") for path in paths]
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
        raise _not_written(paths[0], error.strerror or str(error)) from error
    finally:
        for path in partial:
            path.unlink(missing_ok=True)


def _not_written(path: Path, reason: str) -> FileWriteError:
    return FileWriteError(
        f"Could not write {path}: {reason}. Nothing was left behind. Choose a folder that is writable and has space."
    )
