"""One refinement step of a volume by a network: inputs, reference check, slices, and the mean over planes."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby

import numpy as np
import scipy

from ..acquisition.model import AcquisitionModel
from ..core.progress import Monitor
from ..image import kernels
from ..image.grid import spacing_along
from ..image.resample import resample_reference
from ..image.sampling import sample
from ..image.volume import Volume
from .base_image import BaseImage
from .network_inputs import NetworkInputs
from .plane import Findings, Plane, acquire, trial_axes
from .reference_check import reference_improves
from .slice_network import SliceNetwork, volume_normalisation
from .steps import RefinementStep, measured_axes

_LEAKAGE_SCALE = 4.2  # up to this factor leakage of small structures stays within 5 % (docs/accuracy.md)
_CONTRAST = 1e-3  # slices whose range is a smaller share of the volume's are not worth a network
_TRUSTED = 0.5  # mean weight below which the report says so
_ROUNDING = 1e-5  # of a share that is 0 or 1
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
        self.reference_used, self.reference_rejected = reference is not None, False
        self._found: dict[tuple[int, int], tuple[float, ...]] = {}  # (stack axis, number) of slices → their findings
        refined = tuple(n in step.axes for n in range(3))
        if network is None:
            self._inputs = [NetworkInputs(BaseImage(volume, reference, refined, samples, monitor))]
            return
        self._axes = measured_axes(self._model, refined)
        self._target = acquire(volume.array, self._axes)
        self._normalisation = volume_normalisation(self._target, network.spec)
        self._planes = {
            across: Plane(
                network, volume.array, self._axes, across, network_samples, self._normalisation, check_reference
            )
            for across in step.stack_axes
        }
        resampled, valid = self._resample(volume, reference, step, monitor)
        if resampled is not None and check_reference and not self._improved_by(resampled, monitor):
            resampled, self.reference_rejected = None, True
            self._warnings.append(
                "In a trial on the target itself the reference did not help the network; it was left out."
            )
        self.reference_used = resampled is not None
        self._inputs = []
        if resampled is None or valid.mean() <= 1 - _COVERAGE:
            base = BaseImage(volume, None, refined, samples, monitor, device=network.device)
            self._inputs.append(NetworkInputs(base))
        if resampled is not None:
            guide = reference if network.spec.base_image == "guided" else None
            base = BaseImage(volume, guide, refined, samples, monitor, (resampled, valid), network.device)
            plain = None
            if guide is not None:
                plain = BaseImage(volume, None, refined, samples, monitor, device=network.device)
            normalisation = volume_normalisation(resampled, network.spec)
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
        found += [text for inputs in self._inputs for text in inputs.warnings]
        if self.network is not None:
            found += self.network.warnings
        replaced, *sums = np.sum([*self._found.values(), (0.0,) * 5], axis=0)
        if replaced:
            found.append(
                f"In {replaced:.0f} of {len(self._found)} slices the network's correction exceeded the local range of "
                f"the scan; the {self.base_method} image is shown there instead."
            )
        for name, whole, used in (("reference's detail", *sums[:2]), ("network's correction", *sums[2:])):
            if used < _TRUSTED * whole:
                found.append(
                    f"{1 - used / whole:.0%} of the {name} were left out: in a trial on the target they added errors."
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

    def whole(self, monitor: Monitor, needed: Mapping[int, range] | None = None) -> np.ndarray:
        """The volume on the whole lattice: the mean over the stacks.

        Args:
            needed: by stack axis, the slices that the network computes, where others may be base images; None: all.
        """
        if self.network is None:
            return self._inputs[0].base.whole(monitor)
        total = np.zeros(self.samples, np.float32)
        count = len(self._stack_axes)
        for number, across in enumerate(self._stack_axes):
            part = monitor.part(number / count, (number + 1) / count)
            slices = np.moveaxis(total, across, 0)  # a view
            step = self.batch_size(across)
            wanted = range(len(slices)) if needed is None else needed[across]
            for start in range(wanted.start, wanted.stop, step):
                part.update((start - wanted.start) / len(wanted))
                numbers = slice(start, min(start + step, wanted.stop))
                slices[numbers] += self.slices(across, numbers, part.silent) / np.float32(count)
            for numbers in (slice(0, wanted.start), slice(wanted.stop, len(slices))):
                if numbers.stop > numbers.start:
                    slices[numbers] += self.base_slices(across, numbers, part.silent) / np.float32(count)
        return total

    def batch_size(self, across: int) -> int:
        """How many slices that are stacked along `across` are computed at once; there is a network."""
        rows, columns = (n for axis, n in enumerate(self.samples) if axis != across)
        return self.network.batch_size((rows, columns))

    def slices(self, across: int, numbers: slice, monitor: Monitor) -> np.ndarray:
        """Slices `numbers` (start and stop) stacked along `across`: (slices, rows, columns)."""
        share = self._share(across, numbers)
        images = [
            self._super_resolve(inputs, across, numbers, seen, monitor)
            for inputs, seen in zip(self._inputs, _seen(share, numbers), strict=True)
        ]
        return _blended(images, share)

    def base_slices(self, across: int, numbers: slice, monitor: Monitor) -> np.ndarray:
        """The base images of the same slices, within milliseconds."""
        images = [inputs.base.stack(across, numbers, monitor) for inputs in self._inputs]
        return _blended(images, self._share(across, numbers))

    def _super_resolve(
        self, inputs: NetworkInputs, across: int, numbers: slice, seen: np.ndarray, monitor: Monitor
    ) -> np.ndarray:
        """Slices by the network; the base image where the target has no contrast, or which are not `seen` (N,)."""
        threshold = _CONTRAST * float(self._normalisation.scale)
        slices = np.moveaxis(self._target, across, 0)[numbers]
        wanted = [bool(shown) and float(np.ptp(image)) > threshold for image, shown in zip(slices, seen, strict=True)]
        found, start = [], numbers.start
        for selected, group in groupby(wanted):
            run = range(start, start + len(list(group)))
            start = run.stop
            if selected:
                images, findings = self._planes[across].super_resolve(inputs, run, monitor)
                self._note(across, run, findings)
            else:
                images = inputs.base.stack(across, slice(run.start, run.stop), monitor)
            found.append(images)
        return found[0] if len(found) == 1 else np.concatenate(found)

    def _note(self, across: int, numbers: range, found: Findings) -> None:
        values = found.replaced, found.reference, found.reference_used, found.correction, found.correction_used
        for number, row in zip(numbers, np.stack(values, axis=1).tolist(), strict=True):
            self._found[across, number] = tuple(row)

    def _share(self, across: int, numbers: slice) -> np.ndarray | None:
        """The share of the image with the reference in slices (N, H, W); None where there is one image."""
        if len(self._inputs) == 1:
            return None
        first, last = [0, 0, 0], list(self.samples)
        first[across], last[across] = numbers.start, numbers.stop
        lattice = self._model.lattice(self.samples).crop(first, last)
        share = sample(self._coverage, self._model.grid, lattice, (kernels.linear,) * 3, domain=self._model.domain)
        return np.moveaxis(share, across, 0)

    def _improved_by(self, resampled: np.ndarray, monitor: Monitor) -> bool:
        """Whether the check finds the result better with the reference, `resampled` to the lattice."""
        across = self._stack_axes[0]
        plane = self._planes[across]
        if plane.trial is None:
            return True
        # nothing is refined along the stack axes, which keep their samples
        finer = trial_axes(self.network, self._axes)
        axes = tuple(self._axes[n] if n in self._stack_axes else axis for n, axis in enumerate(finer))
        reference = acquire(resampled, axes)
        images = np.moveaxis(self._target, across, 0), np.moveaxis(reference, across, 0)
        normalisation = volume_normalisation(reference, self.network.spec)
        return reference_improves(self.network, plane.trial, images, self._normalisation, normalisation, monitor)

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


def _seen(share: np.ndarray | None, numbers: slice) -> list[np.ndarray]:
    """In which slices (N,) anything is seen of the image without the reference, and of the one with it."""
    if share is None:
        return [np.ones(numbers.stop - numbers.start, bool)]
    return [share.min((1, 2)) < 1 - _ROUNDING, share.max((1, 2)) > _ROUNDING]


def _blended(images: list[np.ndarray], share: np.ndarray | None) -> np.ndarray:
    """The image with the reference (the second) where that covers the target, else the one without (the first)."""
    return images[0] if share is None else images[0] + share * (images[1] - images[0])


def _smooth_coverage(valid: np.ndarray) -> np.ndarray:
    """`valid` with a smooth transition inside its border."""
    return scipy.ndimage.uniform_filter(scipy.ndimage.minimum_filter(valid, 5, mode="nearest"), 5, mode="nearest")
