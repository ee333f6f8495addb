"""The result of one refinement step as the volume that the next one refines."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..acquisition.axis import AxisModel
from ..acquisition.consistency import make_consistent
from ..acquisition.lattice import LatticeImage
from ..acquisition.model import SIMULATED, AcquisitionModel
from ..image.volume import Volume
from .steps import RefinementStep


def intermediate_volume(volume: Volume, step: RefinementStep, array: np.ndarray) -> tuple[Volume, tuple[str, ...]]:
    """`array`, which `step` made of `volume`, made consistent with it, with its new acquisition model; and warnings."""
    model = AcquisitionModel.estimate(volume)
    consistent, _ = make_consistent(LatticeImage(volume, model, array))
    axes = []
    for number, (axis, n) in enumerate(zip(model.axes, array.shape, strict=True)):
        spacing = axis.spacing * axis.samples / n
        if number not in step.axes:
            axes.append(axis)
        elif axis.kind == "slab":
            axes.append(replace(axis, samples=n, spacing=spacing, thickness=spacing))
        else:
            axes.append(AxisModel("kspace", n, spacing))
    result = Volume.on(consistent.lattice, consistent.lattice_array(), volume.name, {SIMULATED: tuple(axes)})
    return result, consistent.warnings
