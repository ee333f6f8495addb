"""Label maps for synthetic contrasts."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ...core.errors import InputError
from ...io import load_volume
from ...pipeline.checks import check_volume
from ..recipe import Labels

_MAX_LABELS = 256  # of uint8


def load_label_maps(labels: Labels, root: Path) -> tuple[tuple[np.ndarray, ...], tuple[int, ...]]:
    """Read the label maps below `root`.

    Returns:
        The maps [k, j, i] as uint8 indices into the second value, the numbers of the labels in ascending order.

    Raises:
        InputError: none are found, voxels are not finite, or there are more than 256 labels.
    """
    if not labels.files:
        return (), ()
    paths = sorted(root.glob(labels.files))
    if not paths:
        raise InputError(
            f"No label maps were found by {labels.files!r} below {root}; expected those that augmentation.synthetic "
            'needs. Correct labels.files, or set augmentation.synthetic to 0 or labels.files to "".'
        )
    if 0 < labels.count < len(paths):
        paths = [paths[i] for i in np.linspace(0, len(paths) - 1, labels.count).round().astype(int)]
    maps = [_load_label_map(path) for path in paths]
    values = np.unique(np.concatenate([np.unique(m) for m in maps]))
    if len(values) > _MAX_LABELS:
        raise InputError(
            f"Label maps hold {len(values)} labels; expected at most {_MAX_LABELS}. Check that labels.files are label "
            "maps and not scans."
        )
    indexed = [np.searchsorted(values, m).astype(np.uint8) for m in maps]
    return tuple(indexed), tuple(int(v) for v in values)


def _load_label_map(path: Path) -> np.ndarray:
    volume = load_volume(path, labels=True)
    check_volume(volume, "Label map")
    return np.rint(volume.array).astype(np.int32)
