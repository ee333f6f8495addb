"""One refinement step of a volume by a network: inputs, reference check, slices, and the mean over planes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from scipy import ndimage

from ..acquisition.axis import AxisModel
from ..acquisition.model import AcquisitionModel
from ..acquisition.operators import apply_operator
from ..core.progress import Monitor
from ..image import kernels
from ..image.grid import spacing_along
from ..image.resample import resample_reference
from ..image.sampling import sample
from ..image.volume import Volume
from .base_image import BaseImage
from .correction_limit import limit_correction, unrecorded
from .network_inputs import NetworkInputs
from .reference_check import reference_improves
from .regional_trial import RegionalWeights, Share, faded, regional_weights
from .slice_network import SliceNetwork, volume_normalisation
from .slice_stack import SliceStack
from .steps import RefinementStep, measured_axes
from .trial_acquisition import TrialAcquisition, oversampling

_LEAKAGE_SCALE = 4.2  # up to this factor leakage of small structures stays within 5 % (docs/accuracy.md)
_TRUSTED = 0.5  # mean weight below which the report says so
_COVERAGE = 0.02  # share of a volume outside the reference, or inside it, below which it is ignored


class PreparedStep:
    """A refinement step that is set up: any slices of any stack can be computed independently.

    All that needs the whole volume is done at once: intensity statistics, whether the reference improves the result,
    and its coverage of the target. Beyond the scales that networks were trained for, the base image is computed on the
    finer lattice and the network's correction is interpolated.

    Args:
        volume: the volume to refine along the axes of `step` to `samples` (k, j, i).
        network_samples: of the lattice that the network works on, along no axis more than `samples`.
        network: None returns the base image.
        check_reference: whether the reference is left out when it does not improve the result.

    Attributes:
        samples: of the lattice of the result.
        across: the axis along which the slices are stacked; None where there are two.
        reference_used: whether the reference adds anything.
        reference_rejected: whether the reference check left it out.
    """

    def __init__(
        self,
        volume: Volume,
        reference: Volume | None,
        step: RefinementStep,
        samples: tuple[int, ...],
        network_samples: tuple[int, ...],
        network: SliceNetwork | None,
        check_reference: bool,
        monitor: Monitor,
    ) -> None:
        self.samples, self.network = samples, network
        self.across = step.stack_axes[0] if len(step.stack_axes) == 1 else None
        self._network_samples = network_samples
        self._model = AcquisitionModel.estimate(volume)
        self._stack_axes = step.stack_axes
        self._notes: list[str] = []
        self._warnings: list[str] = []
        self.reference_used = reference is not None
        self.reference_rejected = False
        self._computed: set[tuple[int, int]] = set()  # (stack axis, number) of the slices that the network computed
        self._replaced: set[tuple[int, int]] = set()  # those of them that are the base image
        self._shares = {"reference": Share(), "correction": Share()}
        self._check_reference = check_reference
        refined = tuple(n in step.axes for n in range(3))
        if network is None:
            self._inputs = [NetworkInputs(BaseImage(volume, reference, refined, samples, monitor))]
            return
        self._axes = measured_axes(self._model, refined)
        self._factors = tuple(n / axis.samples for n, axis in zip(network_samples, self._axes, strict=True))
        self._target = _acquire(volume.array, self._axes)
        self._normalisation = volume_normalisation(self._target, network.spec)
        resampled, valid = self._resample(volume, reference, step, monitor)
        if resampled is not None and check_reference and not self._improved_by(resampled, monitor):
            resampled = None
            self.reference_rejected = True
            self._warnings.append(
                "In a trial on the target itself the reference did not help the network; it was left out."
            )
        self.reference_used = resampled is not None
        self._inputs = []
        if resampled is None or valid.mean() <= 1 - _COVERAGE:
            base = BaseImage(volume, None, refined, samples, monitor)
            self._inputs.append(NetworkInputs(base))
        if resampled is not None:
            guide = reference if network.spec.base_image == "guided" else None
            base = BaseImage(volume, guide, refined, samples, monitor, (resampled, valid))
            normalisation = volume_normalisation(resampled, network.spec)
            plain = None if guide is None else BaseImage(volume, None, refined, samples, monitor)
            self._inputs.append(NetworkInputs(base, plain, resampled, normalisation))
            self._coverage = _smooth_coverage(valid)
            if max(n / axis.samples for n, axis in zip(samples, self._axes, strict=True)) > _LEAKAGE_SCALE:
                self._notes.append(
                    "More than four times finer, structures of the reference that are smaller than an acquired "
                    "voxel may show in the result though the target has none (see docs/accuracy.md)."
                )

    @property
    def notes(self) -> list[str]:
        """Plain sentences for the report."""
        return list(self._notes)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences for the report that the user should read, about the slices computed so far."""
        found = list(self._warnings)
        if self.network is not None:
            found += self.network.warnings
        if self._replaced:
            found.append(
                f"In {len(self._replaced)} of {len(self._computed)} slices the network's correction exceeded the local "
                f"range of the scan; the {self.base_method} image is shown there instead."
            )
        reference, correction = (self._shares[name].mean for name in ("reference", "correction"))
        if reference < _TRUSTED:
            found.append(
                f"{1 - reference:.0%} of the reference's detail were left out: in a trial on the target they added "
                "errors."
            )
        if correction < _TRUSTED:
            found.append(
                f"{1 - correction:.0%} of the network's correction were left out: in a trial on the target they added "
                "errors."
            )
        return tuple(dict.fromkeys(found))

    @property
    def base_method(self) -> str:
        """The method of the base image: "guided", or "sinc" where the reference adds nothing."""
        return "guided" if self._inputs[-1].base.guided else "sinc"

    @property
    def nbytes(self) -> int:
        """Memory that it holds."""
        return self._target.nbytes + sum(inputs.nbytes for inputs in self._inputs)

    def whole(self, monitor: Monitor) -> np.ndarray:
        """The volume on the whole lattice: the mean over the stacks."""
        if self.network is None:
            return self._inputs[0].base.whole(monitor)
        total = np.zeros(self.samples, np.float32)
        count = len(self._stack_axes)
        for number, across in enumerate(self._stack_axes):
            part = monitor.part(number / count, (number + 1) / count)
            slices = np.moveaxis(total, across, 0)  # a view
            step = self.network.batch_size(slices.shape[1:])
            for start in range(0, len(slices), step):
                part.update(start / len(slices))
                numbers = slice(start, min(start + step, len(slices)))
                slices[numbers] += self.slices(across, numbers, part.silent) / np.float32(count)
        return total

    def slices(self, across: int, numbers: slice, monitor: Monitor) -> np.ndarray:
        """Slices `numbers` (start and stop) stacked along `across`: (slices, rows, columns)."""
        images = [self._super_resolve(inputs, across, numbers, monitor) for inputs in self._inputs]
        return self._blend(images, across, numbers)

    def base_slices(self, across: int, numbers: slice, monitor: Monitor) -> np.ndarray:
        """The base images of the same slices, within milliseconds."""
        return self._blend([inputs.base.stack(across, numbers, monitor) for inputs in self._inputs], across, numbers)

    def _super_resolve(self, inputs: NetworkInputs, across: int, numbers: slice, monitor: Monitor) -> np.ndarray:
        base = inputs.base.stack(across, numbers, monitor)
        monitor.check()
        stack = self._stack(across, None, inputs.reference, numbers)
        weights = self._regional_weights(stack, inputs, across, monitor)
        if weights is not None and weights.reference is not None:
            if not weights.reference.any():
                return self._super_resolve(inputs.without_reference(), across, numbers, monitor)
            base, stack = self._with_confidence(stack, inputs, base, weights, across, numbers, monitor)
        # axes of the network's lattice as a k-space crop of the result's: their centres coincide too
        axes = [AxisModel("kspace", n, 1.0) for axis, n in enumerate(self._network_samples) if axis != across]
        same = base.shape[1:] == tuple(axis.samples for axis in axes)
        network_base = base if same else apply_operator(axes, "forward", base, base.shape[1:])
        stack = replace(stack, base=network_base)
        image = self.network(stack, self._normalisation, inputs.normalisation, monitor)
        image, replaced = limit_correction(image, network_base, stack.axes)
        self._computed.update((across, n) for n in range(numbers.start, numbers.stop))
        self._replaced.update((across, numbers.start + int(n)) for n in np.flatnonzero(replaced))
        correction = image - network_base
        if weights is not None:
            weight = weights.on_lattice(stack.axes, network_base.shape[1:]).correction
            self._shares["correction"].add(weight, np.abs(correction))
            correction *= weight
        return base + (correction if same else apply_operator(axes, "spread", correction, base.shape[1:]))

    def _regional_weights(
        self, stack: SliceStack, inputs: NetworkInputs, across: int, monitor: Monitor
    ) -> RegionalWeights | None:
        """How far reference and correction are trusted in the slices of `stack`; None without a trial."""
        factors = tuple(factor for n, factor in enumerate(self._factors) if n != across)
        trial = TrialAcquisition.of(self.network.spec, stack.axes, factors)
        if trial is None:
            return None
        if stack.reference is not None:
            axes = tuple(axis for n, axis in enumerate(self._trial_axes()) if n != across)
            stack = replace(stack, reference=_acquire(stack.reference, axes))
        return regional_weights(
            self.network, stack, trial, self._normalisation, inputs.normalisation, monitor,
            whole_reference=not self._check_reference,
        )  # fmt: skip

    def _with_confidence(
        self,
        stack: SliceStack,
        inputs: NetworkInputs,
        base: np.ndarray,
        weights: RegionalWeights,
        across: int,
        numbers: slice,
        monitor: Monitor,
    ) -> tuple[np.ndarray, SliceStack]:
        """(base image, stack) in which the reference is present as far as it is trusted."""
        if inputs.plain is not None:
            plain = inputs.plain.stack(across, numbers, monitor)
            confidence = weights.on_lattice(stack.axes, base.shape[1:]).reference
            detail = base - plain
            self._shares["reference"].add(confidence, np.abs(detail))
            if confidence.min() < 1:
                base = plain + unrecorded(confidence * detail, stack.axes)
        confidence = torch.from_numpy(weights.on_lattice(stack.axes, stack.reference.shape[1:]).reference)
        reference = faded(
            torch.from_numpy(np.array(stack.reference, dtype=np.float32)), confidence, inputs.normalisation
        )
        return base, replace(stack, reference=reference.numpy())

    def _stack(
        self,
        across: int,
        base: np.ndarray | None,
        reference: np.ndarray | None,
        numbers: slice = slice(None),
    ) -> SliceStack:
        """The slices `numbers` along `across`; `base` holds these only. `base` None: the target."""
        axes = tuple(axis for n, axis in enumerate(self._axes) if n != across)
        target = np.moveaxis(self._target, across, 0)[numbers]
        reference = None if reference is None else np.moveaxis(reference, across, 0)[numbers]
        return SliceStack(axes, target, target if base is None else base, reference)

    def _blend(self, images: list[np.ndarray], across: int, numbers: slice) -> np.ndarray:
        """The image computed with the reference where that covers the target, else the one without."""
        if len(images) == 1:
            return images[0]
        first, last = [0, 0, 0], list(self.samples)
        first[across], last[across] = numbers.start, numbers.stop
        lattice = self._model.lattice(self.samples).crop(first, last)
        share = sample(self._coverage, self._model.grid, lattice, (kernels.linear,) * 3, domain=self._model.domain)
        without_reference, with_reference = images
        return without_reference + np.moveaxis(share, across, 0) * (with_reference - without_reference)

    def _improved_by(self, resampled: np.ndarray, monitor: Monitor) -> bool:
        """Whether the check finds the result better with the reference, `resampled` to the lattice."""
        across = self._stack_axes[0]
        reference = _acquire(resampled, self._trial_axes())
        stack = self._stack(across, None, reference)
        factors = tuple(self._factors[n] for n in range(3) if n != across)
        normalisation = volume_normalisation(reference, self.network.spec)
        return reference_improves(self.network, stack, factors, self._normalisation, normalisation, monitor)

    def _trial_axes(self) -> tuple[AxisModel, ...]:
        """The target's axes with as many samples as a trial needs of the reference."""
        factor = oversampling(self.network.spec)
        return tuple(
            axis
            if n in self._stack_axes
            else replace(axis, samples=factor * axis.samples, spacing=axis.spacing / factor)
            for n, axis in enumerate(self._axes)
        )

    def _resample(
        self, volume: Volume, reference: Volume | None, step: RefinementStep, monitor: Monitor
    ) -> tuple[np.ndarray | None, np.ndarray | None]:
        """(the reference on the network's lattice, or on the target's samples where it is no finer; its coverage)."""
        if reference is None:
            return None, None
        samples = self._network_samples
        spacing = spacing_along(reference.grid, self._model.grid)
        finer = any(spacing[n] < 0.98 * self._axes[n].spacing for n in step.axes)
        if not finer and self.network.spec.fixed_scale is None:
            samples = tuple(axis.samples for axis in self._axes)
        resampled, valid = resample_reference(reference, self._model.lattice(samples), volume.grid, monitor.silent)
        return (resampled, valid) if valid.mean() >= _COVERAGE else (None, None)


def _acquire(image: np.ndarray, axes: tuple[AxisModel, ...]) -> np.ndarray:
    """The acquisition by `axes`, those of the last dimensions, of an image on a finer lattice of theirs."""
    shape = image.shape[-len(axes) :]
    if shape == tuple(axis.samples for axis in axes):
        return image
    return apply_operator(axes, "forward", image, shape)


def _smooth_coverage(valid: np.ndarray) -> np.ndarray:
    """`valid` with a smooth transition inside its border."""
    return ndimage.uniform_filter(ndimage.minimum_filter(valid, 5, mode="nearest"), 5, mode="nearest")
