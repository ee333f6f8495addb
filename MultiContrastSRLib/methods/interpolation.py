"""Interpolation of the target alone: one kernel along each axis, evaluated at the sample positions of the grid."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np

from ..acquisition.lattice import default_refinement, fill_value, least_value, through_plane_factor
from ..acquisition.model import AcquisitionModel
from ..core.progress import Monitor
from ..image import kernels
from ..image.grid import Grid, per_axis
from ..image.kernels import Kernel
from ..image.prepared import Prepared
from ..image.sampling import sample
from ..image.volume import Volume
from .contract import Method, Option, register


class Interpolated(Prepared):
    """The target with one kernel per axis (k, j, i); `render` interpolates it directly.

    Where the target has no negative voxels, a rendering has none.
    """

    def __init__(self, target: Volume, axis_kernels: tuple[Kernel, Kernel, Kernel], lattice: Grid) -> None:
        self.target, self.lattice, self._kernels = target, lattice, axis_kernels

    def render(self, grid: Grid, monitor: Monitor | None = None) -> Volume:
        """See `Prepared.render`."""
        array = sample(
            self.target.array,
            self.target.grid,
            grid,
            self._kernels,
            fill=fill_value(self.target),
            domain=AcquisitionModel.estimate(self.target).domain,
            monitor=monitor,
        )
        return Volume.on(grid, np.maximum(array, np.float32(least_value(self.target))), self.target.name)


class Interpolation(Method):
    """A method that is a kernel along each axis."""

    group = "classical"

    @abstractmethod
    def kernels(self, **options: bool | int | float | str) -> tuple[Kernel, Kernel]:
        """The kernel within slices (along all axes of an isotropic grid) and the one across slices."""

    def prepare(
        self,
        target: Volume,
        reference: Volume | None = None,
        *,
        refine: tuple[bool, bool, bool] | None = None,
        device: str = "cpu",
        monitor: Monitor | None = None,
        **options: bool | int | float | str,
    ) -> Interpolated:
        """See `Method.prepare`. The reference is not used."""
        inside, across = self.kernels(**self.check_options(options))
        grid, refined = target.grid, refine or default_refinement(target.grid)
        model = AcquisitionModel.estimate(target)
        axis_kernels = per_axis(across if axis.kind == "slab" else inside for axis in model.axes)
        factors = [self.oversampling] * 3
        if grid.slice_axis is not None:
            factors[grid.slice_axis] = through_plane_factor(grid)
        samples = [n * f if r else n for n, f, r in zip(target.shape, factors, refined, strict=True)]
        return Interpolated(target, axis_kernels, model.lattice(samples))


@register
class Nearest(Interpolation):
    """See `summary`."""

    name = "nearest"
    label = "Nearest neighbour"
    summary = "Copies the nearest voxel: acquired values and nothing else when data consistency is off."
    order = 10
    citation = "Textbook; see Lehmann, Gönner, Spitzer, IEEE Trans. Med. Imaging 18(11), 1999"
    oversampling = 3

    def kernels(self, **options: bool | int | float | str) -> tuple[Kernel, Kernel]:
        """See `Interpolation.kernels`."""
        return kernels.nearest, kernels.nearest


@register
class Linear(Interpolation):
    """See `summary`."""

    name = "linear"
    label = "Linear interpolation"
    summary = "Straight lines between voxels, as Slicer's own display: quick and blurred. The weakest baseline."
    order = 20
    citation = "Textbook; see Lehmann, Gönner, Spitzer, IEEE Trans. Med. Imaging 18(11), 1999"

    def kernels(self, **options: bool | int | float | str) -> tuple[Kernel, Kernel]:
        """See `Interpolation.kernels`."""
        return kernels.linear, kernels.linear


@register
class BSpline(Interpolation):
    """See `summary`."""

    name = "bspline"
    label = "Cubic B-spline"
    summary = "Interpolating cubic B-spline: the usual choice for resampling, smooth, little ringing."
    order = 30
    citation = "Unser, IEEE Signal Processing Magazine 16(6), 1999"

    def kernels(self, **options: bool | int | float | str) -> tuple[Kernel, Kernel]:
        """See `Interpolation.kernels`."""
        return kernels.bspline, kernels.bspline


@register
class Lanczos(Interpolation):
    """See `summary`."""

    name = "lanczos"
    label = "Lanczos"
    summary = "Windowed sinc: nearly band-limited, with short ringing."
    order = 40
    citation = "Duchon, Journal of Applied Meteorology 18(8), 1979"
    options = (
        Option(
            "lobes",
            3,
            "Lobes",
            "Half width of the kernel in voxels: more is sharper and rings longer.",
            2,
            8,
            unit="voxels",
        ),
    )

    def kernels(self, **options: bool | int | float | str) -> tuple[Kernel, Kernel]:
        """See `Interpolation.kernels`."""
        kernel = kernels.lanczos(int(options["lobes"]))
        return kernel, kernel


@register
class Sinc(Interpolation):
    """See `summary`."""

    name = "sinc"
    label = "Sinc (zero-filled k-space)"
    summary = (
        "Zero-filled k-space at exact positions: all that was measured, nothing added. The baseline to compare with."
    )
    order = 45
    citation = "Du, Parker, Davis, Cao, J. Magn. Reson. Imaging 4(5), 1994"

    def kernels(self, **options: bool | int | float | str) -> tuple[Kernel, Kernel]:
        """See `Interpolation.kernels`."""
        return kernels.sinc, kernels.mirrored_sinc
