"""Typical use of the public API, for mypy: it is checked by `make lint` and never run."""

from __future__ import annotations

import MultiContrastSRLib as mc
from MultiContrastSRLib.methods import Method

target, reference = mc.load_volume("t2.nii.gz"), mc.load_volume("t1.nii.gz")
result = mc.super_resolve(target, reference, method="guided", scale=(1, 2, 2), strength=0.5)
shape: tuple[int, int, int] = result.volume.shape
spacing: tuple[float, float, float] = target.grid.scaled(2).spacing
rendered: mc.Volume = mc.prepare(target, method="sinc").render(mc.Grid((4, 5, 6), target.affine))
everything: tuple[Method, ...] = mc.methods()
one: Method = mc.methods.get("sinc")
mc.save_volume(mc.degrade(rendered, "slab", 2), "low.nii.gz")
