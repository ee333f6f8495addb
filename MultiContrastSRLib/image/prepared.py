"""What a prepared method is to the rest of the library: an image of the patient that can be rendered on any grid."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from ..core.progress import Monitor
from .grid import Grid
from .volume import Volume

if TYPE_CHECKING:
    import numpy as np


class Prepared(ABC):
    """A method applied to one target and reference: a continuous image of the patient.

    Attributes:
        target: the volume that was prepared (name, units, field of view).
        lattice: the method's canonical lattice: the finest grid it computes on. `render` on it is exact, other
            grids sample it; consistency with the measured data is enforced there.
        notes: plain sentences for the report (chosen window, fall-backs taken…).
        warnings: sentences for the report that the user should read; may grow while slices are made.
        companion: the reference's contrast, super-resolved along with the target by methods that do so; else None.
        fit: what a subject-specific method fitted, for example a model and the curve of its loss; else None.
    """

    target: Volume
    lattice: Grid
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    companion: Prepared | None = None
    fit: object | None = None

    @abstractmethod
    def render(self, grid: Grid, monitor: Monitor | None = None) -> Volume:
        """The image on `grid`, in the target's units; samples outside the target's field of view get its fill value.

        A crop of a grid renders to the crop of the result. Raises `CancelledError` when `monitor` says so.
        """


class SliceEncoder(ABC):
    """A method that can compute a few slices of its lattice alone, for interactive use; see `Method.prepare_slices`.

    Attributes:
        target: the volume that was prepared.
        lattice: the canonical lattice; across the slices it is the target's own grid.
        axis: the one (of k, j, i) across the slices.
        notes: plain sentences for the report.
        warnings: sentences for the report that the user should read, about the slices made so far.
        sketched_by: name of the quicker method that `sketch` shows; empty where there is no sketch.
        nbytes: memory that it holds for as long as it lives.
    """

    target: Volume
    lattice: Grid
    axis: int
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    sketched_by: str = ""
    nbytes: int = 0

    @abstractmethod
    def slices(self, start: int, stop: int, monitor: Monitor | None = None) -> np.ndarray:
        """Lattice slices start…stop−1 along `axis`, float32; the other axes as in `lattice`.

        They are those that `Method.prepare` would make: whatever statistics the method needs come from the volume.
        """

    def sketch(self, start: int, stop: int, monitor: Monitor | None = None) -> np.ndarray:
        """Something to look at while `slices` computes the same ones: quick, consistent with the measured data."""
        return self.slices(start, stop, monitor)
