"""One pass of a network over a volume: what it corrects, what it is shown of the reference, and the mean of planes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import ndimage

from .. import kernels
from ..acquisition import SIMULATED, AcquisitionModel, AxisModel
from ..consistency import make_consistent
from ..grid import spacing_along
from ..lattice import LatticeImage
from ..methods import get
from ..progress import Monitor
from ..reference import resample_reference
from ..sampling import apply_separable, sample
from ..volume import Volume
from .gate import helps
from .plan import Pass, measured_axes
from .slices import SliceNetwork, Stack, statistics

_COVERED = 0.02  # share of a slice that may lie outside the reference, or inside, without being looked at


class Passes:
    """The passes of one super-resolution, and what they have to say.

    Attributes:
        notes: plain sentences for the report.
    """

    def __init__(self, reference: Volume | None, gated: bool, monitor: Monitor) -> None:
        self.reference, self.gated, self.monitor = reference, gated, monitor
        self.notes: list[str] = []

    def base(
        self, volume: Volume, step: Pass, samples: tuple[int, ...], kind: str, reference: Volume | None
    ) -> np.ndarray:
        """The image on the lattice of `samples` that a network corrects; also for a pass without a network."""
        refine = tuple(n in step.axes for n in range(3))
        monitor = self.monitor.silent
        shown = reference if kind == "guided" else None
        prepared = get("guided").prepare(volume, shown, refine=refine, **monitor.callbacks)
        consistent, _ = make_consistent(prepared, monitor)
        if consistent.array.shape == samples:
            return consistent.array
        return consistent.render(AcquisitionModel.estimate(volume).lattice(samples), **monitor.callbacks).array

    def run(self, volume: Volume, step: Pass, samples: tuple[int, ...], network: SliceNetwork | None) -> np.ndarray:
        """`volume` refined to `samples` (k, j, i) along the axes of `step`; None takes the base for the result."""
        model = AcquisitionModel.estimate(volume)
        if network is None:
            return self.base(volume, step, samples, "guided", self.reference)
        axes = measured_axes(model, tuple(n in step.axes for n in range(3)))
        low = _record(volume.array, axes)
        target = statistics(low, network.spec.network)
        seen, valid = self._reference_for(volume, model, axes, step, samples, network)
        if seen is not None and self.gated:
            on_target = _record(seen, axes)
            stack = _stack(step.stacks[0], axes, low, low, on_target)
            factors = tuple(samples[n] / axes[n].samples for n in range(3) if n != step.stacks[0])
            if not helps(network, stack, factors, target, statistics(on_target, network.spec.network), self.monitor):
                self.notes.append(
                    "In a trial on the target itself the reference did not help the network; it was left out."
                )
                seen = None
        monitor = self.monitor
        kinds = {"with": seen} if seen is not None and valid.all() else {"without": None}
        if seen is not None and not valid.all():
            kinds = {"without": None, "with": seen}
        images = {}
        for number, (name, shown) in enumerate(kinds.items()):
            base = self.base(volume, step, samples, network.spec.base, None if shown is None else self.reference)
            other = None if shown is None else statistics(shown, network.spec.network)
            planes = []
            for k, across in enumerate(step.stacks):
                done, share = number * len(step.stacks) + k, 1 / len(kinds) / len(step.stacks)
                part = monitor.part(done * share, (done + 1) * share)
                made = network(_stack(across, axes, low, base, shown), target, other, part)
                planes.append(np.moveaxis(made, 0, across))
            images[name] = planes[0] if len(planes) == 1 else np.mean(planes, axis=0)
        if len(images) == 1:
            return next(iter(images.values()))
        share = _upsampled(valid, model, samples)
        return images["without"] + share * (images["with"] - images["without"])

    def _reference_for(
        self, volume: Volume, model: AcquisitionModel, axes, step: Pass, samples, network: SliceNetwork
    ) -> tuple[np.ndarray | None, np.ndarray | None]:
        """(the reference on the lattice, or on the target's own pixels where it is no finer; where it was acquired)."""
        if self.reference is None:
            return None, None
        fine = samples
        spacing = spacing_along(self.reference.grid, model.grid)
        finer = any(spacing[n] < 0.98 * axes[n].spacing for n in step.axes)
        if not finer and not hasattr(network.spec, "scale"):
            fine = tuple(axis.samples for axis in axes)
        seen, valid = resample_reference(self.reference, model.lattice(fine), volume.grid, self.monitor.silent)
        covered = float(valid.mean())
        if covered < _COVERED:
            return None, None
        return seen, np.ones_like(valid) if covered > 1 - _COVERED else valid


def intermediate(volume: Volume, step: Pass, array: np.ndarray) -> Volume:
    """What a pass made, as the volume that the next one refines: consistent with what was measured."""
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
    return Volume.on(consistent.lattice, consistent.array, volume.name, {SIMULATED: tuple(axes)})


def _stack(across: int, axes, low: np.ndarray, base: np.ndarray, reference: np.ndarray | None) -> Stack:
    """The slices along axis `across`."""
    low, base, reference = (None if a is None else np.moveaxis(a, across, 0) for a in (low, base, reference))
    return Stack(tuple(axis for n, axis in enumerate(axes) if n != across), low, base, reference)


def _record(image: np.ndarray, axes: tuple[AxisModel, ...]) -> np.ndarray:
    """What `axes` record of an image that lies on finer lattices of theirs, or on their own samples."""
    operators = [axis.forward(n) for axis, n in zip(axes, image.shape, strict=True)]
    return image if all(operator is None for operator in operators) else apply_separable(image, operators)


def _upsampled(valid: np.ndarray, model: AcquisitionModel, samples: tuple[int, ...]) -> np.ndarray:
    """`valid` on the lattice, with soft borders inside."""
    soft = ndimage.uniform_filter(ndimage.minimum_filter(valid, 5, mode="nearest"), 5, mode="nearest")
    return sample(soft, model.grid, model.lattice(samples), (kernels.linear,) * 3, domain=model.domain)
