"""A network applied to stacks of slices: batches, device memory, cancellation."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from ..acquisition.slices import SliceAcquisition
from ..core.devices import free_memory
from ..core.fallback import FallbackDevice, in_halves, release_memory
from ..core.progress import Monitor
from ..core.threads import for_each, threads_by_load
from ..joint.slices import joint_tv
from ..networks.intensity import IntensityNormalisation, estimate_normalisation
from ..networks.network import Network
from ..networks.spec import Spec
from .foreground import super_resolve_foreground, works_on_foreground
from .precision import computing_in
from .slice_stack import SliceStack

Result = TypeVar("Result")
_BATCH_PIXELS = 1 << 17  # output pixels in a batch on the CPU, or where the free memory is not known
_MOST_PIXELS = 1 << 22  # output pixels that keep any GPU busy
_MOST_PIXELS_AT_ONCE = 1 << 23  # output pixels of the slices that threads compute at once: some 3 GB
_PIXEL_BYTES = 4096  # of a device's memory that an output pixel takes at most in the light networks (measured)
_FREE_SHARE = 0.5  # of the free memory that a batch may take
_SAMPLED = 1 << 22  # voxels from which the statistics of a volume are computed, at most


def volume_normalisation(volume: np.ndarray, spec: Spec) -> IntensityNormalisation:
    """The normalisation that the network of `spec` uses, from a whole volume: slices must not each have their own.

    It consists of numbers (tensors without axes), which are applied to images on any device.
    """
    stride = max(1, volume.size // _SAMPLED)
    found = estimate_normalisation(torch.from_numpy(volume.reshape(-1)[::stride].copy())[None, None, None], spec)
    return IntensityNormalisation(*(number.reshape(()) for number in found))


class _CancellationHook(threading.local):
    """Checks for cancellation before every layer, so that a large slice does not delay it: each thread for itself."""

    monitor = Monitor()

    def __call__(self, *_: object) -> None:
        self.monitor.check()

    def __deepcopy__(self, memo: dict) -> _CancellationHook:
        return self  # copies of a network have the same one


class SliceNetwork:
    """A network, and the device that it and all that it needs are computed on.

    Args:
        net: on the CPU, where it stays: the device gets a copy.
        test_time_augmentation: see `Network.test_time_augmentation`.
        precision: see `precision.computing_in`.
    """

    def __init__(self, net: Network, device: str, test_time_augmentation: int = 1, precision: str = "float32") -> None:
        self.net, self._copy, self._precision = net, None, precision
        self.net.test_time_augmentation = test_time_augmentation
        self._device = FallbackDevice(device, "the network")
        self._hook = _CancellationHook()
        for layer in net.modules():
            if next(layer.children(), None) is None:
                layer.register_forward_pre_hook(self._hook)

    @property
    def device(self) -> str:
        """The device that it runs on now."""
        return self._device.name

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences for the report about a device that ran out of memory or failed."""
        return self._device.warnings

    @property
    def spec(self) -> Spec:
        """The network's configuration."""
        return self.net.spec

    def batch_size(self, shape: tuple[int, int]) -> int:
        """How many slices of `shape` on the lattice make a batch: on a device as many as fit into its free memory.

        On the CPU at least one for each thread where there is an auxiliary image, which is made of a slice in each.
        """
        free = free_memory(self.device)
        pixels = _BATCH_PIXELS if free is None else min(_MOST_PIXELS, int(_FREE_SHARE * free) // _PIXEL_BYTES)
        threads = torch.get_num_threads() if self.device == "cpu" and self.spec.auxiliary_image is not None else 1
        return max(threads, pixels // int(np.prod(shape)))

    def run(self, work: Callable[[str], Result], monitor: Monitor | None = None) -> Result:
        """`work(device)`, on the CPU once the device has failed or its memory does not suffice.

        Args:
            work: finds its data in host memory, calls the network, and returns what lies in host memory.
        """
        self._hook.monitor = monitor or Monitor()
        with torch.inference_mode(), threads_by_load():
            return self._device.run(work)

    def in_batches(
        self,
        numbers: range,
        shape: tuple[int, int],
        work: Callable[[range, str, Monitor], tuple[np.ndarray, ...]],
        monitor: Monitor | None = None,
    ) -> tuple[np.ndarray, ...]:
        """`work(numbers, device, monitor)` in batches, joined along the first axis; smaller ones where memory is short.

        Args:
            numbers: of slices, at least one.
            shape: of a slice on the lattice.
            work: as of `run`, for some of the slices, in any thread; returns arrays (slices, …).
        """
        monitor = monitor or Monitor()
        step = self.batch_size(shape)
        found = []
        for start in range(0, len(numbers), step):
            monitor.update(start / len(numbers))
            threaded = partial(self._in_threads, work, int(np.prod(shape)), monitor)
            found.append(self.run(partial(in_halves, threaded, numbers[start : start + step]), monitor))
        return _joined(found)

    def _in_threads(
        self,
        work: Callable[[range, str, Monitor], tuple[np.ndarray, ...]],
        pixels: int,
        monitor: Monitor,
        numbers: range,
        device: str,
    ) -> tuple[np.ndarray, ...]:
        """`work` for a batch of slices of `pixels`; on the CPU one by one, in several threads.

        Threads that compute slices of their own meet once a batch, those of one operation after each operation. A slice
        does not depend on the others of its batch, nor on the number of threads: rounding decides in DINet's matching.
        """
        if device != "cpu":
            return work(numbers, device, monitor.silent)
        made: dict[int, tuple[np.ndarray, ...]] = {}

        def work_on(piece: range, monitor: Monitor) -> None:
            self._hook.monitor = monitor
            made[piece.start] = work(piece, device, monitor)

        pieces = [numbers[n : n + 1] for n in range(len(numbers))]
        if len(pieces) == 1 or torch.get_num_threads() * pixels > _MOST_PIXELS_AT_ONCE:
            for piece in pieces:
                work_on(piece, monitor.silent)
        else:
            for_each(pieces, work_on, monitor.silent)
        return _joined([made[piece.start] for piece in pieces])

    def __call__(
        self, stack: SliceStack, target: IntensityNormalisation, reference: IntensityNormalisation | None
    ) -> Tensor:
        """The images (N, H, W) of a stack, in the target's units, on its device.

        Args:
            stack: on the device that `run` calls its work with.
            target, reference: normalisations of the volumes that the slices come from.
        """
        base = None
        if self.spec.base_image is not None:
            images = [stack.base]
            if self.spec.auxiliary_image is not None:
                acquisition = SliceAcquisition(stack.axes, tuple(stack.base.shape[1:]))
                images.append(joint_tv(acquisition, stack.target, stack.reference))
            base = target.apply(torch.stack(images, dim=1))
        device = stack.base.device
        net, low = self._net_on(str(device)), target.apply(stack.target[:, None])
        other = None if stack.reference is None else reference.apply(stack.reference[:, None])
        with computing_in(self._precision, device.type):
            if works_on_foreground(net, device.type):
                image = super_resolve_foreground(net, low, other, stack.positions, base)
            else:
                image = net(low, other, stack.positions, base=base)
        return target.undo(image.float())[:, 0]

    def _net_on(self, device: str) -> Network:
        """The network itself on the CPU, else its copy, which is kept until the device fails."""
        if device == "cpu":
            if self._copy is not None:
                failed, self._copy = next(self._copy.parameters()).device, None
                release_memory(str(failed))
            return self.net
        if self._copy is None:
            self._copy = copy.deepcopy(self.net).to(device)
        self._copy.test_time_augmentation = self.net.test_time_augmentation
        return self._copy


def _joined(found: list[tuple[np.ndarray, ...]]) -> tuple[np.ndarray, ...]:
    return found[0] if len(found) == 1 else tuple(np.concatenate(parts) for parts in zip(*found, strict=True))
