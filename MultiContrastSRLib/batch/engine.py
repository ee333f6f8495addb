"""Runs calls in worker processes on this machine: a crash or the kernel's out-of-memory killer takes one call only."""

from __future__ import annotations

import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Protocol

from ..core.errors import CancelledError, MultiContrastSRError, NotEnoughMemoryError
from ..core.progress import Monitor, ProgressCallback
from .worker import call

_LOOK = 0.2  # s between two looks at memory and cancellation
_GRACE = 2.0  # s that workers have to end after a signal
ATTEMPTS = 3


@dataclass(frozen=True)
class Task:
    """A call: `function` is "package.module:name", and takes a `Monitor` after its `arguments`."""

    name: str
    function: str
    arguments: tuple


@dataclass(frozen=True)
class Event:
    """What happened to the task `name`.

    Attributes:
        kind: "start", "progress" (`fraction` of the task in `stage`), "retry" (its worker was lost), "result" (`value`)
            or "error" (`value` is the exception).
    """

    name: str
    kind: str
    value: Any = None
    fraction: float = 0.0
    stage: str = ""


class WorkerLostError(MultiContrastSRError):
    """A worker process ended during a task, as often as it was tried."""


class Engine(Protocol):
    """What runs tasks."""

    def run(self, tasks: Sequence[Task], cancelled: Callable[[], bool]) -> Generator[Event, None, None]:
        """Run all `tasks`; their events, in the order in which they happen. Closing the iterator ends the workers.

        Raises:
            CancelledError: `cancelled()` returned True; the workers have ended.
        """


@dataclass(frozen=True)
class SerialEngine:
    """One task after the other in this process; `progress` is told the fraction of all and the running task."""

    progress: ProgressCallback | None = None

    def run(self, tasks: Sequence[Task], cancelled: Callable[[], bool] = lambda: False) -> Generator[Event, None, None]:
        """See `Engine.run`."""
        whole = Monitor(self.progress, cancelled)
        for number, task in enumerate(tasks):
            yield Event(task.name, "start")
            part = whole.part(number / len(tasks), (number + 1) / len(tasks), task.name)
            yield _outcome(task, part)


def _outcome(task: Task, monitor: Monitor) -> Event:
    try:
        return Event(task.name, "result", call(task.function, task.arguments, monitor))
    except CancelledError:
        raise
    except MultiContrastSRError as error:
        return Event(task.name, "error", error)


@dataclass
class LocalEngine:
    """One process a worker, each kept for many tasks.

    Attributes:
        workers: number of processes.
        memory_mb: memory of all of them together; a worker that exceeds its share is ended, and its task fails. None
            for no limit. Looked up in /proc, so on Linux only.
        log: file for what libraries print; None discards it.
        temporary: folder for temporary files of libraries; None for the system's.
    """

    workers: int = 1
    memory_mb: float | None = None
    log: Path | None = None
    temporary: Path | None = None
    _running: list[_Worker] = field(default_factory=list, init=False)
    _failed_starts: int = field(default=0, init=False)

    def run(self, tasks: Sequence[Task], cancelled: Callable[[], bool] = lambda: False) -> Generator[Event, None, None]:
        """See `Engine.run`."""
        waiting = deque(tasks)
        attempts: dict[str, int] = {}
        answers: queue.SimpleQueue[tuple[_Worker, tuple | None]] = queue.SimpleQueue()
        try:
            for number in range(min(self.workers, len(tasks))):
                self._start(number, answers)
            while waiting or any(worker.task for worker in self._running):
                for worker in self._running:
                    if waiting and worker.task is None and worker.is_ready:
                        task = waiting.popleft()
                        attempts[task.name] = attempts.get(task.name, 0) + 1
                        worker.give(task)
                        yield Event(task.name, "start")
                if cancelled():
                    raise CancelledError("batch")
                self._limit_memory()
                try:
                    worker, message = answers.get(timeout=_LOOK)
                except queue.Empty:
                    continue
                if message is None:
                    yield from self._lost(worker, waiting, attempts, answers)
                elif message[0] == "ready":
                    worker.is_ready = True
                elif message[0] == "cancelled":  # by a signal that came from elsewhere
                    raise CancelledError("batch")
                elif worker.task is not None:
                    yield _event(worker.task, message)
                    if message[0] != "progress":
                        worker.task = None
        finally:
            self._end()

    # ------------------------------------------------------------------ workers

    def _start(self, number: int, answers: queue.SimpleQueue) -> None:
        self._running.append(_Worker(number, self._environment(number), self.log, answers))

    def _environment(self, number: int) -> dict[str, str]:
        """Threads and GPUs are dealt out to the workers."""
        package = str(Path(__file__).resolve().parents[2])
        path = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH", "")]))
        environment = {**os.environ, "PYTHONPATH": path}
        threads = str(max(1, (os.cpu_count() or 1) // self.workers))
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"):
            environment.setdefault(name, threads)
        if gpus := visible_gpus():
            environment["CUDA_VISIBLE_DEVICES"] = gpus[number % len(gpus)]
        if self.temporary is not None:
            environment["TMPDIR"] = str(self.temporary)
        return environment

    def _lost(
        self, worker: _Worker, waiting: deque[Task], attempts: dict[str, int], answers: queue.SimpleQueue
    ) -> Iterator[Event]:
        """Replace a worker that ended; its task is tried again, unless it took too much memory."""
        self._running.remove(worker)
        worker.process.wait()
        task, code = worker.task, worker.process.returncode
        self._failed_starts = 0 if worker.is_ready else self._failed_starts + 1
        if self._failed_starts >= ATTEMPTS:
            raise WorkerLostError(
                f"A worker process ended with code {code} while it started. See {self.log or 'its output'}, and "
                "check that this Python can import the library."
            )
        if task is not None and worker.exceeded:
            yield Event(
                task.name,
                "error",
                NotEnoughMemoryError(
                    f"{worker.exceeded:.0f} MB were in use; a worker's share is {self._share():.0f} MB. Raise "
                    "--mem-mb, lower --n-procs, or choose a coarser spacing."
                ),
            )
        elif task is not None and attempts[task.name] >= ATTEMPTS:
            how = f"by signal {-code}" if code < 0 else f"with code {code}"
            advice = "Memory may have run out: lower --n-procs, or choose a coarser spacing."
            yield Event(task.name, "error", WorkerLostError(f"Its process ended {how}, {ATTEMPTS} times. {advice}"))
        elif task is not None:
            waiting.appendleft(task)
            yield Event(task.name, "retry")
        if waiting:
            self._start(worker.number, answers)

    def _share(self) -> float:
        return (self.memory_mb or float("inf")) / self.workers

    def _limit_memory(self) -> None:
        if self.memory_mb is None:
            return
        for worker in self._running:
            used = resident_mb(worker.process.pid)
            if worker.task is not None and used > self._share():
                worker.exceeded = used
                worker.process.kill()

    def _end(self) -> None:
        """End all workers: idle ones by the end of their input, the others by signals."""
        for worker in self._running:
            worker.end()
        deadline = time.monotonic() + _GRACE
        for worker in self._running:
            worker.wait(deadline - time.monotonic())
        self._running.clear()


class _Worker:
    """A worker process, and the thread that reads its answers into the common queue; None marks its end."""

    def __init__(self, number: int, environment: dict[str, str], log: Path | None, answers: queue.SimpleQueue) -> None:
        self.number = number
        self.task: Task | None = None
        self.is_ready = False
        self.exceeded = 0.0
        with open(log or os.devnull, "ab") as printed:
            self.process = subprocess.Popen(
                [sys.executable, "-m", f"{__package__}.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=printed,
                env=environment,
                start_new_session=True,  # Ctrl-C reaches the main process only
            )
        assert self.process.stdin is not None
        self._input = self.process.stdin
        threading.Thread(target=_forward, args=(self, self.process.stdout, answers), daemon=True).start()

    def give(self, task: Task) -> None:
        self.task = task
        with suppress(OSError):  # where it has ended, which its thread reports
            pickle.dump((task.function, task.arguments), self._input)
            self._input.flush()

    def end(self) -> None:
        if self.task is not None:
            self.process.send_signal(signal.SIGTERM)
        else:
            with suppress(OSError):
                self._input.close()

    def wait(self, seconds: float) -> None:
        """Wait until it has ended; after `seconds` it is killed."""
        try:
            self.process.wait(max(0.0, seconds))
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def _forward(worker: _Worker, stream: IO[bytes], answers: queue.SimpleQueue) -> None:
    with suppress(Exception):  # its end, or an answer that was cut off by it
        while True:
            answers.put((worker, pickle.load(stream)))
    answers.put((worker, None))


def _event(task: Task, message: tuple) -> Event:
    kind, *rest = message
    if kind == "progress":
        return Event(task.name, kind, None, *rest)
    return Event(task.name, kind, rest[0])


def visible_gpus() -> list[str]:
    """Names of the CUDA devices for CUDA_VISIBLE_DEVICES, without importing torch; none where there are none."""
    stated = os.environ.get("CUDA_VISIBLE_DEVICES")
    if stated is not None:
        return [name.strip() for name in stated.split(",") if name.strip()]
    found = sorted(Path("/proc/driver/nvidia/gpus").glob("*")) if sys.platform == "linux" else []
    return [str(number) for number in range(len(found))]


def resident_mb(process: int) -> float:
    """Memory in MB that a process holds; 0 where the system does not say."""
    try:
        with open(f"/proc/{process}/statm", encoding="ascii") as stream:
            return int(stream.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    except (OSError, ValueError, IndexError):
        return 0.0
