"""What a BIDS side-car (the image's name with .json, as dcm2niix writes it) states about the acquisition.

Format: https://bids-specification.readthedocs.io (Magnetic Resonance Imaging).
"""

from __future__ import annotations

import json
import math
from pathlib import Path

_KEYS = {"SliceThickness": "slice_thickness", "SpacingBetweenSlices": "spacing_between_slices"}  # both in mm


def stated_in_sidecar(path: Path) -> dict[str, float]:
    """Entries of `Volume.metadata` from the side-car at `path`; none where it is absent or not readable.

    >>> stated_in_sidecar(Path("absent.json"))
    {}
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    values = {key: found.get(name) for name, key in _KEYS.items()} if isinstance(found, dict) else {}
    return {
        key: float(value)
        for key, value in values.items()
        if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) and value > 0
    }
