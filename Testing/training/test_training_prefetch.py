"""Training: the next batch is made while the network trains."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading

import pytest

torch = pytest.importorskip("torch", reason="Training needs torch, which is not installed here.")

from training_fixtures import phantom_pack, recipe  # noqa: E402

from MultiContrastSRLib.core.errors import InputError  # noqa: E402
from MultiContrastSRLib.training.data.examples import Examples  # noqa: E402
from MultiContrastSRLib.training.data.prefetch import WorkerError, batch_workers, prefetched  # noqa: E402
from MultiContrastSRLib.training.loop import train  # noqa: E402


class Numbers:
    """Examples that say which steps they were asked for, and on which thread."""

    def __init__(self, failing: int = -1) -> None:
        self.failing, self.made, self.threads = failing, [], set()

    def __getitem__(self, step: int) -> int:
        if step == self.failing:
            raise ValueError(f"step {step}")
        self.made.append(step)
        self.threads.add(threading.current_thread())
        return 10 * step


def test_batches_come_in_order_and_one_ahead():
    examples = Numbers()
    batches = prefetched(examples, range(3, 7))
    assert next(batches) == 30
    assert next(batches) == 40
    assert list(batches) == [50, 60]
    assert examples.made == [3, 4, 5, 6]
    (worker,) = examples.threads
    assert worker is not threading.current_thread()
    assert not worker.is_alive()


def test_no_more_than_one_batch_waits_and_closing_ends_the_thread():
    examples = Numbers()
    batches = prefetched(examples, range(1000))
    assert next(batches) == 0
    batches.close()
    assert examples.made in ([0], [0, 1])
    assert not any(thread.is_alive() for thread in examples.threads)


def test_an_error_reaches_the_caller_at_its_step():
    batches = prefetched(Numbers(failing=2), range(5))
    assert [next(batches), next(batches)] == [0, 10]
    with pytest.raises(ValueError, match="step 2"):
        next(batches)


def test_no_steps_no_batches():
    assert list(prefetched(Numbers(), range(4, 4))) == []


def test_worker_processes_make_the_same_batches_in_order():
    examples = Examples(phantom_pack(), recipe("swift", model={"base": "guided"}))
    state = torch.get_rng_state()
    batches = prefetched(examples, range(5, 9), workers=2)
    for step in (5, 6, 7):
        batch, expected = next(batches), examples[step]
        for name in ("target", "truth", "reference", "base"):
            torch.testing.assert_close(getattr(batch, name), getattr(expected, name))
        assert batch.acquisition == expected.acquisition and batch.positions.scale == expected.positions.scale
    assert torch.equal(torch.get_rng_state(), state)
    batches.close()
    assert not multiprocessing.active_children()


def test_processes_that_train_share_the_cores(monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(16)), raising=False)
    device = torch.device("cuda")
    assert [batch_workers(device, processes) for processes in (1, 2, 4, 8)] == [15, 7, 3, 0]
    assert batch_workers(torch.device("cpu")) == 0


class Killed(torch.utils.data.Dataset):
    """Examples whose second one ends the process that makes it, as a system without memory does."""

    def __getitem__(self, step: int) -> int:
        if step == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return step


def test_a_process_that_was_ended_is_an_error_with_the_remedy():
    with pytest.raises(WorkerError, match=r"One of 1 processes .* train with fewer \(--workers, 0 for none\)"):
        list(prefetched(Killed(), range(4), workers=1))


def test_an_error_of_a_process_reaches_the_caller():
    with pytest.raises(ValueError, match="step 2"):
        list(prefetched(Numbers(failing=2), range(5), workers=1))


def test_a_negative_number_of_processes_is_refused(tmp_path):
    with pytest.raises(InputError, match="workers is -1; expected 0 or more"):
        train(recipe("swift"), phantom_pack(), tmp_path, workers=-1)
