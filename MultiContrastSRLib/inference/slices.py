"""A network over the slices of a volume: what it is shown of each, and where its image goes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from ..acquisition.axis import AxisModel
from ..core.progress import Monitor
from ..networks.intensity import Intensity, intensity_of
from ..networks.minet import MINet
from ..networks.orientations import ORIENTATIONS, turned, turned_back, turned_positions
from ..networks.positions import Positions
from ..networks.specs import Spec

_AT_ONCE = 1 << 17  # output pixels in a batch
_SAMPLED = 1 << 22  # voxels that a volume's statistics are taken from, at most


@dataclass(frozen=True)
class Stack:
    """Slices that are super-resolved alike, as arrays (slices, rows, columns) in the scans' own units.

    Attributes:
        axes: acquisition of rows and columns; `axes[·].samples` is the shape of a slice of `target`.
        target: (N, h, w), what was measured.
        base: (N, H, W), what the network corrects, or what stands where there is nothing to see.
        reference: (N, H, W), or (N, h, w) for a reference of the target's resolution; None without.
        beside: (N, H, W), what the network sees beside the base; None where it sees nothing there.
    """

    axes: tuple[AxisModel, AxisModel]
    target: np.ndarray
    base: np.ndarray
    reference: np.ndarray | None
    beside: np.ndarray | None = None

    def part(self, numbers: slice) -> Stack:
        """Some of the slices."""
        reference, beside = (None if images is None else images[numbers] for images in (self.reference, self.beside))
        return Stack(self.axes, self.target[numbers], self.base[numbers], reference, beside)


def statistics(volume: np.ndarray, spec: Spec) -> Intensity:
    """The intensity that the network of `spec` wants, from a whole volume: slices must not each have their own.

    It is on the CPU; `SliceNetwork` moves it to the network's device.
    """
    stride = max(1, volume.size // _SAMPLED)
    return intensity_of(torch.from_numpy(volume.reshape(-1)[::stride].copy())[None, None, None], spec)


class _Ear:
    """Hears a cancel before every layer, so that nobody waits for a large slice."""

    monitor = Monitor()

    def __call__(self, *_: object) -> None:
        self.monitor.check()


class SliceNetwork:
    """A network on a device, ready for stacks of slices.

    Args:
        orientations: over how many of the eight mirrored and turned slices the mean is taken. Where the network
            corrects a base, that is done within the correction: the network's own features are made once.

    Attributes:
        notes: what was done about a device that ran out of memory.
    """

    def __init__(self, net: nn.Module, device: str, orientations: int = 1) -> None:
        self.device = torch.device(device)
        self.net = net.to(self.device)
        self._wanted = orientations
        self._turn(orientations)
        self.notes: tuple[str, ...] = ()
        self._ear = _Ear()
        for layer in net.modules():
            if next(layer.children(), None) is None:
                layer.register_forward_pre_hook(self._ear)

    @property
    def spec(self) -> Spec:
        """The network's configuration."""
        return self.net.spec

    @staticmethod
    def at_once(shape: tuple[int, int]) -> int:
        """How many slices of `shape` on the lattice make a batch."""
        return max(1, _AT_ONCE // int(np.prod(shape)))

    @contextmanager
    def quick(self) -> Iterator[None]:
        """Slices as they lie alone, for trials."""
        self._turn(1)
        try:
            yield
        finally:
            self._turn(self._wanted)

    def _turn(self, orientations: int) -> None:
        within = self.net.spec.base != "none"
        if within:
            self.net.correction.orientations = orientations
        self._orientations = 1 if within else orientations

    def __call__(
        self, stack: Stack, target: Intensity, reference: Intensity | None, monitor: Monitor | None = None
    ) -> np.ndarray:
        """The images (N, H, W) of a stack, in the target's units.

        Args:
            target, reference: intensities of the volumes that the slices come from, on any device.
        """
        monitor = monitor or Monitor()
        self._ear.monitor = monitor
        result = np.array(stack.base, dtype=np.float32)
        step = self.at_once(stack.base.shape[1:])
        quiet = 1e-3 * float(target.scale)
        shown = [n for n, image in enumerate(stack.target) if float(np.ptp(image)) > quiet]
        for start in range(0, len(shown), step):
            monitor.update(start / len(shown))
            numbers = shown[start : start + step]
            result[numbers] = self._batch(stack.part(numbers), target, reference)
        return result

    def _batch(self, stack: Stack, target: Intensity, reference: Intensity | None) -> np.ndarray:
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
    def _run(self, stack: Stack, target: Intensity, reference: Intensity | None) -> np.ndarray:
        based = self.spec.base != "none"
        # here, since the device changes when it runs out of memory
        target, reference = (None if i is None else i.to(self.device) for i in (target, reference))
        low = target.apply(self._tensor(stack.target))
        base = target.apply(self._tensor(stack.base)) if based else None
        if based and stack.beside is not None:
            base = torch.cat([base, target.apply(self._tensor(stack.beside))], dim=1)
        seen = None if stack.reference is None else reference.apply(self._tensor(stack.reference))
        where = positions(stack)
        run = self._on_minet_lattice if isinstance(self.net, MINet) else self.net
        total = 0.0
        for code in ORIENTATIONS[: self._orientations]:
            there = turned_positions(where, code, low.shape[-2:], None if seen is None else seen.shape[-2:])
            images = [None if x is None else turned(x, code) for x in (low, seen, base)]
            total = total + turned_back(run(*images[:2], there, base=images[2]).float(), code)
        return target.undo(total / self._orientations)[:, 0].cpu().numpy()

    def _on_minet_lattice(self, low: Tensor, seen: Tensor | None, where: Positions, base: Tensor | None) -> Tensor:
        """MINet's first output pixel lies on the first target pixel; for odd sizes the lattice begins earlier.

        By whole pixels, and in k-space what leaves a slice on one side comes in on the other.
        """
        shifts = [round(float(vector[0]) / step) for vector, step in zip(where.in_target, where.step_t, strict=True)]
        seen, base = (None if x is None else x.roll(shifts, (-2, -1)) for x in (seen, base))
        return self.net(low, seen, base=base).roll([-s for s in shifts], (-2, -1))

    def _tensor(self, images: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(images, dtype=np.float32))[:, None].to(self.device)


def positions(stack: Stack) -> Positions:
    """Where the output's pixels lie in the slices of the target, and of the reference."""
    shape = stack.base.shape[1:]
    in_target = tuple(axis.lattice_positions(n) for axis, n in zip(stack.axes, shape, strict=True))
    in_reference = None
    if stack.reference is not None:
        same = stack.reference.shape[1:] == shape
        in_reference = ((1.0, 0.0), (1.0, 0.0)) if same else in_target
    return Positions.regular(shape, in_target, in_reference)
