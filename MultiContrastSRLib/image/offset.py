"""Scans whose intensities lie far from zero: computed near zero, since float32 would lose digits of their detail.

Methods and data consistency get such scans from `near_zero`, and `restored` renders their images in the scan's units.
"""

from __future__ import annotations

from ..core.progress import Monitor
from .grid import Grid
from .prepared import Prepared
from .volume import Volume

SUBTRACTED = "subtracted"  # key of the metadata that `near_zero` leaves


def near_zero(*views: Volume) -> list[Volume]:
    """`views`, scans of one contrast, minus their lowest intensity if they lie farther from zero than they span.

    No digit is lost by that subtraction. Other scans are returned as they are.

    >>> (scan,) = near_zero(Volume(np.array([[[30001.0, 30003.5]]]), np.eye(4), "CT"))
    >>> scan.array, subtracted(scan)
    (array([[[0. , 2.5]]], dtype=float32), 30001.0)
    """
    low = min((float(scan.array.min()) for scan in views), default=0.0)
    high = max((float(scan.array.max()) for scan in views), default=0.0)
    if min(abs(low), abs(high)) <= high - low:
        return list(views)
    return [Volume.on(scan.grid, scan.array - low, scan.name, {**scan.metadata, SUBTRACTED: low}) for scan in views]


def subtracted(scan: Volume) -> float:
    """What `near_zero` subtracted from the intensities of `scan`; 0 for other scans."""
    found = scan.metadata.get(SUBTRACTED)
    return found if isinstance(found, float) else 0.0


def restored(image: Prepared) -> Prepared:
    """`image` in the units of the scan itself; the same where nothing was subtracted."""
    companion = None if image.companion is None else restored(image.companion)
    if subtracted(image.target) or companion is not image.companion:
        return _Restored(image, companion)
    return image


class _Restored(Prepared):
    """An image that adds to renderings of another one what was subtracted from the scan."""

    def __init__(self, image: Prepared, companion: Prepared | None) -> None:
        self.target, self.lattice, self.notes = image.target, image.lattice, image.notes
        self.sketched_by, self.slice_nbytes = image.sketched_by, image.slice_nbytes
        self.made_as(image)
        self.companion = companion
        self._image = image

    @property
    def warnings(self) -> tuple[str, ...]:
        return self._image.warnings

    @property
    def nbytes(self) -> int:
        return self._image.nbytes

    def render(self, grid: Grid, monitor: Monitor | None = None) -> Volume:
        return self._moved(self._image.render(grid, monitor))

    def sketch(self, grid: Grid, monitor: Monitor | None = None) -> Volume:
        return self._moved(self._image.sketch(grid, monitor))

    def _moved(self, rendered: Volume) -> Volume:
        return Volume.on(rendered.grid, rendered.array + subtracted(self.target), rendered.name, rendered.metadata)

    def slices_needed(self, grid: Grid) -> range:
        return self._image.slices_needed(grid)

    def missing(self, grid: Grid) -> int:
        return self._image.missing(grid)

    def ready_for(self, grid: Grid) -> bool:
        return self._image.ready_for(grid)

    def make_ready(self, grid: Grid, monitor: Monitor | None = None) -> None:
        self._image.make_ready(grid, monitor)

    def can_sketch(self, grid: Grid) -> bool:
        return self._image.can_sketch(grid)
