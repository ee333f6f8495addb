"""The correction of a base image, and Swift, which is nothing else."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch", reason="The networks need torch, which is not installed here.")

from MultiContrastSRLib.core.errors import InputError  # noqa: E402
from MultiContrastSRLib.networks.correction import Correction  # noqa: E402
from MultiContrastSRLib.networks.positions import Positions  # noqa: E402
from MultiContrastSRLib.networks.registry import build, from_dict, light  # noqa: E402


def perturbed(net):
    """With noise added to every parameter: the last layer starts at zero."""
    torch.manual_seed(5)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return net.eval()


def small(**kwargs):
    return Correction(1, 8, 1, **kwargs)


@pytest.mark.parametrize("shape", [(16, 24), (13, 18), (5, 3), (1, 1)])
@torch.no_grad()
def test_any_size(shape):
    net = perturbed(small())
    image = net(torch.rand(2, 1, *shape), torch.rand(2, 1, *shape))
    assert image.shape == (2, 1, *shape) and image.isfinite().all() and image.abs().max() > 0


@torch.no_grad()
def test_it_starts_at_zero_and_features_do_not_disturb_it():
    base, reference = torch.rand(2, 1, 2, 12, 20)[:, :, :1].unbind()
    plain, with_features = small(), small(features=6)
    assert plain(base, reference).abs().max() == 0
    perturbed(plain)
    with_features.load_state_dict(plain.state_dict(), strict=False)
    features = torch.rand(1, 6, *base.shape[-2:])
    assert torch.equal(with_features(base, reference, features), plain(base, reference))


def test_features_are_learned_from():
    net = perturbed(small(features=6))
    features = torch.rand(1, 6, 12, 8, requires_grad=True)
    net(torch.rand(1, 1, 12, 8), None, features).sum().backward()
    assert features.grad.abs().max() > 0
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in net.parameters())


@torch.no_grad()
def test_the_correction_of_a_crop_is_the_crop_of_the_correction():
    net = perturbed(Correction(1, 4, 1)).double()
    base, reference = torch.rand(2, 1, 1, 171, 190, dtype=torch.float64).unbind()
    window, inner = (..., slice(40, 128), slice(48, 144)), (..., slice(36, 52), slice(36, 60))
    whole, crop = net(base, reference), net(base[window], reference[window])
    assert float((crop[inner] - whole[window][inner]).abs().max()) < 1e-10
    assert float((crop - whole[window]).abs().max()) > 1e-6  # near its edges a crop has no neighbours


@torch.no_grad()
def test_a_black_reference_is_none():
    net = perturbed(small())
    base = torch.rand(1, 1, 12, 12)
    assert torch.equal(net(base, None), net(base, torch.zeros_like(base)))
    assert not torch.allclose(net(base, None), net(base, torch.rand_like(base)), atol=1e-4)


def test_a_base_is_required():
    with pytest.raises(InputError, match="pass `base`"):
        small()(None, None)
    with pytest.raises(InputError, match=r"'base'.*'none'.*'sinc', 'guided'"):
        light("swift", base="none")


@torch.no_grad()
def test_swift_reads_a_coarser_reference_at_its_place():
    spec = light("swift", correction_width=4, correction_blocks=1)
    assert from_dict(spec.as_dict()) == spec
    net = perturbed(build(spec))
    shape = (24, 20)
    base, low = torch.rand(1, 2, *shape), torch.rand(1, 1, 12, 10)
    image = base[:, :1]
    fine = torch.rand(1, 1, *shape)
    same = Positions.regular(shape, ((0.5, 0.0), (0.5, 0.0)), ((1.0, 0.0), (1.0, 0.0)))
    assert torch.allclose(net(low, fine, same, base=base), image + net.correction(base, fine, scale=(2.0, 2.0)))
    half = Positions.regular(shape, ((0.5, 0.0), (0.5, 0.0)), ((0.5, 0.0), (0.5, 0.0)))
    coarse = fine[..., ::2, ::2]
    linear = fine.clone()
    linear[..., 1:-1:2, :] = (fine[..., :-2:2, :] + fine[..., 2::2, :]) / 2
    linear[..., -1, :] = fine[..., -2, :]
    linear[..., :, 1:-1:2] = (linear[..., :, :-2:2] + linear[..., :, 2::2]) / 2
    linear[..., :, -1] = linear[..., :, -2]
    assert torch.allclose(
        net(low, coarse, half, base=base), image + net.correction(base, linear, scale=(2.0, 2.0)), atol=1e-5
    )
    assert torch.allclose(net(low, None, half, base=base), image + net.correction(base, None, scale=(2.0, 2.0)))


@torch.no_grad()
def test_weights_follow_the_scale():
    """A set at x2, x4 and x6, which holds beyond the ends; between them means, even in ratio; of unlike factors the
    geometric mean counts."""
    net, plain = perturbed(small(features=3, by_scale=True)), small(features=3)
    base, reference, features = torch.rand(1, 1, 12, 16), torch.rand(1, 1, 12, 16), torch.rand(1, 3, 12, 16)
    first, more = net.state_dict(), [expert.state_dict() for expert in net.experts]
    assert Correction.SCALES == (2.0, 4.0, 6.0)
    middle, later = math.sqrt(2.0 * 4.0), math.sqrt(4.0 * 6.0)
    for scale, shares in (
        ((1.0, 1.2), (0.0, 0.0)),
        ((2.0, 2.0), (0.0, 0.0)),
        ((middle, middle), (0.5, 0.0)),
        ((2.0, 4.0), (0.5, 0.0)),
        ((4.0, 4.0), (1.0, 0.0)),
        ((4.0, 6.0), (1.0, 0.5)),
        ((later, later), (1.0, 0.5)),
        ((6.0, 6.0), (1.0, 1.0)),
        ((9, 9), (1.0, 1.0)),
    ):
        mixed = dict(first)
        for share, expert in zip(shares, more, strict=True):
            mixed.update({name: (1 - share) * mixed[name] + share * weight for name, weight in expert.items()})
        mixed = {name: mixed[name] for name in plain.state_dict()}
        plain.load_state_dict(mixed)
        found = net(base, reference, features, scale)
        assert torch.allclose(found, plain(base, reference, features), atol=1e-5)
    assert not torch.allclose(found, net(base, reference, features), atol=1e-3)


def test_sets_of_weights_begin_alike_and_all_are_learned():
    net = small(by_scale=True, auxiliary_image=True)
    for expert in net.experts:
        assert all(torch.equal(weight, net.state_dict()[name]) for name, weight in expert.state_dict().items())
    perturbed(net)
    base, reference = torch.rand(1, 2, 12, 8), torch.rand(1, 1, 12, 8)
    sum(net(base, reference, scale=(scale, scale)).sum() for scale in (3.0, 5.0)).backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in net.parameters())


@torch.no_grad()
def test_an_auxiliary_image_enters_by_its_difference_from_the_base():
    base, other, reference = torch.rand(3, 1, 1, 12, 20).unbind()
    plain, seeing = perturbed(small()), small(auxiliary_image=True)
    seeing.load_state_dict(plain.state_dict(), strict=False)
    both = torch.cat([base, other], dim=1)
    assert torch.equal(seeing(both, reference), plain(base, reference))  # it begins as if there were none
    perturbed(seeing)
    seeing.auxiliary_head.bias.zero_()
    assert not torch.allclose(seeing(both, reference), seeing(torch.cat([base, base], dim=1), reference), atol=1e-3)
    plain.load_state_dict(seeing.state_dict(), strict=False)
    assert torch.equal(seeing(torch.cat([base, base], dim=1), reference), plain(base, reference))


@pytest.mark.parametrize(("channels", "auxiliary"), [(2, False), (1, True), (3, True)])
def test_other_images_than_expected_are_refused(channels, auxiliary):
    with pytest.raises(InputError, match=f"has {channels} channels; expected {1 + auxiliary}"):
        small(auxiliary_image=auxiliary)(torch.rand(1, channels, 8, 8), None)


def test_inputs_are_clamped_to_the_range_of_training():
    """An inverted reference in bright air lay at -3, and the answer was a hundred times the range."""
    net = perturbed(Correction(1, 8, 1)).eval()
    base, reference = torch.rand(1, 1, 24, 24), torch.rand(1, 1, 24, 24)
    wild = reference.clone()
    wild[..., 3:9, 4:7], wild[..., 12:20, 5:9] = -300.0, 900.0
    with torch.no_grad():
        assert torch.equal(net(base, wild), net(base, wild.clamp(*Correction.INPUT_RANGE)))
        assert torch.equal(net(base * 50, reference), net((base * 50).clamp(*Correction.INPUT_RANGE), reference))
