"""Arguments of the verbs that run in several processes, and the engine that they choose."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..batch.engine import Engine


def add_engine(parser: argparse._ArgumentGroup) -> None:
    """--n-procs, --mem-mb, --work-dir, --scheduler and --dask-local, by the names that BIDS Apps use."""
    parser.add_argument("--n-procs", "--n_cpus", type=_count, default=1, metavar="N", help="processes (default 1)")
    parser.add_argument("--mem-mb", "--mem_mb", type=float, metavar="MB", help="memory of all processes together")
    parser.add_argument("-w", "--work-dir", metavar="DIR", help="folder for temporary files")
    parser.add_argument("--scheduler", metavar="ADDRESS", help="run on a Dask cluster: tcp://host:8786")
    parser.add_argument("--dask-local", action="store_true", help="run on a Dask cluster of this machine")


def engine_of(parsed: argparse.Namespace, log: Path | None = None) -> Engine:
    """The engine that the arguments choose.

    Args:
        log: file for what libraries print in worker processes; its folder exists when they start.

    Raises:
        FileWriteError: the folder for temporary files cannot be made.
    """
    from ..batch.dask_engine import DaskEngine
    from ..batch.engine import LocalEngine
    from ..batch.records import make_folder

    temporary = Path(parsed.work_dir).absolute() if parsed.work_dir else None
    if temporary is not None:
        make_folder(temporary)
    if parsed.scheduler or parsed.dask_local:
        return DaskEngine(parsed.scheduler, parsed.n_procs, parsed.mem_mb, temporary)
    return LocalEngine(parsed.n_procs, parsed.mem_mb, log, temporary)


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} processes; expected 1 or more")
    return number
