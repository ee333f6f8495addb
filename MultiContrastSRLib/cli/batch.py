"""Super-resolve the scans of a whole study, subject by subject in several processes.

The input is a BIDS dataset (needs the extra `batch`), or a folder of any layout with --scans. A recipe (--config) or
the options below say what is made of each subject. The same command goes on after an interruption: results that are
there, made of the same scans by the same settings and version, are kept. The table is OUTPUT/batch.tsv, the page
batch.html.

  multicontrastsr batch BIDS OUTPUT participant --targets T2w FLAIR --references T1w --spacing 1
  multicontrastsr batch BIDS OUTPUT participant --config study.toml --n-procs 4 --participant-label 01 02
  multicontrastsr batch scans OUTPUT --scans "{subject}/{contrast}.nii.gz" --targets T2 --references T1
  multicontrastsr batch BIDS OUTPUT participant --config study.toml --array 3/20
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from .._version import __version__
from ..core.errors import CancelledError, InputError, MultiContrastSRError
from .batch_progress import BatchProgress, print_line
from .console import parse_options, warn
from .engines import add_engine, engine_of

if TYPE_CHECKING:
    from ..batch.plan import Subject
    from ..batch.recipe import Recipe

PROGRAM = "multicontrastsr"


class SubjectsFailedError(MultiContrastSRError):
    """Subjects failed."""

    exit_code = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command to `parser`."""
    parser.add_argument("input", help="a BIDS dataset, or with --scans another folder")
    parser.add_argument("output", help="folder of the results; made where it does not exist")
    parser.add_argument(
        "level",
        nargs="?",
        default="participant",
        choices=("participant", "group"),
        help="participant (default) makes results, group only the table and the pages of what is there",
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    parser.add_argument("--scans", metavar="TEMPLATE", help="paths below the input: {subject}, {contrast}, *, **")
    chosen = parser.add_argument_group("subjects")
    for flag, what in (("participant", "participants"), ("session", "sessions")):
        chosen.add_argument(
            f"--{flag}-label", f"--{flag}_label", nargs="+", action="extend", default=[], metavar="LABEL",
            help=f"only these {what} (default: all)",
        )  # fmt: skip
    chosen.add_argument("--array", metavar="I/N", help="only share I of N, for a task of an array of jobs")
    chosen.add_argument("--skip-bids-validation", action="store_true", help="do not call bids-validator-deno")
    recipe = parser.add_argument_group("what is made of each; they replace the settings of the recipe")
    recipe.add_argument("--config", metavar="FILE", help="recipe (.toml)")
    recipe.add_argument("--targets", nargs="+", metavar="CONTRAST", help="in BIDS suffixes: T2w, acq-fast_FLAIR")
    recipe.add_argument("--references", nargs="+", metavar="CONTRAST", help="the preferred one first")
    recipe.add_argument("--method", help="a name from `multicontrastsr methods` (default guided)")
    size = recipe.add_mutually_exclusive_group()
    size.add_argument("--scale", type=float, nargs="+", metavar="S", help="one factor, or three (default 2)")
    size.add_argument("--spacing", metavar="MM", help="isotropic voxels of this size, or native-min")
    recipe.add_argument("--grid", help="target (default), or reference: all contrasts onto the reference's grid")
    recipe.add_argument("--register", help="auto (default), off or on")
    recipe.add_argument("--no-consistency", action="store_true", help="do not put the measured data back")
    recipe.add_argument("--runs", help="several runs of a contrast: one (default) refuses them, first, last or all")
    recipe.add_argument("--unused-reference", help="a reference without relation to the target: fail (default) or warn")
    recipe.add_argument("--device", help="auto (default), cpu, cuda, cuda:N, mps or xpu")
    recipe.add_argument("--option", action="append", default=[], metavar="NAME=VALUE", help="of the method; repeatable")
    how = parser.add_argument_group("how it runs")
    add_engine(how)
    how.add_argument(
        "--watch-input",
        action="store_true",
        help="stop, as after Ctrl-C, when standard input ends: for programs that start this one",
    )


def run(parsed: argparse.Namespace) -> None:
    """Run the command with the parsed arguments."""
    from ..batch.plan import select, share
    from ..batch.records import DONE, FAILED, UNCHANGED
    from ..batch.study import Study
    from ..batch.table import as_text

    recipe = _recipe(parsed)
    source, output = Path(parsed.input).absolute(), Path(parsed.output).absolute()  # workers may run elsewhere
    part, parts = _share(parsed.array)
    subjects = _subjects(parsed, source, output, recipe)
    chosen = select(subjects, parsed.participant_label, parsed.session_label)
    study = Study(subjects, recipe, source, output, not parsed.scans)
    study.check_output()
    if parsed.level == "group":
        study.write_table()
        study.write_pages()
        records = study.records()
    else:
        engine = engine_of(parsed, output / "logs" / "workers.log")
        chosen = share(chosen, part, parts)
        names = [subject.name for subject in chosen]
        progress = BatchProgress(names, as_json=parsed.json, quiet=parsed.quiet)
        with _Stop(parsed.watch_input) as stop, closing(progress):
            try:
                records = study.run(engine, chosen, progress, stop.is_set)
            except CancelledError:
                progress.close()
                print(f"{PROGRAM}: stopped; the same command goes on. Table: {output / 'batch.tsv'}", file=sys.stderr)
                stop.end_by_signal()
                raise
    if parsed.json:
        states = [record.state for record in records]
        totals = {state: states.count(state) for state in dict.fromkeys(states)}
        print_line(event="end", subjects=len(records), states=totals, table=str(output / "batch.tsv"))
    else:
        print(as_text(records))
        print(output / "batch.tsv", output / "batch.html", sep="\n")
    sys.stdout.flush()
    if failed := [record for record in records if record.state == FAILED]:
        others = {record.state for record in records} - {FAILED}
        done = "; the others are done" if others and others <= {DONE, UNCHANGED} else ""
        raise SubjectsFailedError(
            f"{len(failed)} of {len(records)} subjects failed{done}. Mend what {output / 'batch.tsv'} says about them, "
            "and run the command again."
        )


def _recipe(parsed: argparse.Namespace) -> Recipe:
    """The recipe of --config with what the other options say in the place of its settings."""
    from ..batch.recipe import from_mapping, load_recipe

    values = load_recipe(parsed.config) if parsed.config else {}
    names = ("targets", "references", "method", "scale", "spacing", "grid", "register", "runs", "unused_reference")
    given = {name: getattr(parsed, name) for name in (*names, "device") if getattr(parsed, name) is not None}
    if {"scale", "spacing"} & given.keys():
        values = {key: value for key, value in values.items() if key not in ("scale", "spacing")}
    if "method" in given:
        values = {key: value for key, value in values.items() if key != "options"}
    values = {**values, **given}
    if parsed.no_consistency:
        values["consistency"] = False
    if parsed.option:
        options = parse_options(str(values.get("method", "guided")), parsed.option)
        values["options"] = {**values.get("options", {}), **options}
    return from_mapping(values)


def _subjects(parsed: argparse.Namespace, source: Path, output: Path, recipe: Recipe) -> list[Subject]:
    """All subjects of the study."""
    from ..batch.plan import plan_bids, plan_plain
    from ..batch.validation import warning_for

    if parsed.scans:
        return plan_plain(source, parsed.scans, recipe, output)
    subjects = plan_bids(source, recipe)
    if parsed.level == "participant" and not parsed.skip_bids_validation:
        warn(filter(None, [warning_for(source)]))
    return subjects


def _share(text: str | None) -> tuple[int, int]:
    """The numbers of --array: (1, 1) without it."""
    part, _, parts = (text or "1/1").partition("/")
    if not (part.isdecimal() and parts.isdecimal() and 1 <= int(part) <= int(parts)):
        raise InputError(f"--array is {text!r}; expected I/N with I from 1 to N, for example 3/20.")
    return int(part), int(parts)


class _Stop:
    """SIGINT and SIGTERM as a wish to stop while it is entered; a second signal ends the command at once.

    Args:
        watch_input: whether the end of standard input is a wish to stop as well.
    """

    def __init__(self, watch_input: bool) -> None:
        self._watch_input = watch_input
        self._input_ended = threading.Event()
        self._number: int | None = None
        self._before: dict[int, object] = {}

    def __enter__(self) -> _Stop:
        if self._watch_input:
            threading.Thread(target=self._await_end_of_input, daemon=True).start()
        if threading.current_thread() is threading.main_thread():
            self._before = {
                number: signal.signal(number, self._on_signal) for number in (signal.SIGINT, signal.SIGTERM)
            }
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _on_signal(self, number: int, frame: object) -> None:
        if self._number is not None:
            raise KeyboardInterrupt
        self._number = number

    def _await_end_of_input(self) -> None:
        with suppress(OSError):
            while os.read(0, 4096):  # past sys.stdin, whose lock would be held when the interpreter ends
                pass
        self._input_ended.set()

    def is_set(self) -> bool:
        """Whether a signal came, or standard input ended."""
        return self._number is not None or self._input_ended.is_set()

    def end_by_signal(self) -> None:
        """End the process by the signal that came: a shell loop around the command then ends as well."""
        if self._number is not None and os.name == "posix":
            sys.stdout.flush()
            sys.stderr.flush()
            signal.signal(self._number, signal.SIG_DFL)
            os.kill(os.getpid(), self._number)
