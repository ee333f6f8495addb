"""Random inputs for trained methods, as no scan need be, and the property that every result must have. Needs torch.

No value of a result may differ from the base image that the network was given by more than the local limit of that
image (`networks.bounded`), or where corrections were clipped, the local range (`inference.correction_limit`), whatever
the target, the reference and the weights are.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import torch
from network_fixtures import perturbed, tiny_light
from phantoms import pair

from MultiContrastSRLib import Volume, degrade
from MultiContrastSRLib.acquisition.axis import AxisModel
from MultiContrastSRLib.acquisition.operators import apply_operator
from MultiContrastSRLib.core.threads import single_threaded
from MultiContrastSRLib.image.offset import near_zero
from MultiContrastSRLib.inference.slice_network import SliceNetwork
from MultiContrastSRLib.methods import get
from MultiContrastSRLib.networks.bounded import local_limit, local_range
from MultiContrastSRLib.networks.network import Network

METHODS = ("swift", "dual-arbnet", "dinet", "minet")
TARGETS = ("scan", "scan", "curve", "inverted", "step", "checkerboard", "noise", "impulse", "constant")
REFERENCES = ("right", "right", "none", "wrong", "half wrong", "inverted", "checkerboard", "step", "noise", "constant")
DEVIATIONS = (0.01, 0.1, 1.0, 10.0)  # of random weights
CLIPPED = 0.02  # of the range of a slice, beyond the local range: what `limit_correction` allows
_SCENE, _MARGIN = (112, 104), 4  # pixels; the reference covers more than the target
_SEEDS = 4  # patients


@dataclass(frozen=True)
class Case:
    """A target (1, h, w), its reference or None, the network, and the options of the method."""

    method: str
    description: str
    target: Volume
    reference: Volume | None
    net: Network
    options: dict[str, object]


@functools.cache
def _patient(seed: int) -> tuple[Volume, Volume]:
    return pair((1, *_SCENE), seed)


@functools.cache
def shipped_network(method: str) -> Network:
    """The network in the weights that ship."""
    options = get(method).check_options({})
    return get(method).load(options, "cpu", *((2,) if method == "minet" else ())).net


def random_case(method: str, rng: np.random.Generator, *, shipped: bool = False) -> Case:
    """A case that the generator alone decides; with the weights that ship, or with random ones."""
    kinds = str(rng.choice(TARGETS)), str(rng.choice(REFERENCES))
    scale = float(np.exp(rng.uniform(np.log(1.3), np.log(8.0))))
    size = [int(n) for n in rng.integers(40, [n - 2 * _MARGIN + 1 for n in _SCENE])]
    first = [int(rng.integers(_MARGIN, n - _MARGIN - m + 1)) for n, m in zip(_SCENE, size, strict=True)]
    last = [a + n for a, n in zip(first, size, strict=True)]
    seed = int(rng.integers(_SEEDS))
    truth, other = _patient(seed)
    truth = _cropped(truth, first, last)
    target = degrade(truth, "kspace", (1, scale, scale))
    target = Volume.on(target.grid, _in_other_units(_pattern(target.array, kinds[0], rng), rng), "target")
    reference = None
    if kinds[1] != "none":
        seen = _cropped(other, [n - _MARGIN for n in first], [n + _MARGIN for n in last])
        wrong = _cropped(_patient((seed + 1) % _SEEDS)[1], [n - _MARGIN for n in first], [n + _MARGIN for n in last])
        array = wrong.array if kinds[1] == "wrong" else _pattern(seen.array, kinds[1], rng)
        if kinds[1] == "half wrong":
            array = np.where(np.arange(array.shape[2]) < array.shape[2] // 2, array, wrong.array)
        reference = Volume.on(seen.grid, _in_other_units(array, rng), "reference")
    weights = "shipped"
    if shipped:
        net = shipped_network(method)
    else:
        deviation = float(rng.choice(DEVIATIONS))
        weights = f"random weights of deviation {deviation:g}"
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(rng.integers(1 << 31)))
            net = perturbed(tiny_light(method), deviation)
    options = {
        "check_reference": bool(rng.random() < 0.7),
        "test_time_augmentation": int(rng.choice((1, 1, 1, 3))),
    }
    text = f"{method}, {weights}, ×{scale:.2f}, {size}, target {kinds[0]}, reference {kinds[1]}, {options}"
    return Case(method, text, target, reference, net, options)


def largest_excess(case: Case) -> float:
    """By how much the result of a case exceeds the limit at most, as a share of the intensity range; infinite for NaN.

    Where the lattice of the result is finer than the network's, they are compared on the network's.
    """
    calls: list[tuple] = []

    class Recording(SliceNetwork):
        def __call__(self, stack, target, *rest):
            calls.append((stack, target))
            return super().__call__(stack, target, *rest)

    class Method(type(get(case.method))):
        def load(self, chosen, device, scale=None):
            return Recording(case.net, device, int(chosen["test_time_augmentation"]))

    (target,) = near_zero(case.target)  # as methods get it
    with single_threaded():  # so that slices are not split between threads
        result = Method().prepare(target, case.reference, refine=(False, True, True), **case.options)
    if not calls:
        return 0.0 if np.isfinite(result.array).all() else float("inf")
    stack, normalisation = calls[-1]  # those before are trials
    image, shape = result.array, stack.base.shape[1:]
    if image.shape[1:] != shape:
        axes = [AxisModel("kspace", n, 1.0) for n in shape]
        image = apply_operator(axes, "forward", image, image.shape[1:])
    base, found = (normalisation.apply(torch.as_tensor(x)[:, None]) for x in (stack.base, np.array(image)))
    scale = stack.positions.scale
    clipped = local_range(base, scale) + CLIPPED * (base.max() - base.min())
    excess = (found - base).abs() - torch.maximum(local_limit(base, scale), clipped)
    # of numbers in the scan's own units: 25 roundings of float32
    rounding = 3e-6 * float(np.abs(result.array).max() / normalisation.scale) + 1e-5 * float(base.abs().max())
    worst = float(excess.max()) - rounding
    return worst if np.isfinite(worst) else float("inf")


def _cropped(volume: Volume, first: list[int], last: list[int]) -> Volume:
    window = (slice(None), *(slice(a, b) for a, b in zip(first, last, strict=True)))
    return Volume.on(volume.grid.crop((0, *first), (1, *last)), np.array(volume.array[window]), volume.name)


def _pattern(image: np.ndarray, kind: str, rng: np.random.Generator) -> np.ndarray:
    """An image of the shape of `image`, or `image` with other intensities."""
    high, index = float(image.max()), np.indices(image.shape)
    if kind == "curve":
        return high * np.clip(image / high, 0, 1) ** float(np.exp(rng.uniform(-1, 1)))
    if kind == "inverted":
        return high - image
    if kind == "step":
        return high * (index[2] >= int(rng.integers(1, image.shape[2]))).astype(float)
    if kind == "checkerboard":
        return high * (index.sum(0) // int(rng.integers(1, 4)) % 2).astype(float)
    if kind == "noise":
        return high * rng.standard_normal(image.shape)
    if kind == "impulse":
        return high * (rng.random(image.shape) < 0.01)
    return np.full(image.shape, high) if kind == "constant" else image


def _in_other_units(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """In half of the cases scaled and moved, below zero too."""
    if rng.random() < 0.5:
        image = 10 ** rng.uniform(-3, 3) * (image + rng.uniform(-2, 2) * np.abs(image).max())
    return image.astype(np.float32)
