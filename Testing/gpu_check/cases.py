"""Scans of known size, cut from the data pack: arrays in, without any file format."""

from __future__ import annotations

import numpy as np

import MultiContrastSRLib as mc
from MultiContrastSRLib.samples.phantom import head_phantom
from MultiContrastSRLib.training.data.pack import Pack

_THICK = np.diag([1.0, 1.0, 4.0, 1.0])  # mm; times depend on the numbers of voxels alone
_HEAD = 200.0  # mm: the phantom's head with some air


def stacked_pair(
    pack: Pack, scale: int, slices: int | None = None, size: int | None = None
) -> tuple[mc.Volume, mc.Volume]:
    """(target, reference): middle slices of the pack, the target `scale` times coarser in plane.

    Args:
        slices, size: number of slices, and of rows and columns of the reference; None takes all there are.
    """
    target, reference = (image.astype(np.float32) for image in pack.stacks[0].images[:2])
    wanted = [n if most is None else most for n, most in zip(target.shape, (slices, size, size), strict=True)]
    padding = [(0, max(0, most - n)) for n, most in zip(target.shape, wanted, strict=True)]
    parts = tuple(
        slice(first, first + most)
        for n, most in zip(target.shape, wanted, strict=True)
        for first in (max(0, n - most) // 2,)
    )
    cut = [np.ascontiguousarray(np.pad(image, padding)[parts]) for image in (target, reference)]
    truth, other = (mc.Volume(array, _THICK, name) for array, name in zip(cut, ("T2", "T1"), strict=True))
    return mc.degrade(truth, "kspace", (1, scale, scale)), other


def orthogonal_pair(side: int) -> tuple[mc.Volume, mc.Volume]:
    """T1 in sagittal and T2 in coronal slabs of 4 mm, of the head phantom on `side`³ voxels."""
    spacing = _HEAD / side
    affine = np.diag([spacing, spacing, spacing, 1.0])
    affine[:3, 3] = -_HEAD / 2
    views = []
    for seed, (contrast, axis) in enumerate((("T1", "i"), ("T2", "j"))):
        whole = head_phantom(contrast, mc.Grid((side, side, side), affine), noise=2.0, seed=seed)
        views.append(mc.degrade(mc.Volume(whole.array, np.eye(4), contrast), "slab", 4, axis=axis))
    return views[0], views[1]
