"""Encodings of positions that were tried for the coordinate network beside its own, for `bench_subject.py --encodings`.

Dense grids won (README), so the library has no others; the same interface as `inr.networks.FeatureGrids`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from MultiContrastSRLib.inr.networks import FeatureGrids
from MultiContrastSRLib.inr.presets import Architecture

_PRIMES = 1, 2_654_435_761, 805_459_861
_TABLE = 1 << 15


class TriPlanes(FeatureGrids):
    """Three planes of features a level, read linearly and multiplied (Fridovich-Keil et al., CVPR 2023, K-planes)."""

    def __init__(self, nodes: Sequence[tuple[int, int, int]], features: int, extent: Sequence[float]) -> None:
        super().__init__([(2, 2, 2)] * len(nodes), features, extent)
        sides = ((0, 1), (0, 2), (1, 2))
        self.levels = nn.ModuleList(
            nn.ParameterList(nn.Parameter(0.7 + 0.2 * torch.randn(1, features, n[b], n[a])) for a, b in sides)
            for n in nodes
        )
        self.sides = sides

    def forward(self, positions: Tensor) -> Tensor:
        """(p, 3) → (p, size)."""
        places = positions / self.extent
        found = []
        for number, planes in enumerate(self.levels):
            product = 1.0
            for plane, side in zip(planes, self.sides, strict=True):
                at = places[:, side][None, None]
                read = functional.grid_sample(plane, at, align_corners=True, padding_mode="border")
                product = product * read[0, :, 0].T
            found.append(product * min(max(self.active_levels - number, 0.0), 1.0))
        return torch.cat(found, dim=-1)


class Hashed(FeatureGrids):
    """Nodes of each level share a table of features by a hash of their place (Müller et al., SIGGRAPH 2022)."""

    def __init__(self, nodes: Sequence[tuple[int, int, int]], features: int, extent: Sequence[float]) -> None:
        super().__init__([(2, 2, 2)] * len(nodes), features, extent)
        sizes = [min(_TABLE, math.prod(n)) for n in nodes]
        self.levels = nn.ParameterList(nn.Parameter(1e-2 * torch.randn(size, features)) for size in sizes)
        self.nodes = [torch.tensor(n) for n in nodes]

    def forward(self, positions: Tensor) -> Tensor:
        """(p, 3) → (p, size)."""
        found = []
        for number, (table, count) in enumerate(zip(self.levels, self.nodes, strict=True)):
            places = ((positions / self.extent + 1) / 2).clamp(0, 1) * (count - 1)
            low = places.floor().clamp(max=count - 2).clamp(min=0)
            rest, low = places - low, low.long()
            read = 0.0
            for corner in range(8):
                step = torch.tensor([corner & 1, corner >> 1 & 1, corner >> 2])
                weight = torch.where(step.bool(), rest, 1 - rest).prod(dim=-1, keepdim=True)
                read = read + weight * functional.embedding(self._rows(low + step, count, len(table)), table)
            found.append(read * min(max(self.active_levels - number, 0.0), 1.0))
        return torch.cat(found, dim=-1)

    @staticmethod
    def _rows(node: Tensor, count: Tensor, size: int) -> Tensor:
        if int(count.prod()) <= size:
            return node[:, 0] + count[0] * (node[:, 1] + count[1] * node[:, 2])
        x, y, z = (node[:, axis] * prime for axis, prime in enumerate(_PRIMES))
        return (x ^ y ^ z) % size


def _laid(kind: type[FeatureGrids]) -> object:
    def encoding(plan: Architecture, size: Sequence[float], longest: float) -> nn.Module:
        nodes = [tuple(max(2, math.ceil(length / spacing) + 1) for length in size) for spacing in plan.levels]
        return kind(nodes, plan.features, [length / longest for length in size])

    return encoding


_FINE = (16.0, 8.0, 4.0, 2.0, 1.0)
# name → (how to make it, or None for the library's own; changes of the preset)
ENCODINGS: dict[str, tuple[object, dict[str, object]]] = {
    "dense grids to 2 mm": (None, {}),
    "dense grids to 1 mm": (None, {"levels": _FINE}),
    "tri-planes to 1 mm": (_laid(TriPlanes), {"levels": _FINE, "features": 8}),
    "hashed grids to 1 mm": (_laid(Hashed), {"levels": _FINE}),
    "Fourier, width 256": (None, {"encoding": "fourier", "width": 256, "depth": 4, "levels": (), "rate": 1e-3}),
}
