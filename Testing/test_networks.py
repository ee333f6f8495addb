"""The networks' modules: sizes, counts, positions, gradients, tiles, and agreement with the papers' plain equations."""

from __future__ import annotations

import json
import math

import pytest

torch = pytest.importorskip("torch", reason="The networks need torch, which is not installed here.")
F = torch.nn.functional

import plain_networks  # noqa: E402

from MultiContrastSRLib.acquisition import AxisModel  # noqa: E402
from MultiContrastSRLib.errors import InputError, UnknownNameError  # noqa: E402
from MultiContrastSRLib.networks import positions as reading  # noqa: E402
from MultiContrastSRLib.networks.attention import DualBranchAttention  # noqa: E402
from MultiContrastSRLib.networks.layers import RCAB, DenseBlock, ResidualGroup  # noqa: E402
from MultiContrastSRLib.networks.matching import transfer  # noqa: E402
from MultiContrastSRLib.networks.minet import Integration  # noqa: E402
from MultiContrastSRLib.networks.positions import Positions  # noqa: E402
from MultiContrastSRLib.networks.specs import SPECS, build, from_dict, light, published  # noqa: E402

TINY = {
    "dual-arbnet": {"features": 16, "blocks": 2, "layers": 2, "fusion_layers": 3, "fusion_convs": 2},
    "dinet": {
        "features": 8, "target_blocks": 2, "target_layers": 2, "reference_blocks": 2, "dimension": 12, "reduced": 6,
        "rank": 3, "radius": 2, "hidden": 10,
    },
    "minet": {"features": 8, "stages": 2, "blocks": 2},
}  # fmt: skip
ARBITRARY = ("dual-arbnet", "dinet")
VARIANTS = [
    ("dual-arbnet", {}),
    ("dual-arbnet", {"alignment": "bilinear", "skip": "linear"}),
    ("dual-arbnet", {"modulation": "paper", "skip": "paper"}),
    ("dual-arbnet", {"with_scale": False, "with_coordinates": False}),
    ("dinet", {}),
    ("dinet", {"ensemble": "predictions"}),
    ("dinet", {"modulation": False, "attention": False, "kernels": 1}),
]


@pytest.fixture(autouse=True)
def one_thread_and_a_seed():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(7)
    yield
    torch.set_num_threads(before)


def tiny(network: str, **changes):
    return build(published(network, **{**TINY[network], **changes})).eval()


def stirred(net):
    """The network with every parameter moved off its start: weights γ begin at zero and hide what they weigh."""
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return net


def kspace(fine: int, samples: int) -> tuple[float, float]:
    return AxisModel("kspace", samples, 1.0).lattice_positions(fine)


def lattice(shape, target, reference=None) -> Positions:
    """k-space aligned positions of an output of `shape`, in images of shapes `target` and `reference`."""
    maps = [None if s is None else tuple(map(kspace, shape, s)) for s in (target, reference)]
    return Positions.regular(shape, *maps)


def case(shape=(14, 11), target=(7, 5), reference=(9, 13), channels=1, batch=2):
    """(target, reference, positions) of random images."""
    images = [torch.rand(batch, channels, *size) for size in (target, reference)]
    return *images, lattice(shape, target, reference)


def close(a, b, tolerance=1e-4) -> bool:
    return a.shape == b.shape and bool((a - b).abs().max() <= tolerance * max(1.0, float(b.abs().max())))


def count(module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


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


@pytest.mark.parametrize("network", SPECS)
def test_light_fits_a_laptop(network) -> None:
    for scale in (2, 4) if network == "minet" else (None,):
        spec = light(network, base="guided", **({} if scale is None else {"scale": scale}))
        with torch.device("meta"):
            parameters = count(build(spec))
        assert 1_000_000 <= parameters <= 2_000_000
        assert 2 * parameters <= 8e6  # bytes as float16


@pytest.mark.parametrize("network", TINY)
def test_spec_survives_json_and_builds_the_same_network(network) -> None:
    spec = light(network, in_channels=2)
    text = json.dumps(spec.as_dict())
    assert from_dict(json.loads(text)) == spec
    small = published(network, **TINY[network])
    build(small.as_dict()).load_state_dict(build(small).state_dict())


def test_wrong_specs_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="expected one of dual-arbnet, dinet, minet"):
        published("unet")
    with pytest.raises(InputError, match="has no fields .'depth'."):
        published("dinet", depth=3)
    with pytest.raises(InputError, match="'alignment' .* is 'cubic'; expected one of 'nearest', 'bilinear'"):
        published("dual-arbnet", alignment="cubic")
    with pytest.raises(InputError, match="'scale' .* is 5; expected one of 2, 3, 4"):
        published("minet", scale=5)
    with pytest.raises(InputError, match="'features' .* is True; expected a whole number of at least 1"):
        published("minet", features=True)
    with pytest.raises(InputError, match="expected an even number"):
        published("dinet", dimension=7)
    values = published("minet").as_dict()
    del values["stages"]
    with pytest.raises(InputError, match="lacks .'stages'."):
        from_dict({**values})
    with pytest.raises(InputError, match="unknown fields .'width'."):
        from_dict({**published("minet").as_dict(), "width": 3})


# ------------------------------------------------------------------ positions


@pytest.mark.parametrize(("fine", "samples"), [(24, 12), (25, 12), (24, 13), (25, 13), (31, 9)])
def test_kspace_positions_meet_at_the_centres(fine, samples) -> None:
    p = lattice((fine, fine), (samples, samples))
    assert float(p.rows_t[fine // 2]) == pytest.approx(samples // 2, abs=1e-9)
    assert p.scale == pytest.approx((fine / samples,) * 2)


def test_minet_lattice_is_the_kspace_lattice_of_even_sizes() -> None:
    net = tiny("minet", scale=4)
    mine, exact = net.positions((6, 10)), lattice((24, 40), (6, 10), (24, 40))
    for name in ("rows_t", "cols_t", "rows_r", "cols_r"):
        assert torch.allclose(getattr(mine, name), getattr(exact, name))


def test_positions_from_vectors() -> None:
    given = lattice((5, 6), (3, 4), (7, 2))
    made = Positions.of(given.rows_t.tolist(), given.cols_t.numpy(), given.rows_r, given.cols_r)
    assert made.shape == (5, 6)
    assert made.step_t == pytest.approx(given.step_t) and made.step_r == pytest.approx(given.step_r)
    with pytest.raises(InputError, match="evenly spaced"):
        Positions.of([0, 1, 3], [0, 1])
    with pytest.raises(InputError, match="at least two"):
        Positions.of([0.0], [0, 1])
    with pytest.raises(InputError, match="5 rows and 6 columns in the target but 6 and 5"):
        Positions.of(range(5), range(6), range(6), range(5))
    with pytest.raises(InputError, match="for one axis"):
        Positions.of(range(5), range(6), range(5))


def ramp(rows, cols) -> torch.Tensor:
    """0.1 + 0.02·row + 0.03·column at positions, (1, 1, H, W)."""
    return (0.1 + 0.02 * rows[:, None] + 0.03 * cols)[None, None].float()


def image_of_ramp(shape) -> torch.Tensor:
    return ramp(*(torch.arange(n) for n in shape))


def test_sampling_reads_where_it_is_told() -> None:
    x = image_of_ramp((7, 9))
    rows, cols = torch.linspace(0.3, 5.9, 11, dtype=torch.float64), torch.linspace(7.7, 0.2, 5, dtype=torch.float64)
    assert close(reading.sample_linear(x, rows, cols), ramp(rows, cols), 1e-6)
    assert close(reading.sample_nearest(x, rows, cols), ramp((rows + 0.5).floor(), (cols + 0.5).floor()), 1e-6)
    outside = torch.tensor([-2.0, 20.0], dtype=torch.float64)
    assert close(reading.sample_linear(x, outside, outside), x[:, :, [0, -1]][..., [0, -1]], 0)


class Passing(torch.nn.Module):
    """An encoder that hands the image on as the first of `features` channels."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.features = features

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([(x + 1) / 2, x.new_zeros(len(x), self.features - 1, *x.shape[2:])], dim=1)


@torch.no_grad()
def interpolating_dual_arbnet():
    """A Dual-ArbNet whose weights make it interpolate: output = (target + 1)/2, with_reference → reference sampled.

    One fusion layer passes the reference's first channel (its convolutions are zero, CBAM's gates ½·½), the query is 1.
    """
    net = tiny("dual-arbnet", fusion_layers=1, alignment="bilinear", skip="linear")
    g = net.spec.features
    for parameter in net.parameters():
        parameter.zero_()
    net.encoder = Passing(g)
    net.fuse_in.weight[g, g, 1, 1] = 1.0  # reference channel 0 → first channel of the reference's half
    net.query[0].bias.fill_(math.pi / 2)
    net.last.weight[0, 0] = 1 / 1.25
    for layer in net.skip_target:
        if isinstance(layer, torch.nn.Conv2d):
            layer.weight[0, 0, layer.kernel_size[0] // 2, layer.kernel_size[1] // 2] = 1.0
    return net


@pytest.mark.parametrize("shape", [(16, 20), (17, 15), (13, 22)])
def test_dual_arbnet_output_follows_the_positions(shape) -> None:
    net = interpolating_dual_arbnet()
    p = lattice(shape, (8, 9), (11, 30))
    p = p.crop((slice(2, -3), slice(2, -3)))  # inside both images
    image, mirrored = net(image_of_ramp((8, 9)), image_of_ramp((11, 30)), p, with_reference=True)
    assert close(2 * image - 1, ramp(*p.in_target), 1e-5)
    assert close(2 * mirrored - 1, ramp(*p.in_reference), 1e-5)


@torch.no_grad()
def test_dinet_output_follows_the_positions() -> None:
    net = tiny("dinet")
    torch.nn.init.zeros_(net.mlp[-1].weight)
    torch.nn.init.zeros_(net.mlp[-1].bias)
    p = lattice((17, 20), (8, 9), (6, 5)).crop((slice(2, -3), slice(2, -3)))
    assert close(net(image_of_ramp((8, 9)), torch.rand(1, 1, 6, 5), p), ramp(*p.in_target), 1e-5)


@torch.no_grad()
def test_attention_moves_with_its_images() -> None:
    net = DualBranchAttention(4, 6, waves=True, blend=True)
    p = lattice((12, 14), (7, 7), (12, 14))
    maps = net.maps(torch.rand(1, 4, 7, 7), torch.rand(1, 4, 12, 14))
    cut = [maps.coefficient[..., 2:, 1:], maps.frequency[..., 2:, 1:]]
    cut += [maps.reference_value[..., 3:, 2:], maps.reference_frequency[..., 3:, 2:]]
    moved = Positions(p.rows_t - 2, p.cols_t - 1, p.step_t, p.rows_r - 3, p.cols_r - 2, p.step_r)
    (whole,), (part,) = net(maps, p), net(type(maps)(*cut), moved)
    for a, b in ((whole.target, part.target), (whole.reference, part.reference)):
        assert close(a[..., 5:, 4:], b[..., 5:, 4:], 1e-5)


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
    assert tiny("minet", in_channels=2)(torch.rand(1, 2, 5, 4), torch.rand(1, 2, 10, 8)).shape == (1, 2, 10, 8)


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("changes", [{}, {"gamma": False, "last_stage": False, "fusion_skip": False}])
@torch.no_grad()
def test_minet_sizes(scale, changes) -> None:
    net = tiny("minet", scale=scale, **changes)
    x, y = torch.rand(2, 1, 5, 4), torch.rand(2, 1, 5 * scale, 4 * scale)
    for other in (y, None):
        image = net(x, other)
        assert image.shape == y.shape and image.isfinite().all()
    assert net.reconstruct_reference(net.encode_reference(y)).shape == y.shape


@pytest.mark.parametrize("changes", [{"integration": False}, {"attention": False}])
@torch.no_grad()
def test_minet_ablations(changes) -> None:
    net = tiny("minet", **changes)
    assert count(net) < count(tiny("minet"))
    assert net(torch.rand(1, 1, 4, 5), torch.rand(1, 1, 8, 10)).shape == (1, 1, 8, 10)


@pytest.mark.parametrize("network", TINY)
@torch.no_grad()
def test_no_reference_is_a_path_of_its_own(network) -> None:
    net = stirred(tiny(network))
    if network == "minet":
        x, y, rest = torch.rand(1, 1, 5, 4), torch.rand(1, 1, 10, 8), ()
    else:
        x, y, p = case(batch=1)
        rest = (p,)
    alone = net(x, None, *rest)
    # neither a black nor a grey reference, and no parameter that only the reference uses
    for value in (0.0, 0.5):
        assert not close(alone, net(x, torch.full_like(y, value), *rest))
    for name, parameter in net.named_parameters():
        if "reference" in name:
            parameter.fill_(float("nan"))
    assert close(alone, net(x, None, *rest), 0)
    if network != "minet":
        assert close(alone, net(x, None, Positions(p.rows_t, p.cols_t, p.step_t)), 0)


def loss_of_everything(net) -> torch.Tensor:
    """A loss on all that the network returns: image, image without reference, reconstructed reference."""
    if net.spec.network == "minet":
        x, y = torch.rand(1, 1, 6, 5), torch.rand(1, 1, 12, 10)
        image, mirrored = net(x, y), net.reconstruct_reference(net.encode_reference(y))
    else:
        x, y, p = case()
        if net.spec.network == "dual-arbnet":
            image, mirrored = net(x, y, p, with_reference=True)
        else:
            image, mirrored = net(x, y, p), net.reconstruct_reference(net.encode_reference(y))
    return image.square().sum() + mirrored.square().sum()


@pytest.mark.parametrize(
    ("network", "changes"),
    [v for v in VARIANTS if "with_scale" not in v[1]] + [("minet", {}), ("minet", {"gamma": False})],
)
def test_gradients_reach_every_parameter(network, changes) -> None:
    net = stirred(tiny(network, **changes))
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
    for network in TINY:
        net = tiny(network)
        args = (torch.rand(2, 1, 6, 6), torch.rand(2, 1, 12, 12))
        args += () if network == "minet" else (lattice((12, 12), (6, 6), (12, 12)),)
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


@pytest.mark.parametrize("network", TINY)
@torch.no_grad()
def test_deterministic(network) -> None:
    results = []
    for _ in range(2):
        torch.manual_seed(3)
        net = tiny(network)
        x, y, p = case((10, 8), (5, 4), (10, 8))
        results.append(net(x, y) if network == "minet" else net(x, y, p))
    assert torch.equal(*results)


def test_errors_say_what_is_missing() -> None:
    x, y, p = case()
    for network in ARBITRARY:
        with pytest.raises(InputError, match="pass rows_r and cols_r"):
            tiny(network)(x, y, Positions(p.rows_t, p.cols_t, p.step_t))
        with pytest.raises(InputError, match="pass `base`"):
            tiny(network, base="sinc")(x, y, p)


# ------------------------------------------------------------------ base images


@pytest.mark.parametrize(("network", "changes"), [*VARIANTS[:3], ("dinet", {}), ("minet", {})])
def test_an_untrained_network_returns_its_base_and_learns_from_it(network, changes) -> None:
    net = tiny(network, base="guided", **changes)
    x, y, p = case((14, 10), (7, 5), (14, 10))
    base = torch.rand(2, 1, 14, 10)
    rest = () if network == "minet" else (p,)
    assert close(net(x, y, *rest, base=base), base, 1e-6)
    assert close(net(x, None, *rest, base=base), base, 1e-6)
    stirred(net)(x, y, *rest, base=base).sum().backward()
    assert net.correction.head.weight.grad.abs().max() > 0


# ------------------------------------------------------------------ tiles

TILED = [*VARIANTS, ("dual-arbnet", {"base": "sinc"}), ("dinet", {"base": "sinc"})]
WINDOWS = [
    (slice(0, 9), slice(0, 7)),
    (slice(20, 23), slice(11, 30)),
    (slice(38, 45), slice(25, 42)),
    (slice(17, 18), slice(0, 42)),
]


@pytest.mark.parametrize(
    ("network", "changes"), [*VARIANTS, ("dual-arbnet", {"base": "sinc"}), ("dinet", {"base": "sinc"})]
)
@pytest.mark.parametrize("with_reference", [True, False])
@torch.no_grad()
def test_tile_equals_crop_of_the_whole(network, changes, with_reference) -> None:
    net = stirred(tiny(network, **changes))
    x, y, p = case((45, 42), (17, 20), (31, 45), batch=1)
    base = torch.rand(1, 1, 45, 42) if net.spec.base != "none" else None
    a, b = net.encode_target(x), net.encode_reference(y) if with_reference else None
    whole = net(x, y if with_reference else None, p, base=base)
    statistics = net.measure(a, b, p, base)
    assert close(net.decode(a, b, p, base=base, statistics=statistics), whole, 1e-5)
    for window in WINDOWS:
        tile = net.decode(a, b, p, base=base, window=window, statistics=statistics)
        assert close(tile, whole[(..., *window)], 1e-5)
    assert close(net.decode(a, b, p, base=base, window=WINDOWS[0]), whole[(..., *WINDOWS[0])], 1e-5)


@pytest.mark.parametrize("network", ARBITRARY)
@torch.no_grad()
def test_tile_needs_its_statistics(network) -> None:
    """Without the whole slice's statistics a tile comes out otherwise: the test above can fail."""
    net = stirred(tiny(network))
    x, y, p = case((45, 42), (17, 20), (31, 45), batch=1)
    window = WINDOWS[1]
    outer, inner = reading.widen(window, net.halo, p.shape)
    assert not close(net(x, y, p.crop(outer))[(..., *inner)], net(x, y, p)[(..., *window)], 1e-4)


@torch.no_grad()
def test_a_zoomed_tile_continues_the_lattice_it_was_measured_on() -> None:
    net = stirred(tiny("dinet"))
    x, y, p = case((24, 20), (12, 10), (24, 20), batch=1)
    a, b = net.encode_target(x), net.encode_reference(y)
    statistics = net.measure(a, b, p)
    zoomed = lattice((96, 80), (12, 10), (24, 20))
    gates = statistics.gates[0].at(p, zoomed)
    assert gates.rows.shape[-1] == 96 and close(gates.rows[..., ::4], statistics.gates[0].rows, 1e-6)
    window = (slice(30, 50), slice(20, 44))
    tile = net.decode(a, b, zoomed, window=window, statistics=statistics)
    whole = net.decode(a, b, zoomed, statistics=statistics)
    assert close(tile, whole[(..., *window)], 1e-4)


# ------------------------------------------------------------------ the papers' equations, written out

NO_TIES = Positions.regular((15, 13), ((0.46, -0.12), (0.37, 0.11)), ((0.59, 0.07), (0.83, -0.21)))


@pytest.mark.parametrize("alignment", ["nearest", "bilinear"])
@pytest.mark.parametrize(("modulation", "skip"), [("code", "code"), ("code", "linear"), ("paper", "paper")])
@torch.no_grad()
def test_dual_arbnet_equals_its_plain_form(alignment, modulation, skip) -> None:
    net = stirred(tiny("dual-arbnet", alignment=alignment, modulation=modulation, skip=skip))
    x, y, _ = case((15, 13), (7, 5), (9, 11))
    image, mirrored = net(x, y, NO_TIES, with_reference=True)
    expected = plain_networks.dual_arbnet(plain_networks.Weights(net), x, y, NO_TIES)
    assert close(image, expected[0]) and close(mirrored, expected[1])


def test_dinet_equals_its_plain_form() -> None:
    net = stirred(tiny("dinet"))
    x, y, _ = case((15, 13), (7, 5), (9, 11))
    with torch.no_grad():
        assert close(net(x, y, NO_TIES), plain_networks.plain(net, x, y, NO_TIES))


@pytest.mark.parametrize("changes", [{}, {"scale": 4, "gamma": False, "fusion_skip": False, "last_stage": False}])
@torch.no_grad()
def test_minet_equals_its_plain_form(changes) -> None:
    net = stirred(tiny("minet", **changes))
    x, p = torch.rand(2, 1, 5, 4), net.positions((5, 4))
    y = torch.rand(2, 1, *p.shape)
    assert close(net(x, y), plain_networks.plain(net, x, y, p))


@pytest.mark.parametrize("network", TINY)
def test_layout_in_memory_changes_nothing(network) -> None:
    """Without gradients channels lie last in memory, with gradients first; the tests above see the former only."""
    net = stirred(tiny(network))
    x, y, p = case((10, 8), (5, 4), (10, 8))
    rest = () if network == "minet" else (p,)
    orders = []
    for module in net.modules():
        if isinstance(module, (DenseBlock, RCAB)):
            module.register_forward_hook(lambda _, given, __: orders.append(given[0].is_contiguous()))
    first = net(x, y, *rest)
    assert orders and all(orders)
    orders.clear()
    with torch.no_grad():
        assert close(net(x, y, *rest), first.detach(), 1e-5)
    assert orders and not any(orders)


@pytest.mark.parametrize("blend", [True, False])
@torch.no_grad()
def test_attention_equals_its_plain_form(blend) -> None:
    net = DualBranchAttention(4, 6, waves=True, blend=blend)
    maps = net.maps(torch.randn(1, 4, 6, 7), torch.randn(1, 4, 10, 5))
    p = lattice((13, 12), (6, 7), (10, 5))
    rows, cols = torch.meshgrid(*(v.float() for v in p.in_target), indexing="ij")
    frequency, value = (
        plain_networks.read(m, *p.in_reference, "bilinear") for m in (maps.reference_frequency, maps.reference_value)
    )
    phase = net.phase(torch.tensor(p.step_t))
    features, weights = [], []
    for down in (0, 1):
        for right in (0, 1):
            r, c = rows.floor() + down, cols.floor() + right
            weights.append((1 - (rows - r).abs()) * (1 - (cols - c).abs()))
            r, c = r.clamp(0, 5), c.clamp(0, 6)
            coefficient, own = (m[..., r.long(), c.long()] for m in (maps.coefficient, maps.frequency))
            pair = []
            for v, k in ((coefficient, own), (value, frequency)):
                f = k[:, ::2] * (rows - r) + k[:, 1::2] * (cols - c) + phase[:, None, None]
                pair.append(v * torch.cat([(math.pi * f).cos(), (math.pi * f).sin()], dim=1))
            features.append(pair)
    assert torch.allclose(sum(weights), torch.ones(13, 12))
    found = net(maps, p)
    for branch, name in enumerate(("target", "reference")):
        expected = sum(w * pair[branch] for w, pair in zip(weights, features, strict=True))
        assert close(sum(f.weight * getattr(f, name) for f in found), expected)


@torch.no_grad()
def test_matching_equals_global_matching_when_its_window_covers_the_image() -> None:
    target, reference = torch.randn(2, 3, 6, 5), torch.randn(2, 3, 6, 5)
    patches = [F.unfold(x, 3, padding=1) for x in (target, reference)]
    similarity, best = (F.normalize(patches[1], dim=1).transpose(1, 2) @ F.normalize(patches[0], dim=1)).max(dim=1)
    found, present = (
        F.fold(F.unfold(x, 3, padding=1).gather(2, best[:, None].expand(-1, 9 * x.shape[1], -1)), (6, 5), 3, padding=1)
        for x in (reference, torch.ones(2, 1, 6, 5))
    )
    mine, score = transfer(target, reference, 6)
    assert close(mine, found / present, 1e-5)
    assert close(score, similarity.view(2, 1, 6, 5), 1e-5)


@torch.no_grad()
def test_matching_finds_a_moved_image() -> None:
    image = torch.randn(1, 4, 16, 16)
    transferred, score = transfer(image, image.roll((2, -1), (2, 3)), 3)
    inside = (..., slice(5, -5), slice(5, -5))
    assert close(transferred[inside], image[inside], 1e-5) and (score[inside] > 0.999).all()
    # out of reach
    assert not close(transfer(image, image.roll((2, -1), (2, 3)), 1)[0][inside], image[inside], 0.1)


@torch.no_grad()
def test_integration_is_its_equation() -> None:
    maps = torch.randn(1, 3, 2, 4, 5)
    affinity = torch.tensor([[float((maps[0, i] * maps[0, j]).mean()) for j in range(3)] for i in range(3)]).softmax(1)
    expected = maps[0] + torch.einsum("ij,jchw->ichw", affinity, maps[0])
    assert close(Integration(gamma=False)(maps)[0], expected, 1e-5)
    assert close(Integration(gamma=True)(maps), maps, 0)  # γ starts at 0


@torch.no_grad()
def test_residual_group_is_its_equation() -> None:
    group = ResidualGroup(32, 1)
    x, block = torch.randn(1, 32, 5, 6), group.blocks[0]
    y = block.conv2(block.conv1(x).relu())
    pooled = y.mean((2, 3), keepdim=True)
    gate = block.attention.excite(block.attention.squeeze(pooled).relu()).sigmoid()
    assert block.attention.squeeze.out_channels == 2  # ratio 16
    assert close(group(x), group.conv(y * gate + x) + x, 1e-5)
