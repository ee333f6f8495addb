"""Networks from positions to the intensities of all contrasts, in torch.

Positions are normalised: the box around all scans, its longest side from −1 to 1 and the others in proportion.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from .presets import Architecture

_WIDE = 256  # channels of layers for which bfloat16 is faster


class Fourier(nn.Module):
    """[cos 2πBx, sin 2πBx] of positions x, with frequencies B ~ N(0, σ²) that are drawn once and kept."""

    def __init__(self, frequencies: int, sigma: float) -> None:
        super().__init__()
        self.register_buffer("frequencies", torch.randn(frequencies, 3) * sigma)
        self.size = 2 * frequencies

    def forward(self, positions: Tensor) -> Tensor:
        """(p, 3) → (p, size)."""
        phase = 2 * math.pi * positions @ self.frequencies.T
        return torch.cat([phase.cos(), phase.sin()], dim=-1)


class FeatureGrids(nn.Module):
    """Features on dense grids of several spacings, interpolated linearly, of which finer levels may be inactive.

    Args:
        nodes: per level the number of nodes along the three axes of the positions.
        extent: half the box along these axes, in normalised units.
    """

    def __init__(self, nodes: Sequence[tuple[int, int, int]], features: int, extent: Sequence[float]) -> None:
        super().__init__()
        # grid_sample reads (x, y, z) from dimensions (depth, height, width) in reverse
        self.levels = nn.ParameterList(nn.Parameter(1e-2 * torch.randn(1, features, *n[::-1])) for n in nodes)
        self.register_buffer("extent", torch.tensor(extent, dtype=torch.float32))
        self.active_levels = float(len(nodes))  # counted from the coarsest; the last one may be active in part
        self.size = features * len(nodes)

    def forward(self, positions: Tensor) -> Tensor:
        """(p, 3) → (p, size)."""
        places = (positions / self.extent)[None, None, None]
        found = []
        for number, level in enumerate(self.levels):
            share = min(max(self.active_levels - number, 0.0), 1.0)
            if share == 0.0:
                found.append(positions.new_zeros(len(positions), level.shape[1]))
                continue
            features = functional.grid_sample(level, places, align_corners=True, padding_mode="border")
            found.append(features[0, :, 0, 0].T * share)
        return torch.cat(found, dim=-1)


class Trunk(nn.Sequential):
    """Linear layers of one width, each followed by ReLU."""

    def __init__(self, inputs: int, width: int, depth: int) -> None:
        sizes = [inputs] + [width] * depth
        layers = [(nn.Linear(a, b), nn.ReLU()) for a, b in itertools.pairwise(sizes)]
        super().__init__(*[module for pair in layers for module in pair])


class SharedNetwork(nn.Module):
    """A trunk shared by all contrasts, with a head of two layers for each (split-head) or one last layer (vanilla)."""

    def __init__(self, encoding: nn.Module, architecture: Architecture, contrasts: int, split: bool) -> None:
        super().__init__()
        width = architecture.width
        self.encoding = encoding
        self.trunk = Trunk(encoding.size + architecture.conditions, width, architecture.depth)
        if split:
            self.heads = nn.ModuleList(
                nn.Sequential(nn.Linear(width, width // 2), nn.ReLU(), nn.Linear(width // 2, 1))
                for _ in range(contrasts)
            )
        else:
            self.heads = nn.ModuleList([nn.Linear(width, contrasts)])
        self.bfloat16 = False  # precision of the layers; positions and weights stay in float32

    def forward(self, positions: Tensor, conditions: Tensor | None = None) -> Tensor:
        """(p, 3), and (p, conditions) → (p, contrasts)."""
        inputs = self.encoding(positions)
        with torch.autocast(inputs.device.type, torch.bfloat16, enabled=self.bfloat16):
            hidden = self.trunk(inputs if conditions is None else torch.cat([inputs, conditions], dim=-1))
            return torch.cat([head(hidden) for head in self.heads], dim=-1).float()

    def zero_outputs(self) -> None:
        """Initialise the last layers with 0, for a network that corrects initial images."""
        for head in self.heads:
            last = head[-1] if isinstance(head, nn.Sequential) else head
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)


class SeparateNetworks(nn.Module):
    """One network per contrast, each with one last layer and an equal share of the conditions."""

    def __init__(self, networks: Sequence[SharedNetwork]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def forward(self, positions: Tensor, conditions: Tensor | None = None) -> Tensor:
        """(p, 3), and (p, conditions) → (p, contrasts)."""
        shares = [None] * len(self.networks) if conditions is None else conditions.chunk(len(self.networks), dim=-1)
        return torch.cat([net(positions, share) for net, share in zip(self.networks, shares, strict=True)], dim=-1)

    def zero_outputs(self) -> None:
        """See `SharedNetwork.zero_outputs`."""
        for network in self.networks:
            network.zero_outputs()


def build(
    architecture: Architecture, size: Sequence[float] = (2.0, 2.0, 2.0), longest: float = 2.0, seed: int = 0
) -> nn.Module:
    """The network of an architecture, with random weights from `seed`.

    Args:
        architecture: see `presets.Architecture`.
        size: (x, y, z) in mm of the box around all scans, which feature grids cover.
        longest: mm of its longest side.
        seed: of the random weights and frequencies.

    >>> [parameter_count(build(Architecture(variant=v))) for v in ("split-head", "vanilla")]
    [5774338, 4725762]
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        contrasts = architecture.contrasts
        if architecture.variant != "single-contrast":
            split = architecture.variant == "split-head"
            return SharedNetwork(_encoding(architecture, size, longest), architecture, contrasts, split)
        own = replace(architecture, conditions=architecture.conditions // contrasts)
        return SeparateNetworks([SharedNetwork(_encoding(own, size, longest), own, 1, False) for _ in range(contrasts)])


def _encoding(architecture: Architecture, size: Sequence[float], longest: float) -> nn.Module:
    if architecture.encoding == "fourier":
        return Fourier(architecture.frequencies, architecture.sigma)
    nodes = [tuple(max(2, math.ceil(length / spacing) + 1) for length in size) for spacing in architecture.levels]
    return FeatureGrids(nodes, architecture.features, [length / longest for length in size])


def parameter_count(network: nn.Module) -> int:
    """The number of trainable parameters."""
    return sum(weight.numel() for weight in network.parameters() if weight.requires_grad)


def use_bfloat16(network: nn.Module, enabled: bool) -> None:
    """Compute wide layers in bfloat16, or in float32. Narrow ones are not faster in bfloat16, and fit worse."""
    for module in network.modules():
        if isinstance(module, SharedNetwork):
            module.bfloat16 = enabled and module.trunk[0].out_features >= _WIDE


def set_active_levels(network: nn.Module, share: float) -> None:
    """Activate a `share` (0…1) of the levels of all feature grids; the coarsest is always active."""
    for module in network.modules():
        if isinstance(module, FeatureGrids):
            module.active_levels = 1.0 + share * (len(module.levels) - 1)
