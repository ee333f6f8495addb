"""Sentences about a requested result that the user should weigh. They never stop a run."""

from __future__ import annotations

from ..image.grid import Grid, spacing_along

_TOLERANCE = 1.02  # of spacings: less is the rounding of shapes to whole samples
_MAX_RELIABLE_SCALE = 4.0


def result_warnings(target: Grid, result: Grid) -> list[str]:
    """What a result on the grid `result` loses, or cannot give, compared with the scan on `target`."""
    pairs = list(zip(spacing_along(result, target), target.spacing, strict=True))
    warnings = []
    coarser = [
        (new, old)
        for axis, (new, old) in enumerate(pairs)
        if axis != target.slice_axis and target.shape[axis] > 1 and new > _TOLERANCE * old
    ]
    if coarser:
        new, old = max(coarser, key=lambda pair: pair[0] / pair[1])
        where = "" if target.slice_axis is None else " in plane"
        warnings.append(
            f"The result is coarser{where} than the scan ({new:.3g} mm, the scan {old:.3g} mm) and loses detail that "
            f"was acquired. Choose a spacing of at most {min(old for _, old in coarser):.3g} mm to keep it."
        )
    scale = max(old / new for new, old in pairs)
    if scale > _TOLERANCE * _MAX_RELIABLE_SCALE:
        warnings.append(
            f"The result is up to {scale:.3g} times as fine as the scan. Beyond {_MAX_RELIABLE_SCALE:g} times, no "
            "method recovers fine structures reliably."
        )
    return warnings
