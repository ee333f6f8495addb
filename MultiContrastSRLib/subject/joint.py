"""From scans to joint total variation on a lattice: what each scan says, how far to trust it, and batches of slices."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch

from ..acquisition import AcquisitionModel
from ..grid import Grid
from ..progress import Monitor
from ..volume import Volume
from .noise import noise_level
from .observation import Observation, observe, observe_target
from .total_variation import Channel, gradient_size, reconstruct

_BACKGROUND, _NEAR = 0.25, 0.1  # a background is so many of the samples, and so little of the range above its lowest
_BATCH = 1 << 20  # lattice samples of independent slices that are worked on together


def joint_images(
    contrasts: Sequence[Sequence[Volume]],
    lattice: Grid,
    across: int | None = None,
    *,
    smoothness: float = 1.0,
    iterations: int = 40,
    rounds: int = 0,
    device: str = "cpu",
    monitor: Monitor | None = None,
    show: Callable[[list[np.ndarray | None]], None] | None = None,
) -> tuple[list[np.ndarray | None], tuple[str, ...]]:
    """(the image of every contrast on `lattice`, sentences about choices that were made).

    Args:
        contrasts: the scans of every contrast, in any views; the first of the first is the scan that the lattice
            belongs to (`AcquisitionModel.estimate(scan).lattice(samples)`).
        across: lattice axis across slices that are to be worked on independently; None for one volume.
        show: given the images of a volume before rounds of self-similarity.
        others: as in `total_variation.reconstruct`.

    An image is None where no scan of the contrast meets the lattice.
    """
    monitor = monitor or Monitor()
    rates = _rates(lattice, across)
    observed = _observe(contrasts, lattice, across, monitor.part(0.0, 0.15))
    images: list[np.ndarray | None] = [None] * len(contrasts)
    channels: dict[int, Channel] = {}
    for number, scans in enumerate(observed):
        if not scans:
            continue
        observations, noise = zip(*scans, strict=True)
        channel = Channel(tuple(observations), tuple(noise), 1.0)
        images[number] = np.array(channel.start, dtype=np.float32)
        size = gradient_size(images[number], rates, monitor)
        if size > 1e-6 * max(1e-30, float(np.abs(images[number]).max())):  # else constant: there is nothing to find
            channels[number] = Channel(channel.scans, channel.noise, size, floor_of(contrasts[number]))
    notes: tuple[str, ...] = ()
    parts = _batches(lattice.shape, across)
    for count, part in enumerate(parts if channels else []):
        step = monitor.part(0.15 + 0.85 * count / len(parts), 0.15 + 0.85 * (count + 1) / len(parts))
        batch = [_slab(channel, part) for channel in channels.values()]
        settings = {"smoothness": smoothness, "iterations": iterations, "rounds": rounds, "monitor": step}
        if show is not None and len(parts) == 1:
            settings["show"] = partial(_pass_on, show, images, tuple(channels))
        try:
            found = reconstruct(batch, rates, device=device, **settings)
        except torch.cuda.OutOfMemoryError:
            torch.cuda.empty_cache()
            device, notes = "cpu", ("The GPU's memory did not suffice; joint total variation ran on the CPU.",)
            found = reconstruct(batch, rates, device=device, **settings)
        for number, image in zip(channels, found, strict=True):
            images[number][part] = image
    return images, notes


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
                observation = observe_target(scan, AcquisitionModel.estimate(scan), lattice, part)
            else:
                observation = observe(scan, lattice, across, part)
            if observation is not None:
                found.append((observation, noise_level(scan, part)))
            done += 1
        observed.append(found)
    return observed


def floor_of(scans: Sequence[Volume]) -> float:
    """The intensity of a contrast's empty background, below which noise and ringing lie only; −∞ without background."""
    low, high = min(float(np.percentile(s.array, 1)) for s in scans), max(float(s.array.max()) for s in scans)
    near = sum(np.count_nonzero(s.array < low + _NEAR * (high - low)) for s in scans)
    return low if near > _BACKGROUND * sum(s.array.size for s in scans) else -math.inf


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
