"""The interface of a prepared method: an image of the patient that can be rendered on any grid."""

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

    A subclass implements `render`. One that computes parts of the image on demand also says what a grid needs
    (`slices_needed`, `missing`, `ready_for`), computes it (`make_ready`), and may show a quicker image meanwhile
    (`sketch`); the defaults describe an image that is complete.

    Attributes:
        target: the volume that was prepared (name, units, field of view).
        lattice: the method's canonical lattice: the finest grid it computes on. `render` on it is exact, other
            grids sample it; data consistency is enforced on it.
        notes: sentences for the report that explain choices (window, fall-backs…).
        companion: the reference's contrast, super-resolved along with the target by methods that do so; else None.
        fit: model and curve of a subject-specific method; else None.
        reference_used: whether anything of the reference, where there is one, is in the image.
        fallback: name of the simpler method whose image this is, where the method could add nothing; else empty.
        weights: SHA-256 of the weights of the network that made the image; empty for methods without.
        sketched_by: name of the quicker method that `sketch` uses; empty where `sketch` is `render`.
        slice_nbytes: bytes of one slice that is computed on demand.
    """

    target: Volume
    lattice: Grid
    notes: tuple[str, ...] = ()
    companion: Prepared | None = None
    fit: object | None = None
    reference_used: bool = True
    fallback: str = ""
    weights: str = ""
    sketched_by: str = ""
    slice_nbytes: int = 0

    def made_as(self, other: Prepared) -> None:
        """Take over how `other`, of which this is a corrected image, was made."""
        self.companion, self.fit, self.weights = other.companion, other.fit, other.weights
        self.reference_used, self.fallback = other.reference_used, other.fallback

    @abstractmethod
    def render(self, grid: Grid, monitor: Monitor | None = None) -> Volume:
        """The image on `grid`, in the target's units; samples outside the target's field of view get its fill value.

        A crop of a grid renders to the crop of the result.

        Raises:
            CancelledError: by `monitor`.
        """

    def lattice_array(self, monitor: Monitor | None = None) -> np.ndarray:
        """The image on its own lattice, float32 of `lattice.shape`. Read-only: it may be the array that is held."""
        return self.render(self.lattice, monitor).array

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences for the report about possible faults; there may be more of them once slices are computed."""
        return ()

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays that it holds beside the target."""
        return 0

    def slices_needed(self, grid: Grid) -> range:
        """The lattice slices that are computed on demand to render `grid`; empty where none are."""
        return range(0)

    def missing(self, grid: Grid) -> int:
        """How many of `slices_needed` are not computed yet."""
        return 0

    def ready_for(self, grid: Grid) -> bool:
        """Whether `render` has nothing to compute but the samples of `grid`."""
        return True

    def make_ready(self, grid: Grid, monitor: Monitor | None = None) -> None:  # noqa: B027 (a complete image is ready)
        """Compute what `render` needs for `grid` and for other grids in its plane.

        Raises:
            CancelledError: by `monitor`; slices that are done are kept.
        """

    def can_sketch(self, grid: Grid) -> bool:
        """Whether `sketch` has nothing to compute but the samples of `grid`."""
        return self.ready_for(grid)

    def sketch(self, grid: Grid, monitor: Monitor | None = None) -> Volume:
        """An image for display while `make_ready` runs; see `sketched_by`."""
        return self.render(grid, monitor)


class SliceEncoder(ABC):
    """A method that can compute single slices of its lattice, for interactive use; see `Method.prepare_slices`.

    Attributes:
        target: the volume that was prepared.
        lattice: the canonical lattice; across the slices it is the target's own grid.
        axis: the axis (0, 1, 2 for k, j, i) across the slices.
        notes: sentences for the report that explain choices.
        reference_used: whether anything of the reference, where there is one, is in the slices.
        weights: SHA-256 of the weights of the network that makes them; empty for methods without.
        sketched_by: name of the quicker method that `sketch` uses; empty where there is no sketch.
    """

    target: Volume
    lattice: Grid
    axis: int
    notes: tuple[str, ...] = ()
    reference_used: bool = True
    weights: str = ""
    sketched_by: str = ""

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences for the report about possible faults of the slices computed so far."""
        return ()

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays that it holds."""
        return 0

    @property
    def batch(self) -> int:
        """How many slices are best computed at once."""
        return 1

    @abstractmethod
    def slices(self, start: int, stop: int, monitor: Monitor | None = None) -> np.ndarray:
        """Lattice slices start…stop−1 along `axis`, float32; the other axes as in `lattice`.

        They equal those of `Method.prepare`: statistics that the method needs are those of the whole volume.
        """

    def sketch(self, start: int, stop: int, monitor: Monitor | None = None) -> np.ndarray:
        """A quick version of `slices` for display, consistent with the acquired data."""
        return self.slices(start, stop, monitor)
