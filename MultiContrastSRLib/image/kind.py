"""Recognises images that are no magnitude MR scans: label maps, masks, CT, phase and difference images."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

_PROBED = 200_000  # voxels that are looked at, evenly spread
_MOST_LABELS = 64  # distinct whole numbers of a label map; the noise of a scan has more
_CONSTANT_SHARE = 0.5  # of neighbouring voxels, not both 0, that are equal in a label map; noise differs
_LEAST_VOXELS = 4096  # smaller images have few values by themselves
_AIR = (-1100.0, -900.0)  # Hounsfield units
_AIR_SHARE = 0.1  # of a CT's voxels, at least
_NEGATIVE_SHARE = 0.2  # of the sum of magnitudes, above which an image has a sign; ringing below 0 is small
_FULL_TURN = (3.0, 3.2)  # radians at which phase images end


def kind_of(array: np.ndarray, metadata: Mapping[str, object] | None = None) -> str | None:
    """What an image is instead of a magnitude MR scan: "label map", "mask", "CT", "phase image" or another; else None.

    Args:
        array: [k, j, i], any real type.
        metadata: `Volume.metadata`; its `modality` counts.

    >>> blocks = np.arange(64**3).reshape(64, 64, 64) // 2**12
    >>> kind_of(blocks % 5), kind_of(np.arange(64**3).reshape(64, 64, 64) % 50)
    ('label map', None)
    """
    modality = str((metadata or {}).get("modality") or "").upper()
    if modality not in ("", "MR", "OT"):
        return {"CT": "CT", "PT": "PET image", "US": "ultrasound image", "SEG": "label map"}.get(modality, modality)
    many = array.size >= _LEAST_VOXELS
    probe = array.reshape(-1)[:: max(1, array.size // _PROBED)].astype(np.float64)
    probe = probe[np.isfinite(probe)]
    values = np.unique(probe)
    if len(values) < 2:
        return None
    whole = np.array_equal(values, np.round(values))
    if many and whole and len(values) == 2:
        return "mask"
    labels = many and whole and len(values) <= _MOST_LABELS and values[0] >= 0
    if labels and _constant_share(array) > _CONSTANT_SHARE:
        return "label map"
    if whole and np.mean((probe >= _AIR[0]) & (probe <= _AIR[1])) > _AIR_SHARE:
        return "CT"
    if -probe[probe < 0].sum() < _NEGATIVE_SHARE * np.abs(probe).sum():
        return None
    low, high = -values[0], values[-1]
    turn = all(_FULL_TURN[0] < end < _FULL_TURN[1] for end in (low, high))
    return "phase image" if turn or (whole and abs(low - high) <= 1 and high in (4095, 4096)) else "signed image"


def _constant_share(array: np.ndarray) -> float:
    """Share of the neighbouring voxels along the last axis, not both 0, that are equal."""
    first, second = array[..., :-1], array[..., 1:]
    shown = (first != 0) | (second != 0)
    return float(np.mean((first == second)[shown])) if shown.any() else 0.0


def kind_warning(array: np.ndarray, metadata: Mapping[str, object], name: str) -> str | None:
    """A sentence where `kind_of` finds something else than a magnitude scan."""
    kind = kind_of(array, metadata)
    if kind is None:
        return None
    if kind in ("label map", "mask"):
        return (
            f"{name} looks like a {kind}: super-resolution would mix its labels. Choose the scan that it was drawn on, "
            "or resample it by nearest neighbour."
        )
    article = "an" if kind[0] in "aeiou" else "a"
    return f"{name} looks like {article} {kind}, not like a magnitude MR scan, as methods expect. Check the result."
