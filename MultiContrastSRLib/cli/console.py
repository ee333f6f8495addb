"""What the verbs share: progress bar, Ctrl-C, arguments that several of them take."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ..errors import InputError, OptionError
from ..progress import CancelCallback, ProgressCallback


@contextmanager
def running(parsed: argparse.Namespace) -> Iterator[dict[str, ProgressCallback | CancelCallback]]:
    """`progress=` and `cancel=` for a long call: a bar on standard error, Ctrl-C as the cancel.

    The first Ctrl-C asks the work to stop at its next check, so that no half file is left; a second ends it.
    """
    stop = threading.Event()

    def on_interrupt(number: int, frame: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    main_thread = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGINT, on_interrupt) if main_thread else None
    bar = _Bar() if sys.stderr.isatty() and not parsed.quiet else None
    try:
        yield {"progress": bar or (lambda fraction, stage: None), "cancel": stop.is_set}
    finally:
        if bar is not None:
            bar.close()
        if main_thread:
            signal.signal(signal.SIGINT, before)


class _Bar:
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
        if self._bar is None:
            print("\r" + " " * 20 + "\r", end="", file=sys.stderr, flush=True)
        else:
            self._bar.close()


def print_json(value: object) -> None:
    """One JSON object on standard output."""
    print(json.dumps(value, indent=2, ensure_ascii=False))


def one_or_three(values: Sequence[float] | None) -> float | tuple[float, ...] | None:
    """A `--scale` of one number or of three."""
    if values is None:
        return None
    return values[0] if len(values) == 1 else tuple(values)


def check_output(path: str, inputs: Sequence[str | None], overwrite: bool) -> None:
    """Refuse to write over an input, ever, and over any other file unless asked to."""
    out = Path(path)
    for given in inputs:
        if given and out.exists() and Path(given).exists() and out.samefile(given):
            raise InputError(
                f"Output {path} is one of the inputs; expected another file. Acquired volumes are never overwritten."
            )
    if out.exists() and not overwrite:
        raise InputError(f"Output {path} exists already; expected a new file. Choose another name, or say --overwrite.")


def parse_options(method: str, pairs: Sequence[str]) -> dict[str, object]:
    """`name=value` pairs as the method's options, in their types."""
    from ..methods import get

    known = {option.name: option for option in get(method).options}
    parsed: dict[str, object] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals:
            raise OptionError(f"Option is {pair!r}; expected NAME=VALUE, for example {next(iter(known), 'name')}=1.")
        option = known.get(name)
        parsed[name] = text if option is None else _typed(text, option.type)
    return parsed


def _typed(text: str, kind: type) -> object:
    """`text` as `kind` where it reads as one; else the text, which the option's own check then refuses by name."""
    if kind is bool:
        return {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}.get(text.lower(), text)
    try:
        return kind(text)
    except ValueError:
        return text


def add_output(parser: argparse.ArgumentParser) -> None:
    """-o and --overwrite."""
    parser.add_argument("-o", "--output", required=True, metavar="FILE", help=".nii, .nii.gz, .nrrd or .mha")
    parser.add_argument("--overwrite", action="store_true", help="replace FILE if it exists (never an input)")
