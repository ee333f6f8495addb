"""A network applied to stacks of slices: batches, device memory, cancellation."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import numpy as np
import torch
from torch import Tensor

from ..core.fallback import FallbackDevice, release_memory, retry_smaller
from ..core.progress import Monitor
from ..networks.intensity import IntensityNormalisation, estimate_normalisation
from ..networks.network import Network
from ..networks.spec import Spec
from .slice_stack import SliceStack

_BATCH_PIXELS = 1 << 17  # output pixels in a batch
_SAMPLED = 1 << 22  # voxels from which the statistics of a volume are computed, at most
_CONTRAST = 1e-3  # slices whose range is a smaller share of the volume's are not worth a network


def volume_normalisation(volume: np.ndarray, spec: Spec) -> IntensityNormalisation:
    """The normalisation that the network of `spec` uses, from a whole volume: slices must not each have their own.

    It is on the CPU; `SliceNetwork` moves it to the network's device.
    """
    stride = max(1, volume.size // _SAMPLED)
    return estimate_normalisation(torch.from_numpy(volume.reshape(-1)[::stride].copy())[None, None, None], spec)


class _CancellationHook:
    """Checks for cancellation before every layer, so that a large slice does not delay it."""

    monitor = Monitor()

    def __call__(self, *_: object) -> None:
        self.monitor.check()

    def __deepcopy__(self, memo: dict) -> _CancellationHook:
        return self  # copies of a network have the same one


class SliceNetwork:
    """A network on a device, applied to stacks of slices.

    Args:
        net: on the CPU, where it stays: the device gets a copy.
        test_time_augmentation: see `Network.test_time_augmentation`.
    """

    def __init__(self, net: Network, device: str, test_time_augmentation: int = 1) -> None:
        self.net, self._copy = net, None
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

    @staticmethod
    def batch_size(shape: tuple[int, int]) -> int:
        """How many slices of `shape` on the lattice make a batch."""
        return max(1, _BATCH_PIXELS // int(np.prod(shape)))

    @contextmanager
    def without_augmentation(self) -> Iterator[None]:
        """No test-time augmentation, for comparisons of images that would both gain by it."""
        count, self.net.test_time_augmentation = self.net.test_time_augmentation, 1
        try:
            yield
        finally:
            self.net.test_time_augmentation = count

    def __call__(
        self,
        stack: SliceStack,
        target: IntensityNormalisation,
        reference: IntensityNormalisation | None,
        monitor: Monitor | None = None,
    ) -> np.ndarray:
        """The images (N, H, W) of a stack, in the target's units; the base image for slices without contrast.

        Args:
            target, reference: normalisations of the volumes that the slices come from, on any device.
        """
        monitor = monitor or Monitor()
        self._hook.monitor = monitor
        result = np.array(stack.base, dtype=np.float32)
        step = self.batch_size(stack.base.shape[1:])
        threshold = _CONTRAST * float(target.scale)
        selected = [n for n, image in enumerate(stack.target) if float(np.ptp(image)) > threshold]
        for start in range(0, len(selected), step):
            monitor.update(start / len(selected))
            numbers = selected[start : start + step]
            part = stack.part(numbers)
            result[numbers] = self._device.run(partial(self._batch, part, target, reference))
        return result

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

    def _batch(
        self, stack: SliceStack, target: IntensityNormalisation, reference: IntensityNormalisation | None, device: str
    ) -> np.ndarray:
        def halves() -> np.ndarray:
            parts = slice(None, half), slice(half, None)
            return np.concatenate([self._batch(stack.part(part), target, reference, device) for part in parts])

        half = len(stack.target) // 2
        whole = partial(self._run, stack, target, reference, device)
        return retry_smaller(whole, halves if half else None, device)

    @torch.inference_mode()
    def _run(
        self, stack: SliceStack, target: IntensityNormalisation, reference: IntensityNormalisation | None, device: str
    ) -> np.ndarray:
        def upload(images: np.ndarray) -> Tensor:
            return torch.from_numpy(np.ascontiguousarray(images, dtype=np.float32))[:, None].to(device)

        target, reference = (None if x is None else x.to(device) for x in (target, reference))
        base = None
        if self.spec.base_image is not None:
            base = target.apply(upload(stack.base))
        image = self._net_on(device)(
            target.apply(upload(stack.target)),
            None if stack.reference is None else reference.apply(upload(stack.reference)),
            stack.positions,
            base=base,
        )
        return target.undo(image.float())[:, 0].cpu().numpy()
