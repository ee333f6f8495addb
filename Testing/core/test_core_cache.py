"""Caches that are bounded in bytes: the order of removal, sizes of values, the decorator, threads."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from MultiContrastSRLib.core.cache import Cache, bytes_bounded_cache, nbytes_of


def test_the_least_recently_used_values_are_removed_until_all_fit():
    cache = Cache(100)
    for key in "abc":
        cache.put(key, np.zeros(30, np.uint8))
    assert cache.get("a") is not None
    cache.put("d", np.zeros(60, np.uint8))  # "b" and "c" were used before "a"
    assert [key for key in "abcd" if key in cache] == ["a", "d"] and cache.nbytes == 90
    cache.put("d", np.zeros(5, np.uint8))
    assert (cache.nbytes, len(cache)) == (35, 2)
    cache.put("e", np.zeros(101, np.uint8))  # larger than the limit
    assert cache.get("e") is None and (cache.nbytes, len(cache)) == (35, 2)
    cache.clear()
    assert (cache.nbytes, len(cache)) == (0, 0)


def test_sizes_of_arrays_tensors_and_tuples_of_them():
    torch = pytest.importorskip("torch", reason="Sizes of tensors need torch, which is not installed here.")
    assert nbytes_of((np.zeros(3), None, [torch.zeros(2, 2), np.zeros(1, np.float32)])) == 24 + 16 + 4


def test_results_are_kept_within_the_limit():
    calls = []

    @bytes_bounded_cache(100)
    def zeros(count):
        """Zeros."""
        calls.append(count)
        return np.zeros(count, np.uint8) if count else None

    assert zeros(60) is zeros(60) and calls == [60] and zeros.__doc__ == "Zeros."
    zeros(50)
    assert zeros.cache.nbytes == 50
    zeros(60)
    assert calls == [60, 50, 60]
    assert zeros(0) is zeros(0) is None and zeros.cache.nbytes == 60


def test_many_threads_leave_the_right_size():
    cache = Cache(64)

    def work(seed):
        rng = np.random.default_rng(seed)
        for _ in range(500):
            key = int(rng.integers(20))
            if cache.get(key) is None:
                cache.put(key, np.zeros(int(rng.integers(1, 30)), np.uint8))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    kept = [cache.get(key) for key in range(20)]
    assert cache.nbytes == sum(array.nbytes for array in kept if array is not None) <= cache.limit
