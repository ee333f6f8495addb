"""Parts of volumes in host memory, brought to the device that they are needed on."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

Part = tuple[slice, slice, slice]


class DeviceSlices:
    """Reads parts of volumes for a batch: numpy arrays for the CPU, tensors for another device.

    A part that several steps of a batch need is copied to the device once.

    Args:
        device: "cpu", "cuda:0", ….

    >>> volume = np.zeros((4, 3, 2), np.float32)
    >>> DeviceSlices("cpu")(volume, (slice(1, 3), slice(None), slice(None))).shape
    (2, 3, 2)
    """

    def __init__(self, device: str) -> None:
        self.device = device
        self._copies: dict[tuple, tuple[np.ndarray, Tensor]] = {}

    def __call__(self, volume: np.ndarray, part: Part) -> np.ndarray | Tensor:
        """`volume[part]` on the device."""
        if self.device == "cpu":
            return volume[part]
        key = (id(volume), *((index.start, index.stop) for index in part))
        if key not in self._copies:  # with the volume, so that no other can have its id meanwhile
            self._copies[key] = volume, torch.tensor(volume[part]).to(self.device)
        return self._copies[key][1]


def as_slices(array: np.ndarray | Tensor, across: int) -> Tensor:
    """The slices of an array [k, j, i] stacked along `across`, as a tensor (slices, rows, columns)."""
    if isinstance(array, np.ndarray):
        return torch.tensor(np.moveaxis(array, across, 0))
    return array.movedim(across, 0)
