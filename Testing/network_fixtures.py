"""What the tests of the networks' modules share: small networks, random images, positions. Needs torch."""

from __future__ import annotations

import torch

from MultiContrastSRLib.acquisition.axis import AxisModel
from MultiContrastSRLib.networks.positions import Positions
from MultiContrastSRLib.networks.registry import build, light, published

TINY = {
    "dual-arbnet": {"features": 16, "blocks": 2, "layers": 2, "fusion_layers": 3, "fusion_convs": 2},
    "dinet": {
        "features": 8, "target_blocks": 2, "target_layers": 2, "reference_blocks": 2, "dimension": 12, "reduced": 6,
        "rank": 3, "radius": 2, "hidden": 10,
    },
    "minet": {"features": 8, "stages": 2, "blocks": 2},
    "swift": {"features": 8, "blocks": 1},
}  # fmt: skip
ARBITRARY = ("dual-arbnet", "dinet")
PAPERS = (*ARBITRARY, "minet")  # Swift is ours
VARIANTS = [
    ("dual-arbnet", {}),
    ("dual-arbnet", {"alignment": "bilinear", "skip": "linear"}),
    ("dual-arbnet", {"modulation": "paper", "skip": "paper"}),
    ("dual-arbnet", {"with_scale": False, "with_coordinates": False}),
    ("dinet", {}),
    ("dinet", {"ensemble": "predictions"}),
    ("dinet", {"modulation": False, "attention": False, "kernels": 1}),
]


def tiny(network: str, **changes):
    return build(published(network, **{**TINY[network], **changes})).eval()


def tiny_light(network: str, **changes):
    """A network that corrects a base image, as those in use, but tiny."""
    return build(light(network, **{**TINY[network], **changes})).eval()


def perturbed(net, deviation: float = 0.1):
    """The network with noise added to every parameter: factors γ and last layers start at zero and would hide terms."""
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(deviation * torch.randn_like(parameter))
    return net


def kspace(fine: int, samples: int) -> tuple[float, float]:
    return AxisModel("kspace", samples, 1.0).lattice_positions(fine)


def lattice(shape, target, reference=None) -> Positions:
    """k-space aligned positions of an output of `shape`, in images of shapes `target` and `reference`."""
    maps = [None if s is None else tuple(map(kspace, shape, s)) for s in (target, reference)]
    return Positions.regular(shape, *maps)


def case(shape=(14, 11), target=(7, 5), reference=(9, 13), channels=1, batch=2):
    """(target, reference, positions) of random images."""
    images = [torch.rand(batch, channels, *size) for size in (target, reference)]
    return *images, lattice(shape, target, reference)


def close(a, b, tolerance=1e-4) -> bool:
    return a.shape == b.shape and bool((a - b).abs().max() <= tolerance * max(1.0, float(b.abs().max())))


def count(module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
