"""The slices of a refinement step in one plane: base image, trial, network and limit, as one batch on one device."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ..acquisition.axis import AxisModel
from ..acquisition.operators import apply_operator
from ..core.progress import Monitor
from ..image.grid import per_axis
from ..image.sampling import Array
from ..networks.intensity import IntensityNormalisation
from .correction_limit import limit_correction, unrecorded
from .device_slices import DeviceSlices, as_slices
from .network_inputs import NetworkInputs
from .regional_trial import RegionalWeights, faded, regional_weights, super_resolved
from .slice_network import SliceNetwork
from .slice_stack import SliceStack
from .trial_acquisition import TrialAcquisition, oversampling


@dataclass(frozen=True)
class Findings:
    """What was found in slices, a number each.

    Attributes:
        replaced: whether the base image is shown, since the network left the local range.
        reference, correction: sums of the magnitudes of the reference's detail and of the network's correction.
        reference_used, correction_used: the same, weighted by how far they are trusted.
    """

    replaced: np.ndarray
    reference: np.ndarray
    reference_used: np.ndarray
    correction: np.ndarray
    correction_used: np.ndarray


@dataclass(frozen=True)
class Plane:
    """The slices of a volume along one axis, for a network.

    Attributes:
        volume: the volume to refine, [k, j, i].
        axes: its acquisition (k, j, i), without the zero-filled part of k-space.
        across: the axis along which the slices are stacked.
        samples: of the lattice that the network works on, (k, j, i).
        normalisation: of the volume.
        check_reference: whether a trial decides how far the reference is used.
    """

    network: SliceNetwork
    volume: np.ndarray
    axes: tuple[AxisModel, AxisModel, AxisModel]
    across: int
    samples: tuple[int, ...]
    normalisation: IntensityNormalisation
    check_reference: bool

    @property
    def in_plane(self) -> tuple[AxisModel, AxisModel]:
        """The acquisition of rows and columns."""
        rows, columns = (axis for n, axis in enumerate(self.axes) if n != self.across)
        return rows, columns

    @property
    def trial(self) -> TrialAcquisition | None:
        """The trial of the slices; None where they are too small."""
        factors = [n / axis.samples for n, axis in zip(self.samples, self.axes, strict=True)]
        rows, columns = (factor for n, factor in enumerate(factors) if n != self.across)
        return TrialAcquisition.of(self.network.spec, self.in_plane, (rows, columns))

    def super_resolve(self, inputs: NetworkInputs, numbers: range, monitor: Monitor) -> tuple[np.ndarray, Findings]:
        """The slices `numbers` (N, H, W) on the lattice of the base image, and what was found in them."""
        shape = tuple(n for axis, n in enumerate(self.samples) if axis != self.across)

        def work(part: range, device: str, monitor: Monitor) -> tuple[np.ndarray, np.ndarray]:
            monitor.check()
            images, found = self._batch(inputs, slice(part.start, part.stop), DeviceSlices(device), monitor)
            together = torch.cat([images.flatten(1), found], dim=1).cpu().numpy()  # copied once
            return together[:, : images[0].numel()].reshape(images.shape), together[:, images[0].numel() :]

        images, found = self.network.in_batches(numbers, shape, work, monitor)
        return images, Findings(found[:, 0] > 0, *found[:, 1:].T)

    def _batch(
        self, inputs: NetworkInputs, numbers: slice, read: DeviceSlices, monitor: Monitor
    ) -> tuple[Tensor, Tensor]:
        """(images, findings (N, 5)) on the device of `read`."""
        part = per_axis(numbers if axis == self.across else slice(None) for axis in range(3))
        target = acquire(as_slices(read(self.volume, part), self.across), self.in_plane)
        reference = None if inputs.reference is None else as_slices(read(inputs.reference, part), self.across)
        base = inputs.base.stack_on(read, self.across, numbers, monitor)
        normalisations = self.normalisation, inputs.normalisation
        weights = self._weights(target, reference, normalisations)
        confidence, used = None, torch.zeros(2, len(target), device=base.device)
        if weights is not None and weights.reference is not None:
            confidence = weights.reference if weights.absent else None
            if inputs.plain is not None:
                plain = inputs.plain.stack_on(read, self.across, numbers, monitor)
                base, used = self._with_confidence(base, plain, weights)
            there = weights.on_lattice(self.in_plane, tuple(reference.shape[1:])).reference
            reference = faded(reference, there, inputs.normalisation)
        # axes of the network's lattice as a k-space crop of the result's: their centres coincide too
        crop = [AxisModel("kspace", n, 1.0) for axis, n in enumerate(self.samples) if axis != self.across]
        full = tuple(base.shape[1:])
        stack = SliceStack(self.in_plane, target, apply_operator(crop, "forward", base, full), reference)
        image = super_resolved(self.network, stack, confidence, normalisations)
        image, replaced = limit_correction(image, stack.base, stack.axes)
        correction = image - stack.base
        trusted = correction
        if weights is not None:
            trusted = correction * weights.on_lattice(stack.axes, tuple(stack.base.shape[1:])).correction
        corrections = torch.stack([x.abs().sum((1, 2)) for x in (correction, trusted)])
        added = trusted if full == tuple(trusted.shape[1:]) else apply_operator(crop, "spread", trusted, full)
        return base + added, torch.cat([replaced[None].to(used), used, corrections]).T

    def _weights(
        self,
        target: Tensor,
        reference: Tensor | None,
        normalisations: tuple[IntensityNormalisation, IntensityNormalisation | None],
    ) -> RegionalWeights | None:
        """How far reference and correction are trusted; None without a trial."""
        trial = self.trial
        if trial is None:
            return None
        if reference is not None:
            rows, columns = (axis for n, axis in enumerate(trial_axes(self.network, self.axes)) if n != self.across)
            reference = acquire(reference, (rows, columns))
        return regional_weights(
            self.network, trial, target, reference, normalisations, whole_reference=not self.check_reference
        )

    def _with_confidence(self, base: Tensor, plain: Tensor, weights: RegionalWeights) -> tuple[Tensor, Tensor]:
        """(base image with the reference as far as it is trusted, sums (2, N) of its detail and of what is used)."""
        confidence = weights.on_lattice(self.in_plane, tuple(base.shape[1:])).reference
        detail = base - plain
        used = confidence * detail
        sums = torch.stack([x.abs().sum((1, 2)) for x in (detail, used)])
        whole = (confidence.amin((1, 2)) == 1)[:, None, None]
        return torch.where(whole, base, plain + unrecorded(used, self.in_plane)), sums


def trial_axes(network: SliceNetwork, axes: tuple[AxisModel, ...]) -> tuple[AxisModel, ...]:
    """`axes` with as many samples as a trial needs of the reference."""
    factor = oversampling(network.spec)
    if factor == 1:
        return axes
    return tuple(replace(axis, samples=factor * axis.samples, spacing=axis.spacing / factor) for axis in axes)


def acquire(image: Array, axes: tuple[AxisModel, ...]) -> Array:
    """The acquisition by `axes`, those of the last dimensions, of an image on a finer lattice of theirs."""
    shape = tuple(image.shape[-len(axes) :])
    if shape == tuple(axis.samples for axis in axes):
        return image
    return apply_operator(axes, "forward", image, shape)
