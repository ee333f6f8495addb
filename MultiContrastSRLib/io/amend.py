"""Volumes with what their file leaves out or gets wrong."""

from __future__ import annotations

import numpy as np

from ..core.errors import InputError
from ..image.volume import Volume, warnings_of


def with_slice_thickness(volume: Volume, thickness: float) -> Volume:
    """`volume` with a stated slice thickness in mm, in the place of what its file states.

    The gap between slices is the slice spacing less the thickness; an overlap makes it negative.

    Raises:
        InputError: no positive finite number.

    >>> with_slice_thickness(Volume(np.ones((3, 4, 5)), np.diag([1, 1, 5, 1])), 4).metadata["slice_thickness"]
    4.0
    """
    if not (np.isfinite(thickness) and thickness > 0):
        raise InputError(f"Slice thickness is {thickness!r} mm; expected a number above 0, for example 4.")
    metadata: dict[str, object] = {**volume.metadata, "slice_thickness": float(thickness)}
    if volume.grid.slice_axis is None:
        metadata["warnings"] = (
            *warnings_of(metadata),
            f"The slice thickness of {thickness:g} mm was not used: the voxels of {volume.name or 'the scan'} are "
            "isotropic, as those of a 3-D acquisition.",
        )
    return Volume(volume.array, volume.affine, volume.name, metadata)


def with_finite_values(volume: Volume, value: float = 0.0) -> Volume:
    """`volume` with `value` in the place of NaN and infinities, and a warning that says how many there were.

    Raises:
        InputError: `value` is not finite.

    >>> with_finite_values(Volume(np.array([[[np.nan, 2.0]]]), np.eye(4)), 1.0).array.ravel()
    array([1., 2.], dtype=float32)
    """
    if not np.isfinite(value):
        raise InputError(f"Replacement of NaN voxels is {value!r}; expected a finite number, for example 0.")
    bad = ~np.isfinite(volume.array)
    if not bad.any():
        return volume
    warning = (
        f"{np.count_nonzero(bad)} of {bad.size} voxels of {volume.name or 'the scan'} were NaN or infinite and were "
        f"replaced by {value:g}."
    )
    metadata = {**volume.metadata, "warnings": (*warnings_of(volume.metadata), warning)}
    return Volume(np.where(bad, np.float32(value), volume.array), volume.affine, volume.name, metadata)
