"""No value of a trained method leaves the local limit of its base image, whatever scans and weights are."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="Trained methods need torch, which is not installed here.")

from trained_properties import METHODS, REFERENCES, TARGETS, largest_excess, random_case  # noqa: E402

pytestmark = pytest.mark.slow

RANDOM, SHIPPED = 60, 15  # cases a method; `bench_property.py` runs many more


@pytest.mark.parametrize("method", METHODS)
def test_random_weights_stay_within_the_limit(method):
    cases = [random_case(method, np.random.default_rng((0, number))) for number in range(RANDOM)]
    for case in cases:
        assert largest_excess(case) <= 0, case.description
    described = " ".join(case.description for case in cases)
    assert all(f"target {kind}" in described for kind in TARGETS)
    assert all(f"reference {kind}" in described for kind in REFERENCES)


@pytest.mark.parametrize("method", METHODS)
def test_shipped_weights_stay_within_the_limit(method):
    for number in range(SHIPPED):
        case = random_case(method, np.random.default_rng((1, number)), shipped=True)
        assert largest_excess(case) <= 0, case.description


def test_the_check_finds_what_exceeds(monkeypatch):
    """A network that adds far more is only kept within the limit by the checks behind it; without these it is seen."""
    from MultiContrastSRLib.inference import plane, slice_network, trial_acquisition

    def adding(self, stack, *_):
        board = 1 - 2 * (torch.from_numpy(np.indices(stack.base.shape).sum(0)) % 2)
        return stack.base + (stack.base.max() - stack.base.min()) * board

    monkeypatch.setattr(slice_network.SliceNetwork, "__call__", adding)
    monkeypatch.setattr(plane, "limit_correction", lambda image, *_: (image, torch.zeros(len(image), dtype=torch.bool)))
    monkeypatch.setattr(trial_acquisition.TrialAcquisition, "of", lambda *_: None)
    cases = (random_case("swift", np.random.default_rng((2, number))) for number in range(12))
    assert sum(largest_excess(case) > 0.1 for case in cases) > 6
