"""A network applied to stacks of slices: batches, device memory, cancellation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

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


class SliceNetwork:
    """A network on a device, applied to stacks of slices.

    Args:
        test_time_augmentation: see `Network.test_time_augmentation`.

    Attributes:
        notes: what was done about a device that ran out of memory.
    """

    def __init__(self, net: Network, device: str, test_time_augmentation: int = 1) -> None:
        self.device = torch.device(device)
        self.net = net.to(self.device)
        self.net.test_time_augmentation = test_time_augmentation
        self.notes: tuple[str, ...] = ()
        self._hook = _CancellationHook()
        for layer in net.modules():
            if next(layer.children(), None) is None:
                layer.register_forward_pre_hook(self._hook)

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
            result[numbers] = self._batch(stack.part(numbers), target, reference)
        return result

    def _batch(
        self, stack: SliceStack, target: IntensityNormalisation, reference: IntensityNormalisation | None
    ) -> np.ndarray:
        try:
            return self._run(stack, target, reference)
        except torch.OutOfMemoryError:
            if self.device.type == "cpu":
                raise
        # outside the handler, which would keep the failed attempt's tensors alive
        torch.cuda.empty_cache()
        half = len(stack.target) // 2
        if half:
            parts = (slice(None, half), slice(half, None))
            return np.concatenate([self._batch(stack.part(part), target, reference) for part in parts])
        self.notes = (f"{self.device} ran out of memory; the CPU went on.",)
        self.device = torch.device("cpu")
        self.net = self.net.to(self.device)
        torch.cuda.empty_cache()
        return self._run(stack, target, reference)

    @torch.inference_mode()
    def _run(
        self, stack: SliceStack, target: IntensityNormalisation, reference: IntensityNormalisation | None
    ) -> np.ndarray:
        # here, since the device changes when it runs out of memory
        target, reference = (None if x is None else x.to(self.device) for x in (target, reference))
        base = None
        if self.spec.base_image is not None:
            images = [x for x in (stack.base, stack.auxiliary) if x is not None]
            base = torch.cat([target.apply(self._tensor(x)) for x in images], dim=1)
        image = self.net(
            target.apply(self._tensor(stack.target)),
            None if stack.reference is None else reference.apply(self._tensor(stack.reference)),
            stack.positions,
            base=base,
        )
        return target.undo(image.float())[:, 0].cpu().numpy()

    def _tensor(self, images: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(images, dtype=np.float32))[:, None].to(self.device)
