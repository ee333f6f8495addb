"""What the tests of the subject-specific methods share: a scene in two contrasts, as orthogonal thick slices."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest
from phantoms import affine
from scipy import ndimage

import MultiContrastSRLib as mc
from MultiContrastSRLib import Grid, Volume
from MultiContrastSRLib.acquisition.model import AcquisitionModel
from MultiContrastSRLib.core.errors import CancelledError
from MultiContrastSRLib.core.progress import Monitor
from MultiContrastSRLib.image.similarity import psnr
from MultiContrastSRLib.methods import get

if TYPE_CHECKING:
    from MultiContrastSRLib.joint.channel import Channel


def ellipsoids(shape: tuple[int, int, int], count: int, largest: float) -> tuple[Volume, Volume]:
    """Two contrasts of `count` ellipsoids with half axes of 2.5 to `largest` mm, 1 mm isotropic."""
    rng = np.random.default_rng(3)
    index = np.stack(np.mgrid[tuple(slice(0, n) for n in shape)], axis=-1)
    labels = np.zeros(shape, int)
    for label in range(1, count + 1):
        center, radius = rng.uniform(4, np.array(shape) - 4), rng.uniform(2.5, largest, 3)
        labels[(((index - center) / radius) ** 2).sum(axis=-1) < 1] = label % 7 + 1
    means = rng.uniform(50, 250, (2, 8))
    means[:, 0] = 0
    images = [ndimage.gaussian_filter(m[labels], 0.5) + rng.normal(0, 0.5, shape) for m in means]
    grid = affine((1, 1, 1), flips=(-1, -1, 1), origin=(12.0, -30.0, 7.0))
    return Volume(images[0], grid, "T2"), Volume(images[1], grid, "T1")


def thick_views(truths: tuple[Volume, Volume]) -> tuple[Volume, Volume]:
    """The first in slices of 4 mm along i, the second along j."""
    return mc.degrade(truths[0], "slab", 4, axis="i"), mc.degrade(truths[1], "slab", 4, axis="j")


def decibel(image: Volume | np.ndarray, truth: Volume) -> float:
    """PSNR relative to the truth's range."""
    array = getattr(image, "array", image)
    return float(psnr(array[None], truth.array[None])[0])


def seconds_until_cancelled(method: str, truths: tuple[Volume, Volume], share: float) -> tuple[float, set[str]]:
    """Cancel `method` on eight times the scene once `share` of it is done.

    Returns:
        Seconds until it was heard, of computing (other programs may hold the processor longer); the stages named.
    """
    big = [Volume(np.tile(v.array, (2, 2, 2)), v.affine, v.name) for v in truths]
    asked, called, stages = threading.Event(), [], set()

    def progress(fraction: float, stage: str) -> None:
        stages.add(stage)
        if fraction > share and not called:
            called.append(time.process_time())
            asked.set()

    with pytest.raises(CancelledError):
        monitor = Monitor(progress, asked.is_set, stage="prepare")
        get(method).prepare(*thick_views(big), refine=(False, False, True), monitor=monitor)
    return time.process_time() - called[0], stages


def channels_of(views: tuple[Volume, Volume], lattice: Grid) -> list[Channel]:
    """What joint total variation knows of the two views on `lattice`, which belongs to the first."""
    from MultiContrastSRLib.acquisition.noise import noise_level
    from MultiContrastSRLib.joint.channel import Channel, gradient_size
    from MultiContrastSRLib.joint.observation import observe, observe_target

    model = AcquisitionModel.estimate(views[0])
    scans = observe_target(views[0], model, lattice, Monitor()), observe(views[1], lattice, None, Monitor())
    return [
        Channel((scan,), (noise_level(volume),), gradient_size(scan.interpolated, (1, 1, 1)))
        for scan, volume in zip(scans, views, strict=True)
    ]
