"""Paths as users give them, and files that are written completely or not at all."""

from __future__ import annotations

import itertools
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from ..core.errors import FileWriteError

SERIES_SEPARATOR = "::"  # folder::seriesUID


def user_path(path: str | Path) -> Path:
    """`path` with "~" and "~user" replaced by that home folder, unless a file has this name or there is no such user.

    >>> str(user_path("~no-such-user.nii"))
    '~no-such-user.nii'
    """
    place = Path(path)
    if not str(place).startswith("~") or os.path.lexists(place):
        return place
    try:
        return place.expanduser()
    except RuntimeError:  # no such user
        return place


def split_series(path: str | Path) -> tuple[Path, str | None]:
    """(file or folder, UID of the DICOM series or None) of "folder::seriesUID"; names may contain "::" themselves."""
    whole = user_path(path)
    head, separator, series = str(path).rpartition(SERIES_SEPARATOR)
    if not separator or not head or os.path.lexists(whole):
        return whole, None
    return user_path(head), series or None


def same_file(first: Path, second: Path) -> bool:
    """Whether both names refer to one file, directly or through links."""
    try:
        return os.path.samefile(first, second)
    except OSError:  # one is not there
        return os.path.normcase(os.path.realpath(first)) == os.path.normcase(os.path.realpath(second))


def check_places(places: Mapping[str, Path], inputs: tuple[object, ...] = (), *, overwrite: bool = True) -> None:
    """Check that the files of one command are different ones and may be written; see `check_different`, `check_place`.

    Args:
        places: what is written → where.
    """
    check_different(places)
    for place in places.values():
        check_place(place, inputs, overwrite=overwrite)


def check_different(places: Mapping[str, Path]) -> None:
    """Check that no two outputs of one command are the same file. Called before long work starts.

    Args:
        places: what is written, as the message names it → where.

    Raises:
        FileWriteError: two are; only the later one would be there.
    """
    for (first, place), (second, other) in itertools.combinations(places.items(), 2):
        if same_file(place, other):
            raise FileWriteError(
                f"Output {place} is both {first} and {second}; expected different files. Choose another name for one "
                "of them."
            )


def check_place(place: Path, inputs: tuple[object, ...] = (), *, overwrite: bool = True) -> None:
    """Check that a file may be written at `place`. Called before long work starts, and again before writing.

    Args:
        inputs: paths that must not be overwritten; None among them is ignored.
        overwrite: whether another file at `place` may be replaced.

    Raises:
        FileWriteError: the folder does not exist or is not writable, the name is too long, or `place` is an input,
            a folder or device, or an existing file that must be kept.
    """
    try:
        exists = os.path.lexists(place)
        os.lstat(place)
    except FileNotFoundError:
        pass
    except OSError as error:  # a name that is too long, a file in the place of a folder
        raise _not_written(place, reason_of(error), "Choose another name.") from error
    final = _final(place)
    if not final.parent.is_dir():
        raise FileWriteError(
            f"Output folder {final.parent} does not exist; expected an existing folder. Create it first."
        )
    if final.exists() and not (final.is_file() or final.is_dir()):
        raise FileWriteError(f"Output {place} is a device or a pipe; expected a regular file. Choose another name.")
    check_writable(place, final.parent)
    for source in inputs:
        if source and same_file(place, Path(str(source))):
            raise FileWriteError(
                f"Output {place} is also an input; expected another name, for an acquired scan is never overwritten. "
                "Choose another name."
            )
    if not overwrite and exists:
        raise FileWriteError(f"Output {place} exists already; choose another name, or allow it (--overwrite).")


def check_ours(path: Path, key: str, value: object) -> None:
    """Raise `FileWriteError` where there is a file at `path` that is no JSON file of ours, with `value` under `key`."""
    if not path.exists():
        return
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = None
    if not isinstance(found, dict) or found.get(key) != value:
        raise FileWriteError(
            f"Report {path} would overwrite a file that is no report of ours, perhaps the sidecar of a scan. Choose "
            "another name for the output."
        )


def check_writable(place: Path, folder: Path) -> None:
    """Raise `FileWriteError`, about `place`, if nothing can be made in the existing `folder`."""
    if not os.access(folder, os.W_OK, effective_ids=os.access in os.supports_effective_ids):
        raise _not_written(place, "Permission denied")


def reason_of(error: OSError) -> str:
    """What the operating system said, also where a library raised an error of its own for it.

    >>> reason_of(OSError(28, "No space left on device"))
    'No space left on device'
    """
    first: BaseException | None = error
    while first is not None:
        if isinstance(first, OSError) and first.strerror:
            return first.strerror
        first = first.__cause__ or first.__context__
    return str(error)


def is_dicom(path: Path) -> bool:
    """Whether a file begins as DICOM files do."""
    try:
        with open(path, "rb") as stream:
            return stream.read(132)[128:] == b"DICM"
    except OSError:
        return False


@contextmanager
def replaced_together(*paths: Path) -> Iterator[list[Path]]:
    """Temporary files that replace `paths` together when the block ends without an error, and are deleted otherwise.

    Of a path that is a symbolic link, the file that it points to is replaced; the link stays.

    Raises:
        FileWriteError: for an `OSError` of the block; earlier files at `paths` are then unchanged.
    """
    final = [_final(path) for path in paths]
    # in the same folder, where the final move is atomic; with the extension, by which writers choose the format; short,
    # so that the longest name that the disk allows can be written
    partial = [path.with_name(f".{secrets.token_hex(4)}{_extension(path)}") for path in final]
    try:
        for path in final:
            if path.is_dir():
                raise IsADirectoryError(21, "it is a folder", str(path))
        yield partial
        for source, path in zip(partial, final, strict=True):
            os.replace(source, path)
    except OSError as error:
        if isinstance(error, FileWriteError):
            raise
        raise _not_written(paths[0], reason_of(error)) from error
    finally:
        for path in partial:
            path.unlink(missing_ok=True)


def _final(path: Path) -> Path:
    """Where a symbolic link leads; other paths as they are."""
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def _extension(path: Path) -> str:
    return ".nii.gz" if path.name.lower().endswith(".nii.gz") else path.suffix


def _not_written(
    path: Path, reason: str, remedy: str = "Choose a folder that is writable and has space."
) -> FileWriteError:
    return FileWriteError(f"Could not write {path}: {reason}. Nothing was left behind. {remedy}")
