"""The same scans in other units give the same image in those units."""

from __future__ import annotations

import numpy as np
import pytest

import MultiContrastSRLib as mc

pytestmark = pytest.mark.slow

METHODS = ("sinc", "guided", "swift", "dual-arbnet", "minet", "joint-tv", "joint-nonlocal")


def scans() -> tuple[np.ndarray, np.ndarray]:
    """A disc with waves, and twice as fine the same with another contrast; noise in the target."""
    k, j, i = np.mgrid[0:3, 0:48, 0:44]
    inside = ((j - 24) / 21) ** 2 + ((i - 22) / 19) ** 2 < 1
    noise = 5 * np.random.default_rng(0).standard_normal(i.shape)
    target = (300 + 200 * np.sin(i / 3) * np.cos(j / 4) + 30 * k + noise) * inside
    k, j, i = np.mgrid[0:3, 0:96, 0:88] / np.reshape([1, 2, 2], (3, 1, 1, 1))
    inside = ((j - 24) / 21) ** 2 + ((i - 22) / 19) ** 2 < 1
    return target, (600 - 200 * np.sin(i / 3) * np.cos(j / 4) - 30 * k) * inside


def image(method: str, target: tuple[float, float], reference: tuple[float, float]) -> np.ndarray:
    """The result in the original units; target and reference are (factor, offset) of the units."""
    low, high = scans()
    result = mc.super_resolve(
        mc.Volume(low * target[0] + target[1], np.diag([1.0, 1.0, 4.0, 1.0]), "target"),
        mc.Volume(high * reference[0] + reference[1], np.diag([0.5, 0.5, 4.0, 1.0]), "reference"),
        method=method,
        scale=2,
        register="off",
        device="cpu",
    )
    return (result.volume.array.astype(np.float64) - target[1]) / target[0]


@pytest.fixture(scope="module")
def plain() -> dict[str, np.ndarray]:
    """The image of each method in the original units."""
    return {}


@pytest.mark.parametrize(
    ("target", "reference"),
    [((1e-9, 0.0), (1.0, 0.0)), ((1.0, 0.0), (1e-9, 0.0)), ((1e6, 0.0), (1e5, 0.0))],
)
@pytest.mark.parametrize("method", METHODS)
def test_units_do_not_matter(method, target, reference, plain):
    if method not in plain:
        plain[method] = image(method, (1.0, 0.0), (1.0, 0.0))
    found = image(method, target, reference)
    assert np.abs(found - plain[method]).max() < 2e-3 * np.ptp(plain[method])
