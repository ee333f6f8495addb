"""The samples of a scan as tensors of normalised positions and values, split into fitted and held-out ones."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from .model import SubjectModel
from .samples import Samples

_HELD_OUT, _MOST_HELD_OUT = 0.05, 10000  # of a scan's samples
_EMPTY = 0.05  # of the 99.9th percentile: background


class ScanPoints:
    """The samples of a scan as tensors, with the rows that are fitted and those that are held out."""

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
            self.held_out, self.fitted = np.sort(bright[:count]), np.arange(len(values))
        else:
            order = rng.permutation(len(values))
            self.held_out, self.fitted = np.sort(order[:count]), np.sort(order[count:])

    def positions(self, rows: np.ndarray) -> Tensor:
        """Normalised positions (samples, points of the profile, 3)."""
        return self.centers[rows][:, None] + self.offsets
