"""The limit on what a network adds to its base image: the local range of that image, whatever weights and input are."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="The networks need torch, which is not installed here.")

from network_fixtures import case, perturbed, tiny_light  # noqa: E402
from scipy import ndimage  # noqa: E402

from MultiContrastSRLib.networks.bounded import FLOOR, REACH, SHARE, corrected, local_limit  # noqa: E402
from MultiContrastSRLib.networks.registry import SPECS  # noqa: E402

pytestmark = pytest.mark.usefixtures("seeded")

SHAPE = (20, 28)


def checkerboard(shape: tuple[int, int] = SHAPE) -> torch.Tensor:
    rows, columns = (torch.arange(n) for n in shape)
    return (1.0 - 2.0 * ((rows[:, None] + columns) % 2)).expand(1, 1, *shape)


def wild_images(shape: tuple[int, int] = SHAPE) -> dict[str, torch.Tensor]:
    """Images (1, 1, *shape) as no scan is."""
    step = torch.zeros(1, 1, *shape)
    step[..., shape[1] // 2 :] = 1.0
    return {
        "noise": torch.rand(1, 1, *shape),
        "huge": 1e6 * torch.randn(1, 1, *shape),
        "tiny": 1e-6 * torch.rand(1, 1, *shape),
        "negative": -3.0 - torch.rand(1, 1, *shape),
        "constant": torch.full((1, 1, *shape), 0.7),
        "zero": torch.zeros(1, 1, *shape),
        "checkerboard": 40.0 * checkerboard(shape),
        "step": 5.0 * step - 2.0,
    }


# ---------------------------------------------------------------------- the limit


@pytest.mark.parametrize("scale", [(2.0, 2.0), (1.0, 3.0), (1.3, 6.5), (8.0, 4.0)])
def test_the_limit_is_a_share_of_the_local_range(scale):
    base = torch.randn(2, 1, 31, 40)
    size = [2 * max(1, int(np.ceil(REACH * factor - 1e-6))) + 1 for factor in scale]
    image = base.numpy()
    # beyond the border "nearest" repeats pixels that are within reach anyway
    span = [f(image, (1, 1, *size), mode="nearest") for f in (ndimage.maximum_filter, ndimage.minimum_filter)]
    expected = SHARE * (span[0] - span[1]) + FLOOR
    assert np.abs(local_limit(base, scale).numpy() - expected).max() < 1e-6


def test_the_limit_of_a_flat_region_is_the_floor():
    base = torch.zeros(1, 1, 24, 24)
    base[..., 12:] = 1.0
    limit = local_limit(base, (2.0, 2.0))
    assert torch.allclose(limit[..., :8], torch.tensor(FLOOR)) and torch.allclose(limit[..., 16:], torch.tensor(FLOOR))
    assert torch.allclose(limit[..., 8:16], torch.tensor(SHARE + FLOOR))


@pytest.mark.parametrize("code", ["transposed", "flipped"])
def test_the_limit_of_a_transformed_image_is_the_transformed_limit(code):
    base = torch.rand(1, 1, 17, 24)
    if code == "flipped":
        assert torch.equal(local_limit(base.flip(-1), (2.0, 3.0)), local_limit(base, (2.0, 3.0)).flip(-1))
    else:
        assert torch.equal(local_limit(base.mT, (3.0, 2.0)), local_limit(base, (2.0, 3.0)).mT)


@pytest.mark.parametrize("name", wild_images())
def test_no_output_of_a_last_layer_exceeds_the_limit(name):
    base = wild_images()[name]
    limit = local_limit(base, (2.0, 2.0))
    for output in (*wild_images().values(), torch.full_like(base, torch.inf), torch.full_like(base, -torch.inf)):
        image = corrected(base, output, (2.0, 2.0))
        rounding = 1e-6 * base.abs().max()
        assert image.isfinite().all() and ((image - base).abs() <= limit * (1 + 1e-6) + rounding).all()
    assert torch.equal(corrected(base, torch.zeros_like(base), (2.0, 2.0)), base)


def test_small_corrections_pass_nearly_unchanged_and_have_gradients_everywhere():
    base = torch.rand(1, 1, *SHAPE)
    limit = local_limit(base, (2.0, 2.0))
    correction = (0.1 * limit * torch.randn_like(base)).requires_grad_()
    image = corrected(base, correction, (2.0, 2.0))
    assert ((image - base - correction).abs() <= correction.abs() ** 3 / (3 * limit**2) + 1e-6).all()
    image.sum().backward()
    assert (correction.grad > 0).all()


def test_half_precision_outputs_correct_a_base_in_full_precision():
    base, output = torch.rand(1, 1, *SHAPE), torch.randn(1, 1, *SHAPE, dtype=torch.bfloat16)
    image = corrected(base, output, (2.0, 2.0))
    assert image.dtype == torch.float32
    assert torch.equal(image, corrected(base, output.float(), (2.0, 2.0)))


# ---------------------------------------------------------------------- networks


@pytest.mark.parametrize("deviation", [0.1, 1.0, 10.0])
@pytest.mark.parametrize("network", SPECS)
@torch.no_grad()
def test_no_network_exceeds_the_limit_for_any_weights_and_input(network, deviation):
    net = perturbed(tiny_light(network), deviation)
    _, _, p = case(SHAPE, (10, 14), SHAPE, batch=1)
    fine, low = wild_images(), wild_images((10, 14))
    names = list(fine)
    for number, name in enumerate(names):
        base, target, other = fine[name], low[names[number - 1]], fine[names[number - 3]]
        limit = local_limit(base, p.scale)
        for reference in (other, None):
            image = net(target, reference, p, base=base.expand(-1, net.spec.base_channels, -1, -1))
            rounding = 1e-6 * base.abs().max()
            # what overflows is not a number, and the base image is shown instead
            assert not ((image - base).abs() > limit * (1 + 1e-5) + rounding).any(), name
            if network == "swift" or deviation < 1:
                assert image.isfinite().all(), name


@pytest.mark.parametrize("network", SPECS)
@torch.no_grad()
def test_the_mean_over_transforms_is_within_the_limit_too(network):
    net = perturbed(tiny_light(network), 1.0)
    net.test_time_augmentation = 8
    x, y, p = case(SHAPE, (10, 14), SHAPE, batch=1)
    bases = torch.rand(1, net.spec.base_channels, *SHAPE)
    base = bases[:, :1]
    added = net(x, y, p, base=bases) - base
    assert added.abs().max() > 1e-3 and (added.abs() <= local_limit(base, p.scale) + 1e-5).all()
