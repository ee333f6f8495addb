"""The command `multicontrastsr`: one verb, one file. Verbs import the library when they run."""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Sequence

from ..core.errors import FileWriteError, MethodUnavailableError, MultiContrastSRError, NotEnoughMemoryError
from . import batch, degrade, evaluate, fit, info, methods, super_resolve, train
from .console import discard_output, prepare_streams

VERBS = (super_resolve, batch, fit, evaluate, train, degrade, info, methods)
PROGRAM = "multicontrastsr"
UNEXPECTED, CANCELLED = 1, 130


def build_parser() -> argparse.ArgumentParser:
    """The parser of all verbs."""
    from .._version import __version__

    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Multi-contrast MRI super-resolution. Research use only; not for diagnosis.",
        epilog="Exit codes: 0 done, 1 fault, 2 bad input or usage, 3 not available, 4 file, 5 memory, 130 cancelled.",
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--json", action="store_true", help="print one JSON object on standard output")
    shared.add_argument("--quiet", action="store_true", help="no progress bar")
    shared.add_argument("--debug", action="store_true", help="show the traceback of an error")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for verb in VERBS:
        name = verb.__name__.rpartition(".")[2].replace("_", "-")
        summary = verb.__doc__.splitlines()[0]
        made = verbs.add_parser(
            name,
            parents=[shared],
            help=summary,
            description=verb.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        verb.add_arguments(made)
        made.set_defaults(run=verb.run)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line; returns the exit code. Errors go to standard error without a traceback unless --debug."""
    prepare_streams()
    parsed = build_parser().parse_args(arguments)
    try:
        parsed.run(parsed)
        sys.stdout.flush()
    except MultiContrastSRError as error:
        return _complain(parsed, str(error), error.exit_code)
    except KeyboardInterrupt:
        return _complain(parsed, "Cancelled; no incomplete file is left.", CANCELLED)
    except MemoryError as error:
        reason = f" ({error})" if str(error) else ""
        advice = "Choose a smaller scale, or close other programs."
        return _complain(parsed, f"Memory ran out{reason}. {advice}", NotEnoughMemoryError.exit_code)
    except BrokenPipeError:  # `| head` has read enough
        discard_output()
        return 0
    except OSError as error:  # a full disk behind standard output, for example
        discard_output()
        name = f": {error.filename}" if error.filename else ""
        advice = "Check the disk and the permissions."
        return _complain(parsed, f"{error.strerror or error}{name}. {advice}", FileWriteError.exit_code)
    except ImportError as error:
        if (error.name or "").startswith(__package__.partition(".")[0]):
            return _fault(parsed, error)
        advice = f"Install {(error.name or 'the package').partition('.')[0]} again."
        return _complain(parsed, f"A package does not work: {error}. {advice}", MethodUnavailableError.exit_code)
    except Exception as error:
        return _fault(parsed, error)
    return 0


def _fault(parsed: argparse.Namespace, error: Exception) -> int:
    hint = "" if parsed.debug else " This is a fault of the program; --debug shows where."
    return _complain(parsed, f"{type(error).__name__}: {error}.{hint}", UNEXPECTED)


def _complain(parsed: argparse.Namespace, message: str, code: int) -> int:
    if parsed.debug:
        traceback.print_exc()
    print(f"{PROGRAM}: error: {message}", file=sys.stderr)
    return code
