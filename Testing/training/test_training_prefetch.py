"""Training: the next batch is made while the network trains."""

from __future__ import annotations

import threading

import pytest

torch = pytest.importorskip("torch", reason="Training needs torch, which is not installed here.")

from MultiContrastSRLib.training.data.prefetch import prefetched  # noqa: E402


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
