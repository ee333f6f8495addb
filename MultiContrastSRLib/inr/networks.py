"""Networks from positions to the intensities of all contrasts, in torch.

Positions are normalised: the box around all scans, its longest side from −1 to 1 and the others in proportion.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from .presets import Architecture

_LARGE = 256  # channels


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


class Grids(nn.Module):
    """Features on dense grids of several spacings, read linearly; finer levels can be opened later.

    Args:
        nodes: per level the number of nodes along the three axes of the positions.
        extent: half the box along these axes, in normalised units.
    """

    def __init__(self, nodes: Sequence[tuple[int, int, int]], features: int, extent: Sequence[float]) -> None:
        super().__init__()
        # grid_sample reads (x, y, z) from dimensions (depth, height, width) in reverse
        self.levels = nn.ParameterList(nn.Parameter(1e-2 * torch.randn(1, features, *n[::-1])) for n in nodes)
        self.register_buffer("extent", torch.tensor(extent, dtype=torch.float32))
        self.open = float(len(nodes))  # how many levels take part, the last one in part
        self.size = features * len(nodes)

    def forward(self, positions: Tensor) -> Tensor:
        """(p, 3) → (p, size)."""
        places = (positions / self.extent)[None, None, None]
        found = []
        for number, level in enumerate(self.levels):
            share = min(max(self.open - number, 0.0), 1.0)
            if share == 0.0:
                found.append(positions.new_zeros(len(positions), level.shape[1]))
                continue
            read = functional.grid_sample(level, places, align_corners=True, padding_mode="border")
            found.append(read[0, :, 0, 0].T * share)
        return torch.cat(found, dim=-1)


class Trunk(nn.Sequential):
    """Linear layers of one width, each followed by ReLU."""

    def __init__(self, inputs: int, width: int, depth: int) -> None:
        sizes = [inputs] + [width] * depth
        layers = [(nn.Linear(a, b), nn.ReLU()) for a, b in zip(sizes, sizes[1:], strict=False)]
        super().__init__(*[module for pair in layers for module in pair])


class Common(nn.Module):
    """One trunk for all contrasts: heads of two layers each (split-head), or one last layer (vanilla)."""

    def __init__(self, encoding: nn.Module, plan: Architecture, contrasts: int, split: bool) -> None:
        super().__init__()
        width = plan.width
        self.encoding = encoding
        self.trunk = Trunk(encoding.size + plan.conditions, width, plan.depth)
        if split:
            self.heads = nn.ModuleList(
                nn.Sequential(nn.Linear(width, width // 2), nn.ReLU(), nn.Linear(width // 2, 1))
                for _ in range(contrasts)
            )
        else:
            self.heads = nn.ModuleList([nn.Linear(width, contrasts)])
        self.brief = False  # layers in bfloat16; positions and weights never are

    def forward(self, positions: Tensor, conditions: Tensor | None = None) -> Tensor:
        """(p, 3), and (p, conditions) → (p, contrasts)."""
        inputs = self.encoding(positions)
        with torch.autocast(inputs.device.type, torch.bfloat16, enabled=self.brief):
            hidden = self.trunk(inputs if conditions is None else torch.cat([inputs, conditions], dim=-1))
            return torch.cat([head(hidden) for head in self.heads], dim=-1).float()

    def silence(self) -> None:
        """Make the outputs 0, for a correction that begins as none."""
        for head in self.heads:
            last = head[-1] if isinstance(head, nn.Sequential) else head
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)


class Separate(nn.Module):
    """One network per contrast, each with one last layer. Conditions are dealt out, an equal share to each."""

    def __init__(self, networks: Sequence[Common]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def forward(self, positions: Tensor, conditions: Tensor | None = None) -> Tensor:
        """(p, 3), and (p, conditions) → (p, contrasts)."""
        shares = [None] * len(self.networks) if conditions is None else conditions.chunk(len(self.networks), dim=-1)
        return torch.cat([net(positions, share) for net, share in zip(self.networks, shares, strict=True)], dim=-1)

    def silence(self) -> None:
        """See `Common.silence`."""
        for network in self.networks:
            network.silence()


def build(
    plan: Architecture, size: Sequence[float] = (2.0, 2.0, 2.0), longest: float = 2.0, seed: int = 0
) -> nn.Module:
    """The network of `plan` with random weights that `seed` decides.

    Args:
        size, longest: mm of the box around all scans, and of its longest side: what grids are laid over.

    >>> paper = Architecture()
    >>> [parameters(build(Architecture(variant=v))) for v in ("split-head", "vanilla")]
    [5774338, 4725762]
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        split = plan.variant == "split-head"
        if plan.variant != "single-contrast":
            return Common(_encoding(plan, size, longest), plan, plan.contrasts, split)
        from dataclasses import replace

        own = replace(plan, conditions=plan.conditions // plan.contrasts)
        return Separate([Common(_encoding(plan, size, longest), own, 1, False) for _ in range(plan.contrasts)])


def _encoding(plan: Architecture, size: Sequence[float], longest: float) -> nn.Module:
    if plan.encoding == "fourier":
        return Fourier(plan.frequencies, plan.sigma)
    nodes = [tuple(max(2, math.ceil(length / spacing) + 1) for length in size) for spacing in plan.levels]
    return Grids(nodes, plan.features, [length / longest for length in size])


def parameters(network: nn.Module) -> int:
    """How many numbers are fitted."""
    return sum(weight.numel() for weight in network.parameters() if weight.requires_grad)


def set_brief(network: nn.Module, brief: bool) -> None:
    """Let large layers work in bfloat16, or in float32. Small ones are no faster by it, and fit worse."""
    for module in network.modules():
        if isinstance(module, Common):
            module.brief = brief and module.trunk[0].out_features >= _LARGE


def open_levels(network: nn.Module, share: float) -> None:
    """Let a `share` (0…1) of the levels of all grids take part, the coarsest always."""
    for module in network.modules():
        if isinstance(module, Grids):
            module.open = 1.0 + share * (len(module.levels) - 1)
