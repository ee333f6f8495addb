"""The same scans in other units, and with other zeros, give the same image in those units."""

from __future__ import annotations

import numpy as np
import pytest

import MultiContrastSRLib as mc

METHODS = [method.name for method in mc.methods() if method.name != "subject-inr"]
LEARNED = [method.name for method in mc.methods() if method.group != "classical" and method.name in METHODS]
CASES = {
    "target in tiny units": ((1e-9, 0.0), (1.0, 0.0)),
    "reference in tiny units": ((1.0, 0.0), (1e-9, 0.0)),
    "large units": ((1e6, 0.0), (1e5, 0.0)),
    "zero elsewhere": ((1.0, -3000.0), (1.0, 700.0)),
    "far from zero": ((1.0, 2e4), (1.0, -2e4)),
    "all at once": ((1e-6, -5e-3), (1e4, 1e8)),
}


# Share of the voxels at which rounding of the scan may decide which of two patches that are equally similar is taken.
MATCHED_ELSEWHERE = {"dinet": 1e-3}


def scans(noise: float) -> tuple[np.ndarray, np.ndarray]:
    """A disc with waves and noise, and twice as fine the same with another contrast."""
    k, j, i = np.mgrid[0:3, 0:48, 0:44]
    inside = ((j - 24) / 21) ** 2 + ((i - 22) / 19) ** 2 < 1
    target = (300 + 200 * np.sin(i / 3) * np.cos(j / 4) + 30 * k) * inside
    target = target + noise * np.random.default_rng(0).standard_normal(i.shape)
    k, j, i = np.mgrid[0:3, 0:96, 0:88] / np.reshape([1, 2, 2], (3, 1, 1, 1))
    inside = ((j - 24) / 21) ** 2 + ((i - 22) / 19) ** 2 < 1
    return target, (600 - 200 * np.sin(i / 3) * np.cos(j / 4) - 30 * k) * inside


def image(method: str, target: tuple[float, float], reference: tuple[float, float], noise: float = 5.0) -> np.ndarray:
    """The result in the original units; target and reference are (factor, offset) of the units."""
    low, high = scans(noise)
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
def plain() -> dict[tuple[str, float], np.ndarray]:
    """The image of each method in the original units, by noise."""
    return {}


def check(method: str, case: str, plain: dict[tuple[str, float], np.ndarray], noise: float = 5.0) -> None:
    if (method, noise) not in plain:
        plain[method, noise] = image(method, (1.0, 0.0), (1.0, 0.0), noise)
    expected = plain[method, noise]
    differences = np.abs(image(method, *CASES[case], noise) - expected)
    assert np.quantile(differences, 1 - MATCHED_ELSEWHERE.get(method, 0.0)) < 1e-4 * np.ptp(expected)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("method", [name for name in METHODS if name not in LEARNED])
def test_units_do_not_matter(method, case, plain):
    check(method, case, plain)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("method", LEARNED)
def test_units_do_not_matter_to_trained_and_joint_methods(method, case, plain):
    check(method, case, plain)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("method", ["linear", "guided"])
def test_units_do_not_matter_where_noise_is_weighed(method, case, plain):
    check(method, case, plain, noise=40.0)
