"""From scans to joint total variation on a lattice: what each scan says, how far to trust it, and batches of slices."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch

from ..acquisition.axis import AxisModel
from ..acquisition.model import AcquisitionModel
from ..core.progress import Monitor
from ..image.grid import Grid
from ..image.volume import Volume
from .noise import noise_level
from .observation import Observation, observe, observe_target
from .total_variation import Channel, gradient_size, reconstruct

_BACKGROUND, _NEAR = 0.25, 0.1  # a background is so many of the samples, and so little of the range above its lowest
_BATCH = 1 << 20  # lattice samples of independent slices that are worked on together


class Joint:
    """The scans of several contrasts of one volume, set up: any of its slices can be reconstructed.

    Args:
        contrasts: the scans of every contrast, in any views; the first of the first is the scan that the lattice
            belongs to (`AcquisitionModel.estimate(scan).lattice(samples)`).
        across: lattice axis across slices that are to be worked on independently; None for one volume.

    Attributes:
        notes: what was done about a device that ran out of memory.
    """

    def __init__(
        self,
        contrasts: Sequence[Sequence[Volume]],
        lattice: Grid,
        across: int | None = None,
        device: str = "cpu",
        monitor: Monitor | None = None,
    ) -> None:
        monitor = monitor or Monitor()
        self.shape, self.across, self._device = lattice.shape, across, device
        self._rates = _rates(lattice, across)
        self.notes: tuple[str, ...] = ()
        self._count = len(contrasts)
        self._channels: dict[int, Channel] = {}
        self._constant: dict[int, np.ndarray] = {}  # where there is nothing to find
        for number, scans in enumerate(_observe(contrasts, lattice, across, monitor)):
            if not scans:
                continue
            arrays = [scan.array for scan in contrasts[number]]
            channel, image = channel_of(scans, arrays, self._rates, monitor)
            if channel is None:
                self._constant[number] = image
            else:
                self._channels[number] = channel

    @property
    def batches(self) -> list[tuple[slice, slice, slice]]:
        """Parts of the lattice that are reconstructed together."""
        return _batches(self.shape, self.across)

    @property
    def nbytes(self) -> int:
        """Memory that it holds."""
        scans = [scan for channel in self._channels.values() for scan in channel.scans]
        return sum(scan.start.nbytes + scan.coefficients.nbytes for scan in scans)

    def part(
        self,
        part: tuple[slice, slice, slice],
        *,
        monitor: Monitor | None = None,
        show: Callable[[list[np.ndarray | None]], None] | None = None,
        **settings: float,
    ) -> list[np.ndarray | None]:
        """The image of every contrast in a part of the lattice: all of it, or some of the slices along `across`.

        It is None where no scan of the contrast meets the lattice.

        Args:
            show: given the images before rounds of self-similarity.
            settings: of `total_variation.reconstruct`.
        """
        found = [self._constant[n][part] if n in self._constant else None for n in range(self._count)]
        if not self._channels:
            return found
        slabs = [_slab(channel, part) for channel in self._channels.values()]
        passed = partial(_pass_on, show, found, tuple(self._channels)) if show is not None else None
        wanted = {"monitor": monitor, "show": passed, **settings}
        try:
            made = reconstruct(slabs, self._rates, device=self._device, **wanted)
        except torch.cuda.OutOfMemoryError:
            torch.cuda.empty_cache()
            self._device = "cpu"
            self.notes = ("The GPU's memory did not suffice; joint total variation ran on the CPU.",)
            made = reconstruct(slabs, self._rates, device=self._device, **wanted)
        for number, image in zip(self._channels, made, strict=True):
            found[number] = image
        return found


def joint_images(
    contrasts: Sequence[Sequence[Volume]],
    lattice: Grid,
    across: int | None = None,
    *,
    device: str = "cpu",
    monitor: Monitor | None = None,
    show: Callable[[list[np.ndarray | None]], None] | None = None,
    **settings: float,
) -> tuple[list[np.ndarray | None], tuple[str, ...]]:
    """(the image of every contrast on `lattice`, sentences about choices that were made).

    Args:
        contrasts, lattice, across: see `Joint`.
        show: given the images of a volume before rounds of self-similarity.
        settings: smoothness, iterations, rounds, as in `total_variation.reconstruct`.

    An image is None where no scan of the contrast meets the lattice.
    """
    monitor = monitor or Monitor()
    joint = Joint(contrasts, lattice, across, device, monitor.part(0.0, 0.15))
    images: list[np.ndarray | None] = [None] * len(contrasts)
    parts = joint.batches
    for count, part in enumerate(parts):
        step = monitor.part(0.15 + 0.85 * count / len(parts), 0.15 + 0.85 * (count + 1) / len(parts))
        found = joint.part(part, monitor=step, show=show if len(parts) == 1 else None, **settings)
        for number, image in enumerate(found):
            if len(parts) == 1:
                images[number] = image
            elif image is not None:
                if images[number] is None:
                    images[number] = np.empty(lattice.shape, np.float32)
                images[number][part] = image
    return images, joint.notes


def _model(scan: Volume, across: int | None) -> AcquisitionModel:
    """How `scan` was acquired, along `across` as if its slices had nothing to do with each other."""
    model = AcquisitionModel.estimate(scan)
    axes = list(model.axes)
    if across is not None:
        axes[across] = AxisModel("slab", axes[across].samples, axes[across].spacing, axes[across].spacing)
    return AcquisitionModel(model.grid, tuple(axes), model.assumptions)


def channel_of(
    observed: Sequence[tuple[Observation, float]],
    arrays: Sequence[np.ndarray],
    rates: Sequence[float],
    monitor: Monitor | None = None,
) -> tuple[Channel | None, np.ndarray]:
    """(a contrast for `reconstruct`, the image that it begins with); None where that is constant: nothing to find.

    Args:
        observed: its scans, each with its noise.
        arrays: samples from which the intensity of its background is told.
    """
    observations, noise = zip(*observed, strict=True)
    channel = Channel(observations, noise, 1.0)
    image = np.asarray(channel.start, dtype=np.float32)
    size = gradient_size(image, rates, monitor)
    if size <= 1e-6 * max(1e-30, float(np.abs(image).max())):
        return None, image
    return Channel(observations, noise, size, floor_of(arrays)), image


def _pass_on(
    show: Callable[[list[np.ndarray | None]], None],
    images: Sequence[np.ndarray | None],
    numbers: Sequence[int],
    found: Sequence[np.ndarray],
) -> None:
    """`show` what was found of the contrasts `numbers`, and of the others what there is."""
    shown = list(images)
    for number, image in zip(numbers, found, strict=True):
        shown[number] = image
    show(shown)


def _observe(
    contrasts: Sequence[Sequence[Volume]], lattice: Grid, across: int | None, monitor: Monitor
) -> list[list[tuple[Observation, float]]]:
    """Of every contrast, the scans that meet the lattice, each with its noise."""
    total, done = sum(len(scans) for scans in contrasts), 0
    observed = []
    for scans in contrasts:
        found = []
        for scan in scans:
            part = monitor.part(done / total, (done + 1) / total)
            part.update(0.0)
            if done == 0:
                observation = observe_target(scan, _model(scan, across), lattice, part)
            else:
                observation = observe(scan, lattice, across, part)
            if observation is not None:
                found.append((observation, noise_level(scan, part)))
            done += 1
        observed.append(found)
    return observed


def floor_of(scans: Sequence[np.ndarray]) -> float:
    """The intensity of a contrast's empty background, below which noise and ringing lie only; −∞ without background."""
    low, high = min(float(np.percentile(s, 1)) for s in scans), max(float(s.max()) for s in scans)
    near = sum(np.count_nonzero(s < low + _NEAR * (high - low)) for s in scans)
    return low if near > _BACKGROUND * sum(s.size for s in scans) else -math.inf


def _rates(lattice: Grid, across: int | None) -> tuple[float, float, float]:
    finest = min(lattice.spacing)
    return tuple(
        0.0 if axis == across or n == 1 else finest / spacing
        for axis, (n, spacing) in enumerate(zip(lattice.shape, lattice.spacing, strict=True))
    )


def _batches(shape: tuple[int, int, int], across: int | None) -> list[tuple[slice, slice, slice]]:
    whole = (slice(None),) * 3
    if across is None:
        return [whole]
    depth = max(1, _BATCH * shape[across] // int(np.prod(shape, dtype=np.int64)))
    starts = range(0, shape[across], depth)
    return [(*whole[:across], slice(k, k + depth), *whole[across + 1 :]) for k in starts]


def _slab(channel: Channel, part: tuple[slice, slice, slice]) -> Channel:
    return Channel(tuple(scan.slab(part) for scan in channel.scans), channel.noise, channel.scale, channel.floor)
