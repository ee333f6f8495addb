"""Images that a network corrects: their values at any positions, as further inputs of the network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ..image.grid import Grid

if TYPE_CHECKING:
    from .model import SubjectModel

_EMPTY = 0.05  # of a contrast's range: below it lies background, which is not corrected


class InitialImages(nn.Module):
    """Images on a lattice that the network corrects, and that are further inputs (conditions) of it.

    Each contrast has two conditions, the image and its difference from the mean over 3 × 3 × 3 voxels, both in units of
    0 to 1. The correction fades out in the background.
    """

    def __init__(self, images: Sequence[np.ndarray], lattice: Grid, model: SubjectModel) -> None:
        super().__init__()
        self.lattice, self.images = lattice, list(images)
        scaled = [
            torch.from_numpy((image - c.low) / np.float32(c.scale)).float()
            for image, c in zip(images, model.contrasts, strict=True)
        ]
        channels = []
        for image in scaled:
            # replicated at the border, where zeros would be an edge
            mean = functional.avg_pool3d(functional.pad(image[None, None], (1,) * 6, mode="replicate"), 3, 1)[0, 0]
            channels += [image, image - mean]
        inside = torch.stack(scaled).amax(dim=0) > _EMPTY
        wide = functional.max_pool3d(inside[None, None].float(), 5, 1, 2)
        channels.append(functional.avg_pool3d(functional.pad(wide, (1,) * 6, mode="replicate"), 3, 1)[0, 0])
        self.register_buffer("volume", torch.stack(channels)[None])
        # normalised position → coordinates of grid_sample: lattice index / half of the last one − 1, order (i, j, k)
        half = np.maximum(np.array(lattice.shape) - 1, 1) / 2
        origin = lattice.indices(model.center) / half - 1
        slope = np.stack([lattice.indices(model.center + e * model.half) / half - 1 - origin for e in np.eye(3)])
        self.register_buffer("slope", torch.from_numpy(slope[:, ::-1].copy()).float())
        self.register_buffer("origin", torch.from_numpy(origin[::-1].copy()).float())

    def read(self, positions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(images (p, contrasts), conditions (p, 2 · contrasts), weight of the correction (p, 1)) at (p, 3)."""
        coordinates = (positions @ self.slope + self.origin)[None, None, None]
        read = functional.grid_sample(self.volume, coordinates, align_corners=True, padding_mode="border")[0, :, 0, 0].T
        return read[:, :-1:2], read[:, :-1], read[:, -1:]
