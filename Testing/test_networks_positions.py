"""Where the networks read and write: positions in their images, tiles that are crops of the whole."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch", reason="The networks need torch, which is not installed here.")

from network_fixtures import ARBITRARY, VARIANTS, case, close, lattice, stirred, tiny  # noqa: E402

from MultiContrastSRLib.core.errors import InputError  # noqa: E402
from MultiContrastSRLib.networks import positions as reading  # noqa: E402
from MultiContrastSRLib.networks.attention import DualBranchAttention  # noqa: E402
from MultiContrastSRLib.networks.positions import Positions  # noqa: E402

pytestmark = pytest.mark.usefixtures("seeded")


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
