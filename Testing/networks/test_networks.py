"""The networks' modules: configurations, sizes, missing references, gradients, base images."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace

import pytest

torch = pytest.importorskip("torch", reason="The networks need torch, which is not installed here.")

from network_fixtures import ARBITRARY, PAPERS, TINY, VARIANTS, case, close, count, perturbed, tiny, tiny_light  # noqa: E402

from MultiContrastSRLib.core.errors import InputError, UnknownNameError  # noqa: E402
from MultiContrastSRLib.networks.network import Network  # noqa: E402
from MultiContrastSRLib.networks.positions import Positions  # noqa: E402
from MultiContrastSRLib.networks.registry import SPECS, build, from_dict, light, published  # noqa: E402

pytestmark = pytest.mark.usefixtures("seeded")


# ------------------------------------------------------------------ configurations


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (published("dual-arbnet", in_channels=2), 13_737_184),
        (published("dual-arbnet"), 13_736_413),
        (published("dual-arbnet", in_channels=2, modulation="paper"), 13_737_184 + 4_160),
        (published("dual-arbnet", in_channels=2, skip="paper"), 13_737_184 - 80_128),
        (published("dinet"), 23_636_138),
        (published("minet"), 6_748_189),
        (published("minet", last_stage=False, gamma=False), 6_592_346),
        (published("minet", scale=4), 6_895_901),
    ],
)
def test_published_parameter_counts(spec, expected) -> None:
    with torch.device("meta"):
        assert count(build(spec)) == expected


def test_published_parts() -> None:
    with torch.device("meta"):
        assert count(build(published("dual-arbnet", in_channels=2)).encoder) == 10_462_016
        assert count(build(published("dinet")).target_encoder) == 21_972_800


@pytest.mark.parametrize("spec", [*map(light, SPECS), light("minet", scale=4)], ids=lambda spec: spec.network)
def test_light_fits_a_laptop(spec) -> None:
    with torch.device("meta"):
        net = build(spec)
    assert spec.base_image == "guided"
    assert 200_000 <= count(net) <= 800_000


@pytest.mark.parametrize("spec", [*map(light, PAPERS), light("minet", scale=4)], ids=lambda spec: spec.network)
def test_a_light_network_is_the_papers_and_one_layer_for_the_base_image(spec) -> None:
    """Its modules are those of the published network, none of them Swift's; what is added is a 3x3 convolution."""
    with torch.device("meta"):
        net, theirs = build(spec), build(replace(spec, base="none"))
    added = {name: p.numel() for name, p in net.named_parameters() if name not in dict(theirs.named_parameters())}
    assert added.keys() == {"base_head.weight", "base_head.bias"}
    assert sum(added.values()) < 0.01 * count(net) == 0.01 * (count(theirs) + sum(added.values()))
    assert {name: type(module) for name, module in net.named_modules() if name and "base_head" not in name} == {
        name: type(module) for name, module in theirs.named_modules() if name
    }
    assert not any("swift" in type(module).__module__ for module in net.modules())


@pytest.mark.parametrize("network", PAPERS)
def test_a_light_network_keeps_every_module_of_the_published_one(network) -> None:
    """At fewer channels, blocks and layers; MINet without its seventh stage."""
    with torch.device("meta"):
        parts = [{name for name, _ in build(spec).named_children()} for spec in (light(network), published(network))]
    assert parts[0] == {*parts[1], "base_head"}


@pytest.mark.parametrize("network", SPECS)
def test_spec_survives_json_and_builds_the_same_network(network) -> None:
    spec = light(network, in_channels=2)
    text = json.dumps(spec.as_dict())
    assert from_dict(json.loads(text)) == spec
    small = published(network, **TINY[network])
    build(small.as_dict()).load_state_dict(build(small).state_dict())


def test_wrong_specs_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="expected one of dual-arbnet, dinet, minet"):
        published("unet")
    with pytest.raises(InputError, match=r"has no fields .'depth'."):
        published("dinet", depth=3)
    with pytest.raises(InputError, match=r"'alignment' .* is 'cubic'; expected one of 'nearest', 'bilinear'"):
        published("dual-arbnet", alignment="cubic")
    with pytest.raises(InputError, match=r"'scale' .* is 5; expected one of 2, 3, 4"):
        published("minet", scale=5)
    with pytest.raises(InputError, match=r"'features' .* is True; expected a whole number of at least 1"):
        published("minet", features=True)
    with pytest.raises(InputError, match="expected an even number"):
        published("dinet", dimension=7)
    for base, network, choices in (
        ("guided+joint-tv", "dual-arbnet", "'none', 'sinc', 'guided'"),
        ("none", "swift", "'sinc', 'guided', 'guided+joint-tv'"),
    ):
        with pytest.raises(
            InputError, match=rf"'base' .* is '{re.escape(base)}'; expected one of {re.escape(choices)}"
        ):
            light(network, base=base)
    values = published("minet").as_dict()
    del values["stages"]
    with pytest.raises(InputError, match=r"lacks .'stages'."):
        from_dict({**values})
    with pytest.raises(InputError, match=r"unknown fields .'width'."):
        from_dict({**published("minet").as_dict(), "width": 3})


# ------------------------------------------------------------------ shapes, references, gradients


@pytest.mark.parametrize(("network", "changes"), VARIANTS)
@pytest.mark.parametrize(
    ("shape", "target", "reference"),
    [((14, 11), (7, 5), (9, 13)), ((9, 16), (9, 6), (9, 16)), ((8, 21), (5, 8), (3, 40)), ((5, 1), (4, 1), (2, 3))],
)
@torch.no_grad()
def test_any_size_scale_and_reference(network, changes, shape, target, reference) -> None:
    net = tiny(network, **changes)
    x, y, p = case(shape, target, reference)
    for other in (y, None):
        image = net(x, other, p)
        assert image.shape == (2, 1, *shape) and image.isfinite().all()
    # each sample is worked on by itself
    assert close(net(x[1:], y[1:], p), net(x, y, p)[1:], 1e-5)


@torch.no_grad()
def test_two_channels() -> None:
    for network in ARBITRARY:
        x, y, p = case(channels=2)
        assert tiny(network, in_channels=2)(x, y, p).shape == (2, 2, 14, 11)
    x, y, p = case((10, 8), (5, 4), (10, 8), channels=2)
    assert tiny("minet", in_channels=2)(x, y, p).shape == (2, 2, 10, 8)


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("changes", [{}, {"gamma": False, "last_stage": False, "fusion_skip": False}])
@torch.no_grad()
def test_minet_sizes(scale, changes) -> None:
    net = tiny("minet", scale=scale, **changes)
    x, y = torch.rand(2, 1, 5, 4), torch.rand(2, 1, 5 * scale, 4 * scale)
    for other in (y, None):
        image = net(x, other, net.lattice((5, 4)))
        assert image.shape == y.shape and image.isfinite().all()
    assert net.reconstruct_reference(net.encode_reference(y)).shape == y.shape


@pytest.mark.parametrize("changes", [{"integration": False}, {"attention": False}])
@torch.no_grad()
def test_minet_ablations(changes) -> None:
    net = tiny("minet", **changes)
    assert count(net) < count(tiny("minet"))
    assert net(torch.rand(1, 1, 4, 5), torch.rand(1, 1, 8, 10), net.lattice((4, 5))).shape == (1, 1, 8, 10)


@pytest.mark.parametrize("network", PAPERS)
@torch.no_grad()
def test_no_reference_is_a_path_of_its_own(network) -> None:
    net = perturbed(tiny(network))
    x, y, p = case((10, 8), (5, 4), (10, 8), batch=1) if network == "minet" else case(batch=1)
    alone = net(x, None, p)
    # neither a black nor a grey reference, and no parameter that only the reference uses
    for value in (0.0, 0.5):
        assert not close(alone, net(x, torch.full_like(y, value), p))
    for name, parameter in net.named_parameters():
        if "reference" in name:
            parameter.fill_(float("nan"))
    assert close(alone, net(x, None, p), 0)
    assert close(alone, net(x, None, Positions(p.rows_t, p.cols_t, p.step_t)), 0)


def loss_of_everything(net) -> torch.Tensor:
    """A loss on all that the network returns: image, image without reference, reconstructed reference."""
    x, y, p = case((12, 10), (6, 5), (12, 10)) if net.spec.network == "minet" else case()
    if net.spec.network == "dual-arbnet":
        image, mirrored = net.decode_both(net.encode_target(x), net.encode_reference(y), p)
    else:
        image, mirrored = net.forward_with_reference(x, y, p)
    return image.square().sum() + mirrored.square().sum()


@pytest.mark.parametrize(
    ("network", "changes"),
    [v for v in VARIANTS if "with_scale" not in v[1]] + [("minet", {}), ("minet", {"gamma": False})],
)
def test_gradients_reach_every_parameter(network, changes) -> None:
    net = perturbed(tiny(network, **changes))
    # so small, the gates of the attentions have one hidden unit, which must not happen to sleep
    for name, parameter in net.named_parameters():
        if "squeeze" in name:
            parameter.data.abs_().add_(1.0 if name.endswith("bias") else 0.0)
    loss_of_everything(net).backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name


def test_reference_gradients_can_be_blocked() -> None:
    grads = []
    for blocked in (False, True):
        net = tiny("dual-arbnet", detach_reference=blocked)
        _, y, _ = case()
        net.encode_reference(y).fusion.sum().backward()
        grads.append(net.encoder.shallow1.weight.grad)
    assert grads[0].abs().max() > 0 and grads[1] is None


def test_one_step_lowers_the_loss() -> None:
    for network in PAPERS:
        net = tiny(network)
        args = case((12, 12), (6, 6), (12, 12))
        truth = torch.rand(2, 1, 12, 12)
        optimizer = torch.optim.Adam(net.parameters(), 1e-3)
        losses = []
        for _ in range(6):
            loss = (net(*args) - truth).abs().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert losses[-1] < losses[0], network


@torch.no_grad()
def test_all_networks_have_one_interface() -> None:
    """Whatever the network: the same arguments, the reconstruction of the reference or None."""
    x, y, p = case((12, 8), (6, 4), (12, 8))
    for network in SPECS:
        for base in ("none", "sinc", "guided") if network != "swift" else ("sinc", "guided", "guided+joint-tv"):
            spec = published(network, **TINY[network], base=base)
            net, images = build(spec).eval(), None if base == "none" else torch.rand(2, 1 + ("+" in base), 12, 8)
            assert isinstance(net, Network) and spec.base_image == (None if base == "none" else base.split("+")[0])
            assert spec.auxiliary_image == ("joint-tv" if "+" in base else None)
            image, reconstruction = net.forward_with_reference(x, y, p, base=images)
            assert torch.equal(image, net(x, y, p, base=images)) and image.shape == (2, 1, 12, 8)
            assert (reconstruction is not None) == (network in ("dinet", "minet"))
            assert net.forward_with_reference(x, None, p, base=images)[1] is None
            assert spec.fixed_scale == (2 if network == "minet" else None)
            assert spec.normalisation == ("z-score" if (network, base) == ("minet", "none") else "percentile")


def test_configurations_need_no_torch() -> None:
    code = (
        "import sys; from MultiContrastSRLib.networks.registry import SPECS, light; "
        "assert [light(name).as_dict() for name in SPECS]; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("network", PAPERS)
@torch.no_grad()
def test_deterministic(network) -> None:
    results = []
    for _ in range(2):
        torch.manual_seed(3)
        net = tiny(network)
        x, y, p = case((10, 8), (5, 4), (10, 8))
        results.append(net(x, y, p))
    assert torch.equal(*results)


def test_errors_say_what_is_missing() -> None:
    x, y, p = case()
    for network in ARBITRARY:
        with pytest.raises(InputError, match="pass rows_r and cols_r"):
            tiny(network)(x, y, Positions(p.rows_t, p.cols_t, p.step_t))
    x, y, p = case((14, 10), (7, 5), (14, 10))
    for network in SPECS:
        with pytest.raises(InputError, match="pass `base`"):
            tiny_light(network)(x, y, p)
        with pytest.raises(InputError, match="`base` has 2 channels; expected 1"):
            tiny_light(network, base="guided")(x, y, p, base=torch.rand(2, 2, 14, 10))
    with pytest.raises(InputError, match="`base` has 1 channels; expected 2"):
        tiny_light("swift")(x, y, p, base=torch.rand(2, 1, 14, 10))


# ------------------------------------------------------------------ base images


@pytest.mark.parametrize(("network", "changes"), [*VARIANTS, ("minet", {}), ("swift", {})])
def test_an_untrained_network_returns_its_base_and_learns_from_it(network, changes) -> None:
    net = tiny(network, base="guided", **changes)
    x, y, p = case((14, 10), (7, 5), (14, 10))
    base = torch.rand(2, 1, 14, 10)
    assert torch.equal(net(x, y, p, base=base), base)
    assert torch.equal(net(x, None, p, base=base), base)
    perturbed(net)(x, y, p, base=base).sum().backward()
    first = net.head if network == "swift" else net.base_head
    assert first.weight.grad.abs().max() > 0


@pytest.mark.parametrize("network", SPECS)
def test_the_correction_is_learned_from_the_first_step(network) -> None:
    """The last layer starts at zero, and yet the gradient reaches it."""
    net = tiny_light(network)
    x, y, p = case((14, 10), (7, 5), (14, 10))
    base, truth = torch.rand(2, net.spec.base_channels, 14, 10), torch.rand(2, 1, 14, 10)
    optimizer = torch.optim.Adam(net.parameters(), 1e-3)
    losses = []
    for _ in range(8):
        loss = (net(x, y, p, base=base) - truth).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
