"""Times the networks for `make bench`: the published ones beside a plain transcription, the light ones in use.

Published: the authors' sizes beside `plain_networks`, the same equations written out, with the same weights on the same
slice. "Again" is a second look at the slice (another window or zoom), for which encodings are kept. Weights are random,
which costs what trained ones cost; those that begin at zero are moved off it, so that nothing is hidden.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor, nn

    from MultiContrastSRLib.networks.positions import Positions
    from MultiContrastSRLib.networks.spec import Spec

SCALES = {"dual-arbnet": 4, "dinet": 4, "minet": 2}  # of the published ones
LIGHT_SCALE = 4
WARM = 32  # pixels a side: imports and first-call costs are not the network's


def measurements(networks: Sequence[str]) -> list[str]:
    """Names for `measure`; the two that are compared follow each other."""
    return [f"{network} {kind}" for network in networks for kind in ("published", "plain", "light")]


def measure(name: str, size: int, seconds: Callable, resident: Callable, peak: Callable) -> dict[str, float]:
    """Seconds, MiB beyond what inputs and weights take, and the largest difference, for an output of size² pixels.

    The difference is relative to the range of the image, or of what it adds to linear interpolation if that is less.

    Args:
        seconds, resident, peak: `bench.seconds`, `bench.resident_mebibytes`, `bench.peak_mebibytes`.
    """
    import torch

    network, kind = name.split()
    with torch.inference_mode():
        if kind == "light":
            return _light(network, size, seconds, resident, peak)
        return _published(network, kind == "plain", size, seconds, resident, peak)


def build(spec: Spec) -> nn.Module:
    """The network of `spec` with random weights, none of them zero throughout."""
    import torch

    from MultiContrastSRLib.networks import registry

    torch.manual_seed(0)
    net = registry.build(spec).eval()
    for parameter in net.parameters():
        if not parameter.any():
            parameter.data.normal_(std=0.02) if parameter.ndim > 1 else parameter.data.fill_(0.5)
    return net


def volumes(size: int, scale: int):
    """(target, reference): one thick slice of a phantom, its T2 coarser in plane by `scale`, its T1 of size²."""
    from phantoms import pair

    import MultiContrastSRLib as mc

    t2, t1 = (mc.Volume(v.array, np.diag([1.0, 1.0, 6.0, 1.0]), v.name) for v in pair((1, size, size)))
    return mc.degrade(t2, "kspace", (1, scale, scale)), t1


def images(size: int, scale: int) -> tuple[Tensor, Tensor, Positions]:
    """The same as images (1, 1, ·, ·) in about 0…1, and where the output's pixels lie in them."""
    import torch

    from MultiContrastSRLib.acquisition.axis import AxisModel
    from MultiContrastSRLib.networks.positions import Positions

    found = [torch.from_numpy(v.array / np.percentile(v.array, 99.9)).float()[None] for v in volumes(size, scale)]
    where = tuple(AxisModel("kspace", n, 1.0).lattice_positions(size) for n in found[0].shape[2:])
    return *found, Positions.regular((size, size), where, ((1.0, 0.0), (1.0, 0.0)))


def _published(network: str, plainly: bool, size: int, seconds, resident, peak) -> dict[str, float]:
    from plain_networks import plain

    from MultiContrastSRLib.networks import registry
    from MultiContrastSRLib.networks.positions import sample_linear

    scale = SCALES[network]
    net = build(registry.published(network, **({"scale": scale} if network == "minet" else {})))

    def theirs(*case) -> Tensor:
        return plain(net, *case)

    work = theirs if plainly else net
    made = []
    work(*images(WARM, scale))
    target, reference, positions = case = images(size, scale)
    before = resident()
    found = {"whole": seconds(lambda: made.append(work(*case))), "peak memory": peak() - before}
    if plainly:
        expected = made[0]
        added = expected - sample_linear(target, *positions.in_target)  # of DINet's image a small part
        extent = min(float(x.max() - x.min()) for x in (expected, added))
        found["difference"] = float((net(*case) - expected).abs().max()) / extent
    else:
        codes = net.encode_target(target), net.encode_reference(reference)
        found["again"] = seconds(lambda: net.decode(*codes, positions))
    return found


def _light(network: str, size: int, seconds, resident, peak) -> dict[str, float]:
    import MultiContrastSRLib as mc
    from MultiContrastSRLib.networks import registry

    fixed = {"scale": LIGHT_SCALE} if network == "minet" else {}
    net = build(registry.light(network, **fixed))

    def work(target: Tensor, reference: Tensor, positions: Positions) -> None:
        net(target, reference, positions, base=reference)

    def method(target: mc.Volume, reference: mc.Volume) -> None:
        mc.super_resolve(target, reference, method=network, scale=(1, LIGHT_SCALE, LIGHT_SCALE), register="off")

    work(*images(WARM, LIGHT_SCALE))
    case, scans = images(size, LIGHT_SCALE), volumes(size, LIGHT_SCALE)
    before = resident()
    found = {"network": seconds(lambda: work(*case)), "network memory": peak() - before}
    method(*volumes(2 * WARM, LIGHT_SCALE))
    before = resident()
    return {**found, "method": seconds(lambda: method(*scans)), "method memory": peak() - before}


def markdown(found: dict[str, dict[str, float]], size: int) -> list[str]:
    """The tables for people; `found` by the names of `measurements`."""
    networks = [name.removesuffix(" published") for name in found if name.endswith(" published")]
    lines = [
        "",
        f"Published configurations, one {size}² slice with a reference of {size}², beside a plain transcription of the "
        "same equations with the same weights (`Testing/plain_networks.py`). Again: with both encodings kept.",
        "",
        "| published | scale | ours, s | again, s | plain, s | plain ÷ ours | plain ÷ again | ours, MiB | plain, MiB "
        "| largest difference, of the range |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for name in networks:
        ours, plain = found[f"{name} published"], found[f"{name} plain"]
        figures = (
            f"×{SCALES[name]}",
            *(f"{t:.2f}" for t in (ours["whole"], ours["again"], plain["whole"])),
            *(f"{plain['whole'] / t:.1f}" for t in (ours["whole"], ours["again"])),
            *(f"{m['peak memory']:.0f}" for m in (ours, plain)),
            f"{plain['difference']:.0e}",
        )
        lines.append(f"| {name} | {' | '.join(figures)} |")
    lines += [
        "",
        f"Light configurations, one slice to {size}² at ×{LIGHT_SCALE} with a reference of {size}². Method: all of it, "
        "with the images that the network sees, the check of the reference and data consistency.",
        "",
        "| light | network, s | MiB | method, s | MiB |",
        "|---|--:|--:|--:|--:|",
    ]
    for name in networks:
        light = found[f"{name} light"]
        figures = [f"{light[part]:.2f} | {light[f'{part} memory']:.0f}" for part in ("network", "method")]
        lines.append(f"| {name} | {' | '.join(figures)} |")
    return lines
