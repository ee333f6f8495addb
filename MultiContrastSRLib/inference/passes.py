"""One pass of a network over a volume: what it corrects, what it is shown of the reference, and the mean of planes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from scipy import ndimage

from ..acquisition.axis import AxisModel
from ..acquisition.consistency import make_consistent
from ..acquisition.lattice import LatticeImage
from ..acquisition.model import SIMULATED, AcquisitionModel
from ..acquisition.operators import apply_operator
from ..core.progress import Monitor
from ..image import kernels
from ..image.grid import spacing_along
from ..image.resample import resample_reference
from ..image.sampling import sample
from ..image.volume import Volume
from ..networks.intensity import Intensity
from .auxiliary import JointSlices
from .base_volume import Base
from .limit import limit_correction
from .planes import Pass, measured_axes
from .reference_check import finer, helps
from .slices import SliceNetwork, Stack, statistics

_SURE = 4.2  # times finer: below that, leaks of small structures stay within 5 % (README, Lesions)
_COVERED = 0.02  # share of a slice that may lie outside the reference, or inside, without being looked at


@dataclass(frozen=True)
class _Shown:
    """What a network is given beside the target: a base, the reference or None, and by axis what it sees beside."""

    base: Base
    reference: np.ndarray | None = None
    intensity: Intensity | None = None
    beside: dict[int, JointSlices] = field(default_factory=dict)

    @property
    def nbytes(self) -> int:
        held = 0 if self.reference is None else self.reference.nbytes
        return held + self.base.nbytes + sum(joint.nbytes for joint in self.beside.values())


class PreparedPass:
    """One pass, set up: what needs the whole volume is decided, and any slices of any stack can be had.

    That is the intensities, whether the reference helps, and where there is one. Beyond the scales that networks were
    trained for, the base takes all that the reference shows, and what the network adds is interpolated.

    Args:
        volume: what is refined along the axes of `step` to `samples` (k, j, i).
        decoded: samples of the lattice that the network works on, along no axis more than `samples`.
        network: None takes the base for the result.
        gated: whether the reference is left out when it does not help.

    Attributes:
        samples: of the lattice of the result.
        across: the axis along which the slices are stacked; None where there are two.
        notes: plain sentences for the report.
        warnings: sentences for the report that the user should read, about the slices made so far.
    """

    def __init__(
        self,
        volume: Volume,
        reference: Volume | None,
        step: Pass,
        samples: tuple[int, ...],
        decoded: tuple[int, ...],
        network: SliceNetwork | None,
        gated: bool,
        monitor: Monitor,
    ) -> None:
        self.samples, self.network = samples, network
        self._decoded = decoded
        self._model = AcquisitionModel.estimate(volume)
        self._stacks = step.stacks
        self._notes: list[str] = []
        self._made: set[tuple[int, int]] = set()  # (axis across, number) of the slices that the network made
        self._replaced: set[tuple[int, int]] = set()  # those of them that show the base image
        refine = tuple(n in step.axes for n in range(3))
        if network is None:
            self._shown = [_Shown(Base(volume, reference, refine, samples, monitor))]
        else:
            self._axes = measured_axes(self._model, refine)
            self._low = _record(volume.array, self._axes)
            self._target = statistics(self._low, network.spec)
            seen, valid = self._reference_for(volume, reference, step, monitor)
            if seen is not None and gated and not self._helped_by(seen, monitor):
                seen = None
                self._notes.append(
                    "In a trial on the target itself the reference did not help the network; it was left out."
                )
            self._shown = []
            if seen is None or valid.mean() <= 1 - _COVERED:
                base = Base(volume, None, refine, samples, monitor)
                self._shown.append(_Shown(base, beside=self._beside(volume, None, monitor)))
            if seen is not None:
                guide = reference if network.spec.base.startswith("guided") else None
                base = Base(volume, guide, refine, samples, monitor, (seen, valid))
                beside = self._beside(volume, reference, monitor)
                self._shown.append(_Shown(base, seen, statistics(seen, network.spec), beside))
                self._coverage = _softened(valid)
                if max(n / axis.samples for n, axis in zip(samples, self._axes, strict=True)) > _SURE:
                    self._notes.append(
                        "More than four times finer, structures of the reference that are smaller than an acquired "
                        "voxel may show in the result though the target has none (see docs/accuracy.md)."
                    )
        self.across = step.stacks[0] if len(step.stacks) == 1 else None

    @property
    def notes(self) -> list[str]:
        """Plain sentences for the report."""
        beside = [note for shown in self._shown for joint in shown.beside.values() for note in joint.notes]
        return self._notes + beside + list(self.network.notes if self.network else ())

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences for the report that the user should read, about the slices made so far."""
        if not self._replaced:
            return ()
        return (
            f"In {len(self._replaced)} of {len(self._made)} slices the network's correction exceeded the local range "
            f"of the scan; the {self.base} image is shown there instead.",
        )

    @property
    def base(self) -> str:
        """The method whose image is corrected, and shown where nothing better is there yet."""
        return "guided" if self._shown[-1].base.guided else "sinc"

    @property
    def nbytes(self) -> int:
        """Memory that it holds."""
        return self._low.nbytes + sum(shown.nbytes for shown in self._shown)

    def whole(self, monitor: Monitor) -> np.ndarray:
        """All of the lattice: the mean over the stacks."""
        if self.network is None:
            return self._shown[0].base.whole(monitor)
        total = np.zeros(self.samples, np.float32)
        for number, across in enumerate(self._stacks):
            part = monitor.part(number / len(self._stacks), (number + 1) / len(self._stacks))
            slices = np.moveaxis(total, across, 0)  # a view
            step = self.network.at_once(slices.shape[1:])
            for start in range(0, len(slices), step):
                part.update(start / len(slices))
                numbers = slice(start, min(start + step, len(slices)))
                slices[numbers] += self.slices(across, numbers, part.silent) / np.float32(len(self._stacks))
        return total

    def slices(self, across: int, numbers: slice, monitor: Monitor) -> np.ndarray:
        """Slices `numbers` (start and stop) stacked along `across`: (slices, rows, columns)."""
        return self._blended([self._image(shown, across, numbers, monitor) for shown in self._shown], across, numbers)

    def bases(self, across: int, numbers: slice, monitor: Monitor) -> np.ndarray:
        """What `slices` corrects, within milliseconds."""
        return self._blended([shown.base.stack(across, numbers, monitor) for shown in self._shown], across, numbers)

    def _image(self, shown: _Shown, across: int, numbers: slice, monitor: Monitor) -> np.ndarray:
        base = shown.base.stack(across, numbers, monitor)
        monitor.check()
        # axes of the network's lattice, as if it were recorded of the result's: their middles coincide too
        axes = [AxisModel("kspace", n, 1.0) for axis, n in enumerate(self._decoded) if axis != across]
        same = base.shape[1:] == tuple(axis.samples for axis in axes)
        seen = base if same else apply_operator(axes, "forward", base, base.shape[1:])
        beside = shown.beside[across].stack(numbers, monitor) if shown.beside else None
        stack = self._stack(across, seen, shown.reference, numbers, beside)
        made = self.network(stack, self._target, shown.intensity, monitor)
        made, replaced = limit_correction(made, seen, stack.axes)
        self._made.update((across, n) for n in range(numbers.start, numbers.stop))
        self._replaced.update((across, numbers.start + int(n)) for n in np.flatnonzero(replaced))
        if same:
            return made
        return base + apply_operator(axes, "spread", made - seen, base.shape[1:])

    def _beside(self, volume: Volume, reference: Volume | None, monitor: Monitor) -> dict[int, JointSlices]:
        """By axis along which slices are stacked, the images that the network sees beside the base."""
        if not self.network.spec.beside:
            return {}
        lattice, device = self._model.lattice(self._decoded), str(self.network.device)
        return {across: JointSlices(volume, reference, lattice, across, device, monitor) for across in self._stacks}

    def _stack(
        self,
        across: int,
        base: np.ndarray | None,
        reference: np.ndarray | None,
        numbers: slice = slice(None),
        beside: np.ndarray | None = None,
    ) -> Stack:
        """The slices `numbers` along `across`; `base` holds them alone, or is the target itself."""
        axes = tuple(axis for n, axis in enumerate(self._axes) if n != across)
        low = np.moveaxis(self._low, across, 0)[numbers]
        seen = None if reference is None else np.moveaxis(reference, across, 0)[numbers]
        return Stack(axes, low, low if base is None else base, seen, beside)

    def _blended(self, images: list[np.ndarray], across: int, numbers: slice) -> np.ndarray:
        """The image made with the reference where there is one, else the one made without."""
        if len(images) == 1:
            return images[0]
        first, last = [0, 0, 0], list(self.samples)
        first[across], last[across] = numbers.start, numbers.stop
        lattice = self._model.lattice(self.samples).crop(first, last)
        share = sample(self._coverage, self._model.grid, lattice, (kernels.linear,) * 3, domain=self._model.domain)
        without, seeing = images
        return without + np.moveaxis(share, across, 0) * (seeing - without)

    def _helped_by(self, seen: np.ndarray, monitor: Monitor) -> bool:
        times = finer(self.network)
        axes = tuple(
            axis if n in self._stacks else replace(axis, samples=times * axis.samples, spacing=axis.spacing / times)
            for n, axis in enumerate(self._axes)
        )
        on_target = _record(seen, axes)
        stack = self._stack(self._stacks[0], None, on_target)
        factors = tuple(self._decoded[n] / self._axes[n].samples for n in range(3) if n != self._stacks[0])
        intensity = statistics(on_target, self.network.spec)
        return helps(self.network, stack, factors, self._target, intensity, monitor)

    def _reference_for(
        self, volume: Volume, reference: Volume | None, step: Pass, monitor: Monitor
    ) -> tuple[np.ndarray | None, np.ndarray | None]:
        """(the reference on the lattice, or on the target's own pixels where it is no finer; where it was acquired)."""
        if reference is None:
            return None, None
        fine = self._decoded
        spacing = spacing_along(reference.grid, self._model.grid)
        finer = any(spacing[n] < 0.98 * self._axes[n].spacing for n in step.axes)
        if not finer and not hasattr(self.network.spec, "scale"):
            fine = tuple(axis.samples for axis in self._axes)
        seen, valid = resample_reference(reference, self._model.lattice(fine), volume.grid, monitor.silent)
        return (seen, valid) if valid.mean() >= _COVERED else (None, None)


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


def _record(image: np.ndarray, axes: tuple[AxisModel, ...]) -> np.ndarray:
    """The acquisition by `axes` of an image on a finer lattice of theirs, or on their own samples: then the image."""
    if image.shape == tuple(axis.samples for axis in axes):
        return image
    return apply_operator(axes, "forward", image, image.shape)


def _softened(valid: np.ndarray) -> np.ndarray:
    """`valid` with soft borders inside."""
    return ndimage.uniform_filter(ndimage.minimum_filter(valid, 5, mode="nearest"), 5, mode="nearest")
