"""Joint reconstruction of volumes: from scans to the image of every contrast on a lattice, in batches of slices."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import torch

from ..acquisition.axis import AxisModel
from ..acquisition.model import AcquisitionModel
from ..acquisition.noise import noise_level
from ..core.fallback import FallbackDevice, retry_smaller
from ..core.progress import Monitor
from ..core.threads import single_threaded
from ..image.grid import Grid
from ..image.volume import Volume
from .channel import Channel, make_channel
from .observation import Observation, observe, observe_target
from .reconstruction import reconstruct
from .solver import remove_measured

_BATCH = 1 << 20  # lattice samples of independent slices that are reconstructed at once

Part = tuple[slice, slice, slice]
Preview = Callable[[list[np.ndarray | None]], None]
Stop = Callable[[], bool]


class JointReconstruction:
    """The scans of several contrasts of one volume, ready for the reconstruction of any of its slices.

    Args:
        contrasts: the scans of every contrast, in any views; the first of the first is the scan that the lattice
            belongs to (`AcquisitionModel.estimate(scan).lattice(samples)`).
        lattice: where the images are reconstructed.
        across: lattice axis across slices that are reconstructed independently; None for one volume.
        device: "cpu", "cuda:0" or another of `core.devices.list_devices`.
        stop: once it is true, the scans that were not read yet are left out, except for the first.

    Attributes:
        notes: sentences for the report: scans that were left out.
    """

    def __init__(
        self,
        contrasts: Sequence[Sequence[Volume]],
        lattice: Grid,
        across: int | None = None,
        device: str = "cpu",
        monitor: Monitor | None = None,
        stop: Stop | None = None,
    ) -> None:
        monitor = monitor or Monitor()
        self.shape, self.across = lattice.shape, across
        self._device = FallbackDevice(device, "joint total variation")
        self._rates = _rates(lattice, across)
        self.notes: tuple[str, ...] = ()
        self._count = len(contrasts)
        self._channels: dict[int, Channel] = {}
        self._constant: dict[int, np.ndarray] = {}  # images of contrasts whose scans are constant
        for number, scans in enumerate(self._observe(contrasts, lattice, monitor, stop)):
            if not scans:
                continue
            arrays = [scan.array for scan in contrasts[number]]
            channel, image = make_channel(scans, arrays, self._rates, monitor)
            if channel is None:
                self._constant[number] = image
            else:
                self._channels[number] = channel

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences for the report about a device that ran out of memory or failed."""
        return self._device.warnings

    @property
    def batches(self) -> list[Part]:
        """Parts of the lattice that are reconstructed at once."""
        return _batches(self.shape, self.across)

    @property
    def nbytes(self) -> int:
        """Memory of the observations, in bytes."""
        scans = [scan for channel in self._channels.values() for scan in channel.scans]
        return sum(scan.interpolated.nbytes + scan.coefficients.nbytes for scan in scans)

    def reconstruct(
        self,
        part: Part,
        *,
        monitor: Monitor | None = None,
        stop: Stop | None = None,
        preview: Preview | None = None,
        **settings: float,
    ) -> list[np.ndarray | None]:
        """The image of every contrast in a part of the lattice: all of it, or some of the slices along `across`.

        It is None where no scan of the contrast overlaps the lattice.

        Args:
            part: slices of the lattice's axes (k, j, i).
            stop: asked often; once it is true the images are returned as they are then: interpolated at the beginning.
            preview: called with the images of joint total variation before rounds of non-local means.
            settings: smoothness, iterations and rounds of `reconstruction.reconstruct`.
        """
        if not self._channels:
            return self._filled(part, [])
        if stop is not None and stop():
            initial = [channel.slices(part).initial for channel in self._channels.values()]
            return self._filled(part, [np.array(image, np.float32) for image in initial])
        return self._device.run(partial(self._reconstruct, part, monitor, stop, preview, settings))

    def _reconstruct(
        self,
        part: Part,
        monitor: Monitor | None,
        stop: Stop | None,
        preview: Preview | None,
        settings: Mapping[str, float],
        device: str,
    ) -> list[np.ndarray | None]:
        def whole() -> list[np.ndarray | None]:
            found = reconstruct(
                [channel.slices(part) for channel in self._channels.values()],
                self._rates,
                device=device,
                monitor=monitor,
                stop=stop,
                preview=None if preview is None else lambda images: preview(self._filled(part, images)),
                **settings,
            )
            return self._filled(part, found)

        def halves() -> list[np.ndarray | None]:
            found = [self._reconstruct(half, monitor, stop, None, settings, device) for half in smaller]
            return [None if a is None else np.concatenate([a, b], self.across) for a, b in zip(*found, strict=True)]

        smaller = _halves(part, self.across, self.shape)
        return retry_smaller(whole, halves if smaller else None, device)

    def _filled(self, part: Part, found: Sequence[np.ndarray]) -> list[np.ndarray | None]:
        """The image of every contrast, given those that were reconstructed."""
        known = dict(zip(self._channels, found, strict=True)) if found else {}
        constant = {number: image[part] for number, image in self._constant.items()}
        return [known.get(number, constant.get(number)) for number in range(self._count)]

    def added_detail(self, part: Part, images: Sequence[np.ndarray | None]) -> list[np.ndarray | None]:
        """What `images` of `part` add to the interpolated scans, without the part of it that the scans measured.

        An image minus its added detail is the interpolated scan, as consistent with the data as the image is. None
        where a contrast has no image or is constant.
        """
        return [
            None if image is None or number not in self._channels else _unmeasured(image, self._channels[number], part)
            for number, image in enumerate(images)
        ]

    def _observe(
        self, contrasts: Sequence[Sequence[Volume]], lattice: Grid, monitor: Monitor, stop: Stop | None
    ) -> list[list[tuple[Observation, float]]]:
        """Of every contrast, the scans that overlap the lattice, each with its noise."""
        total, done = sum(len(scans) for scans in contrasts), 0
        observed = []
        for scans in contrasts:
            found = []
            for scan in scans:
                part = monitor.part(done / total, (done + 1) / total)
                part.update(0.0)
                if done == 0:
                    observation = observe_target(scan, _model(scan, self.across), lattice, part)
                elif stop is not None and stop():
                    observation = None
                    self.notes += (f"The fit was stopped before {scan.name or 'a scan'} was read; it was not used.",)
                else:
                    observation = observe(scan, lattice, self.across, part)
                if observation is not None:
                    found.append((observation, noise_level(scan, part)))
                done += 1
            observed.append(found)
        return observed


def joint_images(
    contrasts: Sequence[Sequence[Volume]],
    lattice: Grid,
    across: int | None = None,
    *,
    device: str = "cpu",
    monitor: Monitor | None = None,
    stop: Stop | None = None,
    max_seconds: float = math.inf,
    preview: Preview | None = None,
    weights: Sequence[float] = (),
    **settings: float,
) -> tuple[list[np.ndarray | None], tuple[str, ...], tuple[str, ...]]:
    """(the image of every contrast on `lattice`, notes and warnings for the report).

    An image is None where no scan of the contrast overlaps the lattice.

    Args:
        contrasts, lattice, across, device: see `JointReconstruction`.
        stop: asked often; once it is true the images are returned as they are then.
        max_seconds: time limit with the effect of `stop`. Batches of slices get equal shares of it.
        preview: called with the images of a volume before rounds of non-local means.
        weights: per contrast, the share of the detail added to its interpolated scans that is kept, 0 to 1
            (`trial.detail_weights`); all of it by default.
        settings: smoothness, iterations and rounds of `reconstruction.reconstruct`.
    """
    monitor, end = monitor or Monitor(), time.perf_counter() + max_seconds

    def stopped(limit: float = end) -> bool:
        return time.perf_counter() >= limit or (stop is not None and stop())

    joint = JointReconstruction(contrasts, lattice, across, device, monitor.part(0.0, 0.15), stopped)
    images: list[np.ndarray | None] = [None] * len(contrasts)
    parts, begin = joint.batches, time.perf_counter()
    for count, part in enumerate(parts):
        step = monitor.part(0.15 + 0.85 * count / len(parts), 0.15 + 0.85 * (count + 1) / len(parts))
        limit = begin + (end - begin) * (count + 1) / len(parts)
        found = joint.reconstruct(
            part,
            monitor=step,
            stop=lambda limit=limit: stopped(limit),
            preview=preview if len(parts) == 1 else None,
            **settings,
        )
        if any(weight < 1 for weight in weights):
            for image, detail, weight in zip(found, joint.added_detail(part, found), weights, strict=True):
                if detail is not None and weight < 1:
                    image -= np.float32(1 - weight) * detail
        for number, image in enumerate(found):
            if len(parts) == 1:
                images[number] = image
            elif image is not None:
                if images[number] is None:
                    images[number] = np.empty(lattice.shape, np.float32)
                images[number][part] = image
    return images, joint.notes, joint.warnings


def _halves(part: Part, across: int | None, shape: tuple[int, int, int]) -> list[Part]:
    """Both halves of the independent slices in `part`; none of a single slice, or of a volume."""
    if across is None:
        return []
    start, stop, _ = part[across].indices(shape[across])
    middle = (start + stop) // 2
    bounds = [slice(start, middle), slice(middle, stop)] if stop - start > 1 else []
    return [(*part[:across], bound, *part[across + 1 :]) for bound in bounds]


def _unmeasured(image: np.ndarray, channel: Channel, part: Part) -> np.ndarray:
    """The difference of `image` and the initial image of `channel` in `part`, without what its scans measured."""
    channel = channel.slices(part)
    difference = torch.from_numpy(image - channel.initial)
    with single_threaded():
        remove_measured(difference, channel.data_terms(1.0, difference))
    return difference.numpy()


def _model(scan: Volume, across: int | None) -> AcquisitionModel:
    """The acquisition of `scan`, with slices that do not overlap along `across`, where they are independent."""
    model = AcquisitionModel.estimate(scan)
    axes = list(model.axes)
    if across is not None:
        axes[across] = AxisModel("slab", axes[across].samples, axes[across].spacing, axes[across].spacing)
    return AcquisitionModel(model.grid, tuple(axes), model.assumptions)


def _rates(lattice: Grid, across: int | None) -> tuple[float, float, float]:
    """See `reconstruction.reconstruct`."""
    finest = min(lattice.spacing)
    return tuple(
        0.0 if axis == across or n == 1 else finest / spacing
        for axis, (n, spacing) in enumerate(zip(lattice.shape, lattice.spacing, strict=True))
    )


def _batches(shape: tuple[int, int, int], across: int | None) -> list[Part]:
    whole = (slice(None),) * 3
    if across is None:
        return [whole]
    depth = max(1, _BATCH * shape[across] // int(np.prod(shape, dtype=np.int64)))
    starts = range(0, shape[across], depth)
    return [(*whole[:across], slice(k, k + depth), *whole[across + 1 :]) for k in starts]
