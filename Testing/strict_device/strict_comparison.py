"""What the tests on the strict device share: tiny scans, and comparisons with the CPU."""

from __future__ import annotations

import gc
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from phantoms import pair
from strict_device_loader import StrictDevice

import MultiContrastSRLib as mc
from MultiContrastSRLib import Volume
from MultiContrastSRLib.acquisition import operators
from MultiContrastSRLib.methods import all_methods
from MultiContrastSRLib.networks import positions

TOLERANCE = 1e-5  # of the image's range


@cache
def scans() -> tuple[Volume, Volume]:
    """A target of 2 mm in plane in slices of 3 mm, and a reference of 1 mm."""
    target, reference = pair((4, 56, 52))
    return mc.degrade(target, "kspace", 2), reference


def super_resolved(method: str, device: str, reference: Volume | None = None, **options: Any) -> mc.Result:
    """`super_resolve` of the target by two in plane, or by `scale`; nothing is taken from earlier runs."""
    for each in all_methods():
        each.clear_cache()
    keywords = {"scale": 2, "register": "off", **options}
    return mc.super_resolve(scans()[0], reference, method=method, device=device, **keywords)


def equal(found: np.ndarray, expected: np.ndarray) -> bool:
    """Whether both agree within `TOLERANCE`."""
    return float(np.abs(found - expected).max()) <= TOLERANCE * float(np.ptp(expected))


def _clear_constants() -> None:
    operators._tensor.cache.clear()
    positions._uploaded.cache.clear()


class Memory:
    """What `work` does to the device's memory.

    Attributes:
        result: of `work`.
        uploads, downloads: copies to and from the device.
        launches: calls of operators on the device.
        needed: most bytes that were held in it.
        left: bytes that are held afterwards and were not before, without the constants that are cached within a bound.
    """

    def __init__(self, device: StrictDevice, work: Callable[[], Any]) -> None:
        _clear_constants()
        gc.collect()
        device.reset()
        before = device.counts.bytes
        self.result = work()
        gc.collect()
        _clear_constants()
        self.uploads, self.downloads = device.counts.uploads, device.counts.downloads
        self.launches, self.needed = device.counts.launches, device.counts.peak - before
        self.left = device.counts.bytes - before
