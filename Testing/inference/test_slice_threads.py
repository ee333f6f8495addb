"""Slices in several threads: each is that of one thread, with its own test-time augmentation and cancellation."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import get_ident

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="Networks need torch, which is not installed here.")

from live_fixtures import scans, trained  # noqa: E402

from MultiContrastSRLib.core import threads  # noqa: E402
from MultiContrastSRLib.core.errors import CancelledError  # noqa: E402
from MultiContrastSRLib.core.progress import Monitor  # noqa: E402
from MultiContrastSRLib.inference import slice_network  # noqa: E402
from MultiContrastSRLib.inference.slice_network import SliceNetwork  # noqa: E402
from MultiContrastSRLib.methods import get  # noqa: E402
from MultiContrastSRLib.networks.test_time_augmentation import enabled_transforms, without_augmentation  # noqa: E402


@pytest.fixture
def calls(monkeypatch) -> list[tuple[int, int, int]]:
    """Of each call of a network: the thread, the number of slices and that of the transforms."""
    found, right = [], SliceNetwork.__call__

    def noted(network, stack, *normalisations):
        found.append((get_ident(), len(stack.base), enabled_transforms(network.net.test_time_augmentation)))
        return right(network, stack, *normalisations)

    monkeypatch.setattr(SliceNetwork, "__call__", noted)
    monkeypatch.setattr(threads, "idle_threads", lambda most: most)
    before = torch.get_num_threads()
    yield found
    torch.set_num_threads(before)


def prepared(method: str, count: int, refine: tuple[bool, bool, bool], monitor: Monitor | None = None):
    torch.set_num_threads(count)
    options = {**trained(method), "test_time_augmentation": 2}
    return get(method).prepare(*scans((10, 64, 60)), refine=refine, monitor=monitor, **options)


@pytest.mark.parametrize(
    ("method", "refine"),
    [
        ("swift", (False, True, True)),
        ("swift", (True, False, False)),
        ("minet", (False, True, True)),
        ("dinet", (False, True, True)),
    ],
)
def test_slices_are_those_of_one_thread(method, refine, calls):
    alone, seen = prepared(method, 1, refine), [*calls]
    calls.clear()
    together = prepared(method, 3, refine)
    assert np.abs(together.array - alone.array).max() <= 1e-5 * np.ptp(alone.array)
    assert {slices for _, slices, transforms in [*seen, *calls] if transforms == 2} == {1}
    assert together.warnings == alone.warnings and together.notes == alone.notes
    assert len({thread for thread, *_ in seen}) == 1 < len({thread for thread, *_ in calls})
    for transforms in (1, 2):  # of the trials, which other threads' results do not disturb, and of the results
        counts = [sum(n for _, n, each in found if each == transforms) for found in (seen, calls)]
        assert counts[0] == counts[1]
    assert counts[0] > 0


def test_large_slices_are_computed_one_after_the_other(calls, monkeypatch):
    monkeypatch.setattr(slice_network, "_MOST_PIXELS_AT_ONCE", 1000)
    prepared("swift", 3, (False, True, True))
    assert {thread for thread, *_ in calls} == {get_ident()}


def test_cancellation_is_asked_in_the_calling_thread_and_ends_all(calls):
    askers = []

    def cancel() -> bool:
        askers.append(get_ident())
        return len(calls) >= 3

    with pytest.raises(CancelledError):
        prepared("swift", 3, (False, True, True), Monitor(None, cancel))
    assert set(askers) == {get_ident()} and len({thread for thread, *_ in calls}) > 1
    done = len(calls)
    assert prepared("swift", 3, (False, True, True)).array.any()  # the cancelled threads left nothing behind
    assert len(calls) > done


def test_augmentation_is_left_out_in_one_thread_alone():
    with ThreadPoolExecutor(1) as other, without_augmentation():
        assert (enabled_transforms(4), other.submit(enabled_transforms, 4).result()) == (1, 4)
    assert enabled_transforms(4) == 4
