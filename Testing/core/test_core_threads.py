"""Torch in one thread: nothing is left behind, in this thread and in others."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import get_ident

import pytest

torch = pytest.importorskip("torch", reason="The number of torch's threads needs torch, which is not installed here.")

from MultiContrastSRLib.core import threads  # noqa: E402
from MultiContrastSRLib.core.errors import CancelledError  # noqa: E402
from MultiContrastSRLib.core.progress import Monitor  # noqa: E402
from MultiContrastSRLib.core.threads import for_each, single_threaded, threads_by_load  # noqa: E402


@pytest.fixture(autouse=True)
def three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def in_new_thread(function):
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result()


def test_it_has_no_effect_outside_the_thread_that_uses_it():
    with single_threaded():
        assert torch.get_num_threads() == 1
        assert in_new_thread(torch.get_num_threads) == 3
    assert torch.get_num_threads() == in_new_thread(torch.get_num_threads) == 3


def test_overlapping_uses_leave_every_thread_as_it_was():
    with ThreadPoolExecutor(1) as first, ThreadPoolExecutor(1) as second:
        one, two = single_threaded(), single_threaded()
        first.submit(one.__enter__).result()
        second.submit(two.__enter__).result()
        first.submit(one.__exit__, None, None, None).result()
        assert second.submit(torch.get_num_threads).result() == 1
        second.submit(two.__exit__, None, None, None).result()
        assert [pool.submit(torch.get_num_threads).result() for pool in (first, second)] == [3, 3]
    assert torch.get_num_threads() == in_new_thread(torch.get_num_threads) == 3


def test_an_error_restores_the_number_and_uses_can_be_nested():
    with pytest.raises(ZeroDivisionError), single_threaded(), single_threaded():
        raise ZeroDivisionError
    assert torch.get_num_threads() == 3


@pytest.mark.parametrize("idle", [1, 3])
def test_every_item_is_worked_on_once_by_threads_that_compute_alone(idle, monkeypatch):
    monkeypatch.setattr(threads, "idle_threads", lambda most: min(most, idle))
    done, seen = [], set()

    def work(item: int, monitor: Monitor) -> None:
        monitor.check()
        done.append(item)
        seen.add((torch.get_num_threads(), torch.is_inference_mode_enabled()))

    with torch.inference_mode():
        for_each(range(50), work, Monitor())
    assert sorted(done) == list(range(50)) and seen == {(1, True)} and torch.get_num_threads() == 3


def test_an_error_and_a_cancellation_end_all_threads(monkeypatch):
    monkeypatch.setattr(threads, "idle_threads", lambda most: most)
    begun, asked, caller = [], [], get_ident()

    def fails(item: int, monitor: Monitor) -> None:
        begun.append(item)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        for_each(range(1000), fails, Monitor())
    assert len(begun) < 1000

    def waits(item: int, monitor: Monitor) -> None:
        while True:
            monitor.check()

    with pytest.raises(CancelledError, match="during filter"):
        for_each(range(1000), waits, Monitor(None, lambda: asked.append(get_ident()) or len(asked) > 1, stage="filter"))
    assert asked == [caller, caller]


def test_busy_cores_are_left_to_others(monkeypatch):
    monkeypatch.setattr(threads.os, "cpu_count", lambda: 8)
    for running, count in ((1, 4), (6, 3), (20, 1)):
        monkeypatch.setattr(threads, "_running", lambda running=running: running)
        assert threads.idle_threads(4) == count
    monkeypatch.setattr(threads, "_running", lambda: None)
    assert threads.idle_threads(4) == 4  # not known


def test_work_takes_no_more_threads_than_cores_are_idle(monkeypatch):
    for idle, count in ((2, 2), (8, 3)):
        monkeypatch.setattr(threads, "idle_threads", lambda most, idle=idle: min(most, idle))
        with threads_by_load():
            assert torch.get_num_threads() == count and in_new_thread(torch.get_num_threads) == 3
        assert torch.get_num_threads() == 3


def test_threads_that_wait_busily_for_a_moment_do_not_count(monkeypatch):
    seen = iter([2, 2, 1])  # OpenMP's thread of an operation that has just ended
    monkeypatch.setattr(threads, "_running", lambda: next(seen))
    monkeypatch.setattr(threads.os, "cpu_count", lambda: 2)
    assert threads.idle_threads(2) == 2
    monkeypatch.setattr(threads, "_running", lambda: 2)
    assert threads.idle_threads(2) == 1
    monkeypatch.setattr(threads, "_running", lambda: pytest.fail("a single thread waits for nothing"))
    assert threads.idle_threads(1) == 1
