"""Torch in one thread: nothing is left behind, in this thread and in others."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

torch = pytest.importorskip("torch", reason="The number of torch's threads needs torch, which is not installed here.")

from MultiContrastSRLib.core.threads import single_threaded  # noqa: E402


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
