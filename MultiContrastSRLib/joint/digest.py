"""Keys for caches of reconstructions."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from ..image.volume import Volume


def digest_of(contrasts: Sequence[Sequence[Volume]], *settings: object) -> str:
    """A key that is the same for equal voxels, geometry and acquisition of all scans and equal settings.

    Args:
        contrasts: the scans of every contrast; their names play no part.
        settings: whatever else decides the result; equal settings have an equal `repr`.
    """
    key = hashlib.sha256(repr(settings).encode())
    for scans in contrasts:
        key.update(b"contrast")
        for scan in scans:
            key.update(repr((scan.shape, scan.affine.tobytes(), sorted(scan.metadata.items(), key=str))).encode())
            key.update(scan.array.data)
    return key.hexdigest()
