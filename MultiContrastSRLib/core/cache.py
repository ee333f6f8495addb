"""Least-recently-used caches that are bounded in bytes."""

from __future__ import annotations

import functools
from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Any, TypeVar

_Function = TypeVar("_Function", bound=Callable[..., Any])


class Cache:
    """A store of values up to a number of bytes; the least recently used go first. Every method is thread-safe.

    A value is anything that `nbytes_of` knows the size of: an array, a tensor, a tuple of these, or an object that has
    `nbytes`. The size is taken when a value is put.

    Args:
        limit: bytes that the values may take together; a value larger than that is not kept.

    >>> import numpy as np
    >>> cache = Cache(limit=8)
    >>> cache.put("a", np.zeros(1, np.float32)), cache.put("b", np.zeros(1, np.float32)), cache.get("a") is not None
    (None, None, True)
    >>> cache.put("c", np.zeros(1, np.float32))  # removes "b", the least recently used
    >>> cache.get("b") is None, cache.nbytes
    (True, 8)
    """

    def __init__(self, limit: int) -> None:
        self.limit = int(limit)
        self.nbytes = 0
        self._entries: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self._lock = Lock()

    def __contains__(self, key: Hashable) -> bool:
        return key in self._entries

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: Hashable) -> Any | None:
        """The value of `key`, which becomes the most recently used; None when it is not (or no longer) there."""
        with self._lock:
            if key not in self._entries:
                return None
            self._entries.move_to_end(key)
            return self._entries[key][0]

    def put(self, key: Hashable, value: Any) -> None:
        """Keep `value` under `key`, and remove others until all fit into the limit."""
        size = nbytes_of(value)
        with self._lock:
            self._remove(key)
            if size > self.limit:
                return
            while self.nbytes + size > self.limit:
                self._remove(next(iter(self._entries)))
            self._entries[key] = value, size
            self.nbytes += size

    def clear(self) -> None:
        """Remove everything."""
        with self._lock:
            self._entries.clear()
            self.nbytes = 0

    def _remove(self, key: Hashable) -> None:
        _, size = self._entries.pop(key, (None, 0))
        self.nbytes -= size


def bytes_bounded_cache(limit: int) -> Callable[[_Function], _Function]:
    """Like `functools.lru_cache`, with a limit in bytes of the results instead of a number of entries.

    Arguments are positional and hashable. A result of None is not kept: it has no size that could be bounded. Two
    threads that ask for the same missing result both compute it.

    Args:
        limit: bytes that all results may take together, see `Cache`.

    Returns:
        A decorator. The decorated function has its `Cache` as attribute `cache`.

    >>> import numpy as np
    >>> @bytes_bounded_cache(limit=1000)
    ... def identity(size):
    ...     return np.eye(size)
    >>> identity(4) is identity(4), identity.cache.nbytes
    (True, 128)
    """

    def decorate(function: _Function) -> _Function:
        cache = Cache(limit)

        @functools.wraps(function)
        def cached(*arguments: Hashable) -> Any:
            value = cache.get(arguments)
            if value is None:
                value = function(*arguments)
                if value is not None:
                    cache.put(arguments, value)
            return value

        cached.cache = cache  # type: ignore[attr-defined]
        return cached  # type: ignore[return-value]

    return decorate


def nbytes_of(value: Any) -> int:
    """Bytes of an array, a tensor, a tuple or list of these, or of any object with an attribute `nbytes`; None is 0.

    >>> import numpy as np
    >>> nbytes_of((np.zeros(3), None, [np.zeros(2, np.float32)]))
    32
    """
    if value is None:
        return 0
    if isinstance(value, (tuple, list)):
        return sum(map(nbytes_of, value))
    return int(value.nbytes)
