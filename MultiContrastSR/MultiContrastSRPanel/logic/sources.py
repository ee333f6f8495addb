"""The inputs of a run as they are when it begins, with what their files leave out or get wrong."""

from __future__ import annotations

import dataclasses
from typing import Any

from .library import library


def sources_of(
    target: Any, reference: Any = None, *, slice_thickness: float | None = None, replace_nan: float | None = None
) -> tuple[Any, Any]:
    """(target, reference) as `mrml.Source`; the reference may be None.

    Args:
        target, reference: nodes.
        slice_thickness: of the target in mm, in the place of what its file states.
        replace_nan: the value of voxels that are NaN or infinite.

    Raises:
        MultiContrastSRError: nodes or values cannot be used.
    """
    source, amend = library("mrml").Source.of, library("io.amend")
    found = [source(target), None if reference is None else source(reference, "reference")]
    if slice_thickness is not None:
        found[0] = _with(found[0], amend.with_slice_thickness(found[0].volume, slice_thickness))
    if replace_nan is not None:
        found = [each and _with(each, amend.with_finite_values(each.volume, replace_nan)) for each in found]
    return found[0], found[1]


def _with(source: Any, volume: Any) -> Any:
    return dataclasses.replace(source, volume=volume)
