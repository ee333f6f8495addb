"""Swift: a residual network on the output's lattice, with or without a reference, at any scale."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="The networks need torch, which is not installed here.")

from network_fixtures import case, count, perturbed, tiny_light  # noqa: E402

from MultiContrastSRLib.networks.bounded import limit_reach, local_limit  # noqa: E402
from MultiContrastSRLib.networks.positions import Positions, sample_linear  # noqa: E402
from MultiContrastSRLib.networks.registry import from_dict, light  # noqa: E402
from MultiContrastSRLib.networks.swift import network  # noqa: E402
from MultiContrastSRLib.networks.swift.network import Block  # noqa: E402
from MultiContrastSRLib.networks.test_time_augmentation import TRANSFORMS, transform, transform_positions  # noqa: E402

pytestmark = pytest.mark.usefixtures("seeded")


def regular(shape: tuple[int, int], scale: tuple[float, float], reference: float = 1.0) -> Positions:
    """An output of `shape` whose first pixel lies on the first ones of target and reference."""
    steps = tuple((1 / factor, 0.0) for factor in scale)
    return Positions.regular(shape, steps, ((reference, 0.0), (reference, 0.0)))


def blocks(net) -> list[Block]:
    return [module for module in net.modules() if isinstance(module, Block)]


@pytest.fixture
def net():
    return perturbed(tiny_light("swift"))


def test_the_configuration_holds_its_size():
    sizes = {"features": 8, "blocks": 1}
    spec = light("swift", **sizes)
    assert from_dict(spec.as_dict()) == spec
    for name, value in sizes.items():
        assert count(light("swift", **{**sizes, name: 2 * value}).build()) > count(spec.build())


@pytest.mark.parametrize("shape", [(16, 24), (13, 18), (5, 3), (1, 1)])
@torch.no_grad()
def test_any_size(net, shape):
    x, base = torch.rand(2, 1, 7, 9), torch.rand(2, 2, *shape)
    image = net(x, torch.rand(2, 1, *shape), regular(shape, (2.0, 2.0)), base=base)
    assert image.shape == (2, 1, *shape) and image.isfinite().all()
    assert shape == (1, 1) or (image - base[:, :1]).abs().max() > 0


@torch.no_grad()
def test_no_reference_is_one_of_zeros(net):
    x, y, p = case((24, 20), (12, 10), (24, 20))
    base = torch.rand(2, 2, 24, 20)
    alone = net(x, None, p, base=base)
    assert torch.equal(alone, net(x, torch.zeros_like(y), p, base=base))
    assert (alone - net(x, y, p, base=base)).abs().max() > 1e-3


@torch.no_grad()
def test_a_coarser_reference_is_read_at_its_place(net):
    shape = (24, 20)
    x, base, coarse = torch.rand(1, 1, 12, 10), torch.rand(1, 2, *shape), torch.rand(1, 1, 12, 10)
    there = regular(shape, (2.0, 2.0), 0.5)
    fine = sample_linear(coarse, *there.in_reference)
    assert torch.allclose(fine[..., ::2, ::2], coarse)
    one, other = (net(x, y, where, base=base) for y, where in ((coarse, there), (fine, regular(shape, (2.0, 2.0)))))
    assert torch.allclose(one, other, atol=1e-6)


@torch.no_grad()
def test_the_correction_follows_the_scale(net):
    """Through the gains and offsets of channels alone, which are the same for both orders of the axes."""
    images = torch.rand(1, 4, 12, 16)
    at = {scale: net._correct(images, scale) for scale in ((2.0, 2.0), (4.0, 4.0), (2.0, 3.0), (3.0, 2.0), (1.0, 6.0))}
    assert torch.equal(at[2.0, 3.0], at[3.0, 2.0])
    for one, other in (((2.0, 2.0), (4.0, 4.0)), ((2.0, 3.0), (1.0, 6.0))):
        assert (at[one] - at[other]).abs().max() > 1e-3
    for block in blocks(net):
        block.gains.weight.zero_()
    assert torch.equal(net._correct(images, (2.0, 2.0)), net._correct(images, (6.0, 3.0)))


def test_gains_start_at_one_and_are_learned():
    net = tiny_light("swift")
    for block in blocks(net):
        assert not block.gains.weight.any() and not block.gains.bias.any()
    perturbed(net.tail)
    x, y, p = case((24, 20), (12, 10), (24, 20))
    net(x, y, p, base=torch.rand(2, 2, 24, 20)).square().sum().backward()
    for block in blocks(net):
        assert block.gains.weight.grad.abs().max() > 0 and block.gains.bias.grad.abs().max() > 0


def test_gradients_reach_every_parameter(net):
    x, y, p = case((24, 20), (12, 10), (24, 20))
    net(x, y, p, base=torch.rand(2, 2, 24, 20)).square().sum().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("transposed", [False, True])
@torch.no_grad()
def test_the_correction_of_a_crop_is_the_crop_of_the_correction(transposed):
    """Farther from the borders of the crop than a correction depends on."""
    net = perturbed(tiny_light("swift"), 0.05).double()
    base, reference = torch.rand(1, 3, 171, 190, dtype=torch.float64).split((2, 1), dim=1)
    x = torch.rand(1, 1, 86, 95, dtype=torch.float64)
    window, scale = (slice(41, 120), slice(30, 145)), (2.0, 3.0)
    rows, columns = (max(net.reach, limit_reach(factor)) for factor in scale)
    inner = (slice(rows, 79 - rows), slice(columns, 115 - columns))
    p = regular((171, 190), scale)
    if transposed:
        base, reference, x, window, inner, scale = base.mT, reference.mT, x.mT, window[::-1], inner[::-1], scale[::-1]
        p = regular((190, 171), scale)
    part = (..., *window)
    there = with_reference_at_zero(p, window)
    added, added_in_crop = (
        net(x, other, where, base=image) - image[:, :1]
        for image, other, where in ((base, reference, p), (base[part], reference[part], there))
    )
    difference = (added_in_crop - added[part]).abs()
    assert float(difference[(..., *inner)].max()) < 1e-10
    assert float(difference.max()) > 1e-6 and float(added.abs().max()) > 1e-3


@pytest.mark.parametrize("pixels", [1, 60, 200])
@torch.no_grad()
def test_strips_make_the_whole(net, pixels, monkeypatch):
    """At the borders of the image, too, which the convolutions pad."""
    x, y, p = case((24, 20), (12, 10), (24, 20))
    base = torch.rand(2, 2, 24, 20)
    whole = net(x, y, p, base=base)
    monkeypatch.setattr(network, "_STRIP_PIXELS", pixels)
    assert torch.allclose(net(x, y, p, base=base), whole, atol=1e-6)


def with_reference_at_zero(positions: Positions, window: tuple[slice, slice]) -> Positions:
    """The positions in `window` for a reference that is cropped to it too."""
    part = positions.crop(window)
    rows, columns = (vector - vector[0] for vector in part.in_reference)
    return Positions(*part.in_target, part.step_t, rows, columns, part.step_r)


@pytest.mark.parametrize("code", TRANSFORMS[1:])
@torch.no_grad()
def test_the_mean_over_all_transforms_is_that_of_the_transformed_slice(net, code):
    net.test_time_augmentation = 8
    x, y, p = case((15, 21), (7, 9), (15, 21), batch=1)
    base = torch.rand(1, 2, 15, 21)
    expected = transform(net(x, y, p, base=base), code)
    there = transform_positions(p, code, (7, 9), (15, 21))
    found = net(transform(x, code), transform(y, code), there, base=transform(base, code))
    assert torch.allclose(found, expected, atol=1e-5)


@torch.no_grad()
def test_inputs_are_clamped_to_the_range_of_training(net):
    """An inverted reference in bright air lies far outside it."""
    x, y, p = case((24, 24), (12, 12), (24, 24), batch=1)
    base, wild = torch.rand(1, 2, 24, 24), y.clone()
    wild[..., 3:9, 4:7], wild[..., 12:20, 5:9] = -300.0, 900.0
    assert torch.equal(net(x, wild, p, base=base), net(x, wild.clamp(*net.INPUT_RANGE), p, base=base))
    added = net(x, y, p, base=50 * base) - 50 * base[:, :1]
    assert added.abs().max() > 1.0  # the limit follows the base image, which is not clamped
    assert (added.abs() <= local_limit(50 * base[:, :1], p.scale) + 1e-4).all()


@torch.no_grad()
def test_only_the_difference_of_the_auxiliary_image_counts(net):
    """Where it is the base image, it says nothing; where it differs, it changes the correction."""
    x, y, p = case((24, 20), (12, 10), (24, 20))
    base = torch.rand(2, 1, 24, 20)
    alone = net(x, y, p, base=torch.cat([base, base], dim=1))
    changed = torch.cat([base, base + 0.1 * torch.rand_like(base)], dim=1)
    assert (net(x, y, p, base=changed) - alone).abs().max() > 1e-4
    without = perturbed(tiny_light("swift", base="guided"))
    weights = net.state_dict()
    weights["head.weight"] = weights["head.weight"][:, [0, 1, 3]]
    without.load_state_dict(weights)
    assert torch.allclose(without(x, y, p, base=base), alone, atol=1e-6)
