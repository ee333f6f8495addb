"""What the verbs share: progress bar, Ctrl-C, arguments that several of them take."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from ..core.errors import CancelledError, OptionError
from ..core.progress import CancelCallback, ProgressCallback

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_YES, _NO = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


@contextmanager
def running(parsed: argparse.Namespace) -> Iterator[dict[str, ProgressCallback | CancelCallback]]:
    """`progress=` and `cancel=` for a long call: a bar on standard error, Ctrl-C (or a polite kill) as the cancel.

    The first asks the work to stop at its next check, so that no half file is left; a second stops it at once.
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
        if stop.is_set():  # asked for in a stretch of work that has no check after it
            raise CancelledError
    finally:
        if bar is not None:
            bar.close()
        for number, handler in zip(_SIGNALS, before, strict=False):
            signal.signal(number, handler)


def on_terminal() -> bool:
    """Whether somebody watches standard error."""
    return sys.stderr.isatty()


class Bar:
    """A line that is written over: by tqdm where it is installed, else by hand."""

    def __init__(self) -> None:
        try:
            from tqdm import tqdm

            layout = "{desc:12.12} {percentage:3.0f}% |{bar}| {elapsed}<{remaining}"
            self._bar = tqdm(total=1.0, bar_format=layout, leave=False, file=sys.stderr)
        except ImportError:
            self._bar = None

    def __call__(self, fraction: float, stage: str) -> None:
        if self._bar is None:
            print(f"\r{stage[:12]:12} {100 * fraction:3.0f} %", end="", file=sys.stderr, flush=True)
            return
        self._bar.set_description_str(stage, refresh=False)
        self._bar.n = fraction
        self._bar.refresh()

    def close(self) -> None:
        """Wipe the line."""
        if self._bar is None:
            print("\r" + " " * 20 + "\r", end="", file=sys.stderr, flush=True)
        else:
            self._bar.close()


def print_json(value: object) -> None:
    """One JSON object on standard output."""
    print(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))


def warn(sentences: Iterable[str]) -> None:
    """Sentences that the user should read, on standard error."""
    for sentence in sentences:
        print(f"multicontrastsr: warning: {sentence}", file=sys.stderr)


def one_or_three(values: Sequence[float] | None) -> float | tuple[float, ...] | None:
    """A `--scale` of one number or of three."""
    if values is None:
        return None
    return values[0] if len(values) == 1 else tuple(values)


def place_of(volume: str | None) -> str | None:
    """The file or folder that an argument names, without a DICOM series' UID."""
    from ..io import SERIES_SEPARATOR

    return volume.partition(SERIES_SEPARATOR)[0] if volume else None


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


def add_output(parser: argparse.ArgumentParser) -> None:
    """-o and --overwrite."""
    parser.add_argument("-o", "--output", required=True, metavar="FILE", help=".nii, .nii.gz, .nrrd or .mha")
    add_overwrite(parser)


def add_overwrite(parser: argparse.ArgumentParser) -> None:
    """--overwrite."""
    parser.add_argument("--overwrite", action="store_true", help="replace outputs that exist (never an input)")
