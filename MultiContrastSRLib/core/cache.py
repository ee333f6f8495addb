"""Arrays that may be needed again, within a memory bound: the least recently used go first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from threading import Lock

import numpy as np


class Cache:
    """A bounded store of arrays. Safe to ask from any thread.

    Args:
        limit: bytes that it may hold; an array larger than that is not kept.

    >>> cache = Cache(limit=8)
    >>> cache.put("a", np.zeros(1, np.float32)), cache.put("b", np.zeros(1, np.float32)), cache.get("a") is not None
    (None, None, True)
    >>> cache.put("c", np.zeros(1, np.float32))  # "b" was not asked for since
    >>> cache.get("b") is None, cache.nbytes
    (True, 8)
    """

    def __init__(self, limit: int) -> None:
        self.limit = int(limit)
        self._kept: OrderedDict[Hashable, np.ndarray] = OrderedDict()
        self._lock = Lock()
        self.nbytes = 0

    def __contains__(self, key: Hashable) -> bool:
        return key in self._kept

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: Hashable) -> np.ndarray | None:
        """The array of `key`, which thereby counts as used; None when it is not (or no longer) there."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def put(self, key: Hashable, array: np.ndarray) -> None:
        """Keep `array`, and let go of others as needed."""
        with self._lock:
            self._drop(key)
            if array.nbytes > self.limit:
                return
            while self.nbytes + array.nbytes > self.limit:
                self._drop(next(iter(self._kept)))
            self._kept[key] = array
            self.nbytes += array.nbytes

    def clear(self) -> None:
        """Let go of everything."""
        with self._lock:
            self._kept.clear()
            self.nbytes = 0

    def _drop(self, key: Hashable) -> None:
        gone = self._kept.pop(key, None)
        self.nbytes -= 0 if gone is None else gone.nbytes
