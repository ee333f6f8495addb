"""Fits of this session, so that a second Apply does not fit again."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from threading import Lock

from ..image.grid import Grid
from ..image.volume import Volume
from .fitting import Fit
from .presets import Settings

_KEPT = 3  # fits: some tens of megabytes each
_FITS: OrderedDict[str, Fit] = OrderedDict()
_LOCK = Lock()


def digest(contrasts: Sequence[Sequence[Volume]], settings: Settings, lattice: Grid, across: int | None) -> str:
    """The same for the same voxels at the same places and the same settings, whatever the scans are called.

    A fit without a start does not depend on `lattice` and `across`, and is found again for any.
    """
    begun = (lattice.shape, lattice.affine.tobytes(), across) if settings.preset.start else ()
    text = hashlib.sha256(repr((settings, begun)).encode())
    for group in contrasts:
        text.update(b"contrast")
        for scan in group:
            text.update(repr((scan.shape, scan.affine.tobytes(), sorted(scan.metadata.items(), key=str))).encode())
            text.update(scan.array.data)
    return text.hexdigest()


def remembered(key: str, make: Callable[[], Fit]) -> Fit:
    """The fit of `key`, made now if it is not there. A fit that fails or is cancelled leaves nothing."""
    with _LOCK:
        if key in _FITS:
            _FITS.move_to_end(key)
            return _FITS[key]
    made = make()
    with _LOCK:
        _FITS[key] = made
        while len(_FITS) > _KEPT:
            _FITS.popitem(last=False)
    return made


def forget() -> None:
    """Drop all."""
    with _LOCK:
        _FITS.clear()
