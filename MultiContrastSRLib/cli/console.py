"""What the verbs share: standard streams, progress bar, Ctrl-C, and arguments that several of them take."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from ..core.errors import OptionError
from ..core.progress import CancelCallback, ProgressCallback

if TYPE_CHECKING:
    from ..image.volume import Volume

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_YES, _NO = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


def prepare_streams() -> None:
    """Make standard output and error usable however the process was started.

    Closed ones (services, pythonw, `>&-`) go to the null device, and characters that their encoding lacks (a Windows
    code page; file names that are not UTF-8) are printed as "?".
    """
    for number in range(3):  # a file opened later would get the number, and take what libraries print
        if not _is_open(number):
            os.open(os.devnull, os.O_RDWR)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None or stream.closed:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 (to the end of the process)
        elif getattr(stream, "errors", "") == "strict" and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def discard_output() -> None:
    """Send what is still to be written to standard output nowhere: it cannot be written, and Python tries at exit."""
    with suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextmanager
def running(parsed: argparse.Namespace) -> Iterator[dict[str, ProgressCallback | CancelCallback]]:
    """`progress=` and `cancel=` for a long call: a bar on standard error, and Ctrl-C or SIGTERM as the cancel.

    The first signal stops the work at its next check, so that no incomplete file is left; a second stops it at once.
    """
    stop = threading.Event()

    def on_signal(number: int, frame: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    listens = threading.current_thread() is threading.main_thread()
    before = [signal.signal(number, on_signal) for number in _SIGNALS] if listens else []
    bar = Bar() if on_terminal() and not parsed.quiet else None
    try:
        yield {"progress": bar or (lambda fraction, stage: None), "cancel": stop.is_set}
        if stop.is_set():  # cancelled after the last check of the work, when outputs may be written already
            raise KeyboardInterrupt
    finally:
        if bar is not None:
            bar.close()
        for number, handler in zip(_SIGNALS, before, strict=False):
            signal.signal(number, handler)


def on_terminal() -> bool:
    """Whether standard error is a terminal."""
    return sys.stderr.isatty()


class Bar:
    """A progress bar on one line, drawn by tqdm where it is installed."""

    def __init__(self) -> None:
        try:
            from tqdm import tqdm

            layout = "{desc:12.12} {percentage:3.0f}% |{bar}| {elapsed}<{remaining}"
            self._bar = tqdm(total=1.0, bar_format=layout, leave=False, file=sys.stderr)
        except ImportError:
            self._bar = None

    def __call__(self, fraction: float, stage: str) -> None:
        """Show how far the work is, 0 to 1."""
        if self._bar is None:
            print(f"\r{stage[:12]:12} {100 * fraction:3.0f} %", end="", file=sys.stderr, flush=True)
            return
        self._bar.set_description_str(stage, refresh=False)
        self._bar.n = fraction
        self._bar.refresh()

    def close(self) -> None:
        """Clear the line."""
        if self._bar is None:
            print("\r" + " " * 20 + "\r", end="", file=sys.stderr, flush=True)
        else:
            self._bar.close()


def print_json(value: object) -> None:
    """Print one JSON object, in ASCII: it is the same in every encoding, and file names survive."""
    print(json.dumps(value, indent=2, allow_nan=False))


def warn(sentences: Iterable[str]) -> None:
    """Print warnings on standard error."""
    for sentence in sentences:
        print(f"multicontrastsr: warning: {sentence}", file=sys.stderr)


def one_or_three(values: Sequence[float] | None) -> float | tuple[float, ...] | None:
    """A `--scale` of one number or of three."""
    if values is None:
        return None
    return values[0] if len(values) == 1 else tuple(values)


def place_of(volume: str | None) -> str | None:
    """The file or folder that an argument names, without the UID of a DICOM series."""
    from ..io.files import split_series

    return str(split_series(volume)[0]) if volume else None


def parse_options(method: str, pairs: Sequence[str]) -> dict[str, object]:
    """`name=value` pairs as the method's options, in their types."""
    from ..methods import get

    first = next((option.name for option in get(method).options), "name")
    parsed: dict[str, object] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals:
            raise OptionError(f"Option is {pair!r}; expected NAME=VALUE, for example {first}=1.")
        option = get(method).option(name)
        parsed[name] = text if option is None else _typed(text, option.type)
    return parsed


def _typed(text: str, kind: type) -> object:
    """`text` as `kind` where it reads as one; else the text, which the option's own check then refuses by name."""
    if kind is bool:
        return True if text.lower() in _YES else False if text.lower() in _NO else text
    try:
        return kind(text)
    except ValueError:
        return text


def amended(source: str, *, slice_thickness: float | None = None, replace_nan: float | None = None) -> str | Volume:
    """The scan at `source` with what the command line says about it; the path itself where it says nothing.

    Args:
        slice_thickness: mm, in the place of what the file states.
        replace_nan: the value of voxels that are NaN or infinite.
    """
    if slice_thickness is None and replace_nan is None:
        return source
    from ..io import load_volume
    from ..io.amend import with_finite_values, with_slice_thickness

    volume = load_volume(source)
    if slice_thickness is not None:
        volume = with_slice_thickness(volume, slice_thickness)
    return volume if replace_nan is None else with_finite_values(volume, replace_nan)


def add_replace_nan(parser: argparse.ArgumentParser) -> None:
    """--replace-nan."""
    parser.add_argument(
        "--replace-nan",
        type=float,
        nargs="?",
        const=0.0,
        metavar="VALUE",
        help="replace voxels that are NaN or infinite by VALUE (default 0)",
    )


def add_output(parser: argparse.ArgumentParser) -> None:
    """-o and --overwrite."""
    parser.add_argument("-o", "--output", required=True, metavar="FILE", help=".nii, .nii.gz, .nrrd or .mha")
    add_overwrite(parser)


def add_overwrite(parser: argparse.ArgumentParser) -> None:
    """--overwrite."""
    parser.add_argument("--overwrite", action="store_true", help="replace outputs that exist (never an input)")
