"""Normalisation of intensities."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="Networks need torch, which is not installed here.")

from MultiContrastSRLib.networks.intensity import estimate_normalisation  # noqa: E402
from MultiContrastSRLib.networks.registry import light  # noqa: E402


@pytest.mark.parametrize("value", [1e-6, 283.0, 1e6])
def test_rounding_of_a_constant_scan_is_not_its_range(value):
    """Fourier transforms of a constant leave differences of some 1e-6 of it, which are no anatomy to a network."""
    image = value * (1 + 1e-6 * torch.randn(1, 1, 64, 64, generator=torch.Generator().manual_seed(0)))
    found = estimate_normalisation(image, light("swift"))
    assert float(found.apply(image).std()) < 0.15
    anatomy = value * (1 + 1e-3 * torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(1)))
    assert float(estimate_normalisation(anatomy, light("swift")).apply(anatomy).max()) > 0.9


@pytest.mark.parametrize("samples", [1, 2, 201, 4321, 70_000])
def test_the_quantiles_are_those_of_torch_to_the_last_bit(samples):
    image = torch.randn(3, 1, 1, samples, generator=torch.Generator().manual_seed(samples))
    low, high = torch.quantile(image.flatten(1), torch.tensor([0.005, 0.995]), dim=1)
    found = estimate_normalisation(image, light("swift"))
    assert torch.equal(found.offset.flatten(), low)
    assert samples == 1 or torch.equal(found.scale.flatten(), high - low)
