"""The samples of a scan as tensors of normalised positions and values, split into fitted and held-out ones."""

from __future__ import annotations

import copy
import math

import numpy as np
import torch
from torch import Tensor

from .model import SubjectModel
from .samples import Samples

_HELD_OUT, _MOST_HELD_OUT = 0.05, 10000  # of a scan's samples
_EMPTY = 0.05  # of the 99.9th percentile: background


class ScanPoints:
    """The samples of a scan as tensors, with the rows that are fitted and those that are held out.

    Attributes:
        contrast: the output of the network that they are samples of.
        points_per_sample: of the slice profile.
        centers: (samples, 3) normalised positions.
        values: (samples,) normalised.
        held_out: numbers of the samples that are held out, ascending.
        fitted: (f,) numbers of the samples that are fitted, ascending; stays in host memory, where it is shuffled.
    """

    def __init__(self, samples: Samples, model: SubjectModel, rng: np.random.Generator) -> None:
        self.contrast = samples.contrast
        contrast = model.contrasts[samples.contrast]
        self.centers = model.normalised(samples.positions(np.arange(len(samples.index))))
        self.offsets = torch.from_numpy((samples.offsets / model.half).astype(np.float32))
        self.points_per_sample = len(self.offsets)
        values = samples.values - (contrast.low if model.initial is None else 0.0)
        self.values = torch.from_numpy((values / (contrast.scale * contrast.correction)).astype(np.float32))
        count = min(_MOST_HELD_OUT, math.ceil(_HELD_OUT * len(values)))
        if model.initial is None:  # as published: all samples are fitted, and some of the foreground evaluated
            bright = rng.permutation(np.flatnonzero(samples.values > _EMPTY * np.percentile(samples.values, 99.9)))
            held_out, self.fitted = bright[:count], np.arange(len(values))
        else:
            order = rng.permutation(len(values))
            held_out, self.fitted = order[:count], np.sort(order[count:])
        self.held_out = torch.from_numpy(np.sort(held_out))

    def on(self, device: str) -> ScanPoints:
        """The same with its tensors on `device`."""
        moved = copy.copy(self)
        moved.centers, moved.offsets, moved.values, moved.held_out = (
            tensor.to(device) for tensor in (self.centers, self.offsets, self.values, self.held_out)
        )
        return moved

    def shuffled(self, rng: np.random.Generator, steps: int) -> tuple[Tensor, ...]:
        """The fitted samples' numbers in random order, on the device of the values, in as many parts as `steps`."""
        order = self.fitted[rng.permutation(len(self.fitted))]
        return torch.from_numpy(order).to(self.values.device).tensor_split(steps)

    def positions(self, rows: Tensor) -> Tensor:
        """Normalised positions (samples, points of the profile, 3)."""
        return self.centers[rows][:, None] + self.offsets
