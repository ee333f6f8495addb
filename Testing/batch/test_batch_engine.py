"""Engines of a batch: results, errors, lost workers, memory, cancellation, on this machine and on Dask."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

import pytest

from MultiContrastSRLib.batch import dask_engine
from MultiContrastSRLib.batch import engine as engines
from MultiContrastSRLib.batch.dask_engine import DaskEngine
from MultiContrastSRLib.batch.engine import LocalEngine, Task, WorkerLostError
from MultiContrastSRLib.core.errors import (
    CancelledError,
    InputError,
    MethodUnavailableError,
    NotEnoughMemoryError,
)

pytestmark = pytest.mark.slow
posix = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")


@pytest.fixture(autouse=True)
def _workers_find_the_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    here = Path(__file__).resolve().parents[1]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(here), str(here.parent)]))


def task(name: str, function: str, *arguments: object) -> Task:
    return Task(name, f"batch_tasks:{function}", arguments)


def outcomes(engine, *tasks: Task) -> dict[str, object]:
    """Values and errors by the names of tasks."""
    return {event.name: event.value for event in engine.run(tasks, lambda: False) if event.kind in ("result", "error")}


@pytest.fixture(params=["local", "dask"])
def engine(request):
    if request.param == "dask":
        pytest.importorskip("distributed")
        return DaskEngine(workers=2)
    return LocalEngine(2)


def test_results_and_errors_come_back_by_name(engine):
    tasks = [task(str(n), "double", n) for n in range(5)]
    found = outcomes(engine, *tasks, task("bad", "fail"), task("odd", "fail_oddly"))
    assert [found[str(n)] for n in range(5)] == [0, 2, 4, 6, 8]
    assert isinstance(found["bad"], InputError) and str(found["bad"]) == "Value is 3; expected 4. Give another."
    assert isinstance(found["odd"], Exception) and "odd" in str(found["odd"])


@posix
def test_a_task_whose_worker_is_lost_is_tried_again(engine, tmp_path):
    found = outcomes(engine, task("dies", "die", str(tmp_path), 1), *[task(str(n), "double", n) for n in range(3)])
    assert found == {"dies": 1, "0": 0, "1": 2, "2": 4}


@posix
def test_a_task_that_always_kills_its_worker_fails_alone(tmp_path):
    events = list(LocalEngine(1).run([task("dies", "die", str(tmp_path), 99), task("next", "double", 4)]))
    assert [event.kind for event in events if event.name == "dies"] == ["start", "retry"] * 2 + ["start", "error"]
    error = next(event.value for event in events if event.kind == "error")
    assert isinstance(error, WorkerLostError) and "ended by signal 9, 3 times" in str(error)
    assert events[-1].value == 8


@pytest.mark.skipif(sys.platform != "linux", reason="memory is looked up in /proc")
def test_a_task_that_takes_more_than_its_share_of_memory_fails_alone():
    found = outcomes(LocalEngine(1, memory_mb=300), task("big", "fill", 400), task("small", "double", 1))
    assert found["small"] == 2 and isinstance(found["big"], NotEnoughMemoryError)
    assert "a worker's share is 300 MB" in str(found["big"]) and "--mem-mb" in str(found["big"])


@posix
@pytest.mark.parametrize("kind", ["local", "dask"])
def test_a_cancelled_run_leaves_no_process(kind):
    if kind == "dask":
        pytest.importorskip("distributed")
    engine = LocalEngine(2) if kind == "local" else DaskEngine(workers=1)
    stop = threading.Event()
    threading.Timer(3.0, stop.set).start()
    processes = []
    with pytest.raises(CancelledError):
        for event in engine.run([task(str(n), "wait") for n in range(3)], stop.is_set):
            if kind == "local":
                processes = [worker.process for worker in engine._running]
                assert event.kind in ("start", "progress")
    assert all(process.returncode is not None for process in processes)
    assert kind == "dask" or len(processes) == 2


def test_what_tasks_print_does_not_disturb(tmp_path):
    log = tmp_path / "workers.log"
    assert outcomes(LocalEngine(1, log=log), task("a", "print_and_answer")) == {"a": "answer"}
    assert log.read_text().splitlines() == ["not an answer", "nor this"]


def test_threads_and_gpus_are_dealt_out(monkeypatch, tmp_path):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    engine = LocalEngine(3, temporary=tmp_path)
    environments = [engine._environment(number) for number in range(3)]
    assert [each["CUDA_VISIBLE_DEVICES"] for each in environments] == ["3", "5", "3"]
    assert environments[0]["OMP_NUM_THREADS"] == str(max(1, os.cpu_count() // 3))
    assert outcomes(engine, task("a", "environment", "TMPDIR")) == {"a": str(tmp_path)}


def test_a_worker_that_cannot_start_ends_the_run(monkeypatch):
    monkeypatch.setattr(engines.sys, "executable", "/bin/false")
    with pytest.raises(WorkerLostError, match="while it started"):
        list(LocalEngine(1).run([task("a", "double", 1)]))


def test_workers_end_when_the_main_process_is_killed(tmp_path):
    import subprocess

    program = (
        "from MultiContrastSRLib.batch.engine import LocalEngine, Task\n"
        "engine = LocalEngine(2)\n"
        "for event in engine.run([Task(str(n), 'batch_tasks:wait', ()) for n in range(2)]):\n"
        "    if event.kind == 'start': print([w.process.pid for w in engine._running], flush=True)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    pids = [eval(process.stdout.readline()) for _ in range(2)][-1]
    process.kill()
    process.communicate()
    for pid in pids:
        for _ in range(400):
            if not Path(f"/proc/{pid}/cmdline").exists() or not Path(f"/proc/{pid}/cmdline").read_bytes():
                break
            threading.Event().wait(0.05)
        else:
            os.kill(pid, signal.SIGKILL)
            raise AssertionError(f"Worker {pid} still runs.")


def test_a_scheduler_that_does_not_answer_is_named(monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr(dask_engine, "_PATIENCE", "2s")
    with pytest.raises(MethodUnavailableError, match=r"No Dask scheduler answers at tcp://127.0.0.1:9"):
        list(DaskEngine("tcp://127.0.0.1:9").run([task("a", "double", 1)], lambda: False))
