"""Runs calls on a Dask cluster: on this machine, or any that has a scheduler (SLURM, Kubernetes, clouds)."""

from __future__ import annotations

import queue
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.errors import CancelledError, MethodUnavailableError
from ..core.progress import Monitor
from .engine import ATTEMPTS, Event, Task, WorkerLostError
from .worker import call

_LOOK = 0.2  # s between two looks at cancellation
_PATIENCE = "20s"  # for a scheduler to answer


@dataclass(frozen=True)
class DaskEngine:
    """A Dask cluster; its workers must see input and output under the same paths and have this library installed.

    Attributes:
        address: of a scheduler, "tcp://host:8786"; None starts a cluster on this machine.
        workers, memory_mb, temporary: of a cluster on this machine, see `engine.LocalEngine`.
    """

    address: str | None = None
    workers: int = 1
    memory_mb: float | None = None
    temporary: Path | None = None

    def run(self, tasks: Sequence[Task], cancelled: Callable[[], bool] = lambda: False) -> Generator[Event, None, None]:
        """See `engine.Engine.run`. When cancelled, a remote worker ends the task that it works on by itself."""
        try:
            from distributed import Client, LocalCluster
        except ImportError as error:
            raise MethodUnavailableError(
                f"Dask is not installed ({error}); install it: pip install 'multicontrastsr[batch]', or leave "
                "--scheduler and --dask-local out."
            ) from error
        with ExitStack() as stack:
            where = self.address
            if where is None:
                share = "auto" if self.memory_mb is None else f"{self.memory_mb / self.workers:.0f}MB"
                where = stack.enter_context(
                    LocalCluster(
                        n_workers=self.workers,
                        threads_per_worker=1,
                        memory_limit=share,
                        dashboard_address=None,
                        local_directory=self.temporary and str(self.temporary),
                    )
                )
            try:
                client = stack.enter_context(Client(where, timeout=_PATIENCE))
            except OSError as error:
                raise MethodUnavailableError(
                    f"No Dask scheduler answers at {self.address}: {error}. Start it (`dask scheduler`), or correct "
                    "--scheduler."
                ) from error
            ended: queue.SimpleQueue = queue.SimpleQueue()
            names = {}
            for task in tasks:
                future = client.submit(_call, task.function, task.arguments, pure=False, retries=ATTEMPTS - 1)
                names[future.key] = task.name
                future.add_done_callback(ended.put)
            futures = len(names)
            stack.callback(client.cancel, list(names), force=True)
            while futures:
                if cancelled():
                    raise CancelledError("batch")
                try:
                    future = ended.get(timeout=_LOOK)
                except queue.Empty:
                    continue
                futures -= 1
                yield _event(names[future.key], future)


def _call(function: str, arguments: tuple) -> object:
    return call(function, arguments, Monitor())


def _event(name: str, future: Any) -> Event:
    if future.status == "finished":
        return Event(name, "result", future.result())
    error = future.exception() if future.status == "error" else None
    if type(error).__name__ == "KilledWorker" or error is None:
        advice = "Memory may have run out: give the workers more, or choose a coarser spacing."
        error = WorkerLostError(f"The Dask workers that took the task were lost, one after another. {advice}")
    return Event(name, "error", error)
