"""An image in the patient: an array and where it lies."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from ..core.errors import InputError
from .grid import Grid


def warnings_of(metadata: Mapping[str, object]) -> tuple[str, ...]:
    """The sentences about possible faults of a scan that its reader left in `metadata["warnings"]`."""
    found = metadata.get("warnings")
    return tuple(map(str, found)) if isinstance(found, (list, tuple)) else ()


class Volume:
    """A scalar image: array [k, j, i] float32, affine (i, j, k, 1) → RAS mm, name. Immutable.

    The array is copied and made read-only, so that no later change of the caller's memory reaches a running method.

    Args:
        array: 3-D, real numbers, order [k, j, i] = [slice, row, column] as in Slicer.
        affine: 4×4 to RAS mm; may be oblique, flipped or sheared.
        name: shown to people, used for result names.
        metadata: what the file or scanner said beyond that. Known keys: `slice_thickness` and
            `spacing_between_slices` (mm), `acquisition_matrix`, `modality` (of DICOM, where it is not MR),
            `patient_name`, `patient_id`, `source` (path), `warnings` (sentences). Others are carried along.

    Raises:
        InputError: the array is not 3-D or not real numbers.
        GeometryError: the affine is malformed or singular.

    >>> volume = Volume(np.zeros((4, 5, 6)), np.eye(4), "T2")
    >>> volume
    Volume('T2', shape=(4, 5, 6), spacing (k, j, i)=1 × 1 × 1 mm)
    """

    __slots__ = ("__weakref__", "array", "grid", "metadata", "name")

    array: np.ndarray
    grid: Grid
    name: str
    metadata: Mapping[str, object]

    def __init__(
        self, array: np.ndarray, affine: np.ndarray, name: str = "", metadata: Mapping[str, object] | None = None
    ) -> None:
        data = np.asarray(array)
        if data.ndim != 3:
            kind = {2: "one 2-D image", 4: "a 4-D series or RGB image"}.get(data.ndim, f"{data.ndim}-D")
            raise InputError(
                f"Volume array has shape {data.shape} ({kind}); expected 3-D [k, j, i]. "
                "Choose one frame or channel (array[..., 0]) or add a slice axis (array[None])."
            )
        if data.dtype.kind not in "biuf":
            raise InputError(
                f"Volume array has type {data.dtype}; expected real numbers. For complex data take the magnitude."
            )
        if 0 in data.shape:
            raise InputError(f"Volume array has shape {data.shape}; expected at least one sample per axis.")
        if data.dtype == np.float32 and data.flags.c_contiguous and not data.flags.writeable and data.base is None:
            frozen = data  # already ours: frozen and without another owner
        else:
            frozen = np.array(data, dtype=np.float32, order="C")
            frozen.flags.writeable = False
        object.__setattr__(self, "array", frozen)
        object.__setattr__(self, "grid", Grid(data.shape, affine))
        object.__setattr__(self, "name", str(name))
        object.__setattr__(self, "metadata", MappingProxyType(dict(metadata or {})))

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"Volume is immutable; cannot set {name!r}. Make a new Volume instead.")

    def __reduce__(self) -> tuple[type[Volume], tuple[np.ndarray, np.ndarray, str, dict[str, object]]]:
        return Volume, (np.array(self.array), np.array(self.affine), self.name, dict(self.metadata))

    def __repr__(self) -> str:
        return f"Volume({self.name!r}, {repr(self.grid)[5:]}"

    @classmethod
    def on(cls, grid: Grid, array: np.ndarray, name: str = "", metadata: Mapping[str, object] | None = None) -> Volume:
        """A volume of `array` on `grid`. A fresh float32 array is taken over without a copy."""
        if array.shape != grid.shape:
            raise InputError(f"Array has shape {array.shape}; expected the grid's {grid.shape}.")
        if array.dtype == np.float32 and array.flags.owndata:
            array.flags.writeable = False
        return cls(array, grid.affine, name, metadata)

    @property
    def affine(self) -> np.ndarray:
        """4×4, index (i, j, k, 1) to RAS mm (read-only)."""
        return self.grid.affine

    @property
    def shape(self) -> tuple[int, int, int]:
        """Samples per axis (k, j, i)."""
        return self.grid.shape

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Distance between neighbouring samples in mm, (k, j, i)."""
        return self.grid.spacing

    def renamed(self, name: str) -> Volume:
        """The same image under another name."""
        return Volume(self.array, self.affine, name, self.metadata)

    def moved(self, transform: np.ndarray) -> Volume:
        """The same image moved in the patient by a 4×4 RAS-to-RAS transform; voxels are not resampled."""
        return Volume(self.array, np.asarray(transform, dtype=np.float64) @ self.affine, self.name, self.metadata)
