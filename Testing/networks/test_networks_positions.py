"""Positions: where the networks sample their images and where their output lies."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch", reason="The networks need torch, which is not installed here.")

from network_fixtures import close, lattice, perturbed, tiny  # noqa: E402

from MultiContrastSRLib.core.errors import InputError  # noqa: E402
from MultiContrastSRLib.networks import positions as reading  # noqa: E402
from MultiContrastSRLib.networks.dinet.attention import DualBranchAttention  # noqa: E402
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
    mine, exact = net.lattice((6, 10)), lattice((24, 40), (6, 10), (24, 40))
    for name in ("rows_t", "cols_t", "rows_r", "cols_r"):
        assert torch.allclose(getattr(mine, name), getattr(exact, name))


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
    """A Dual-ArbNet whose weights make it interpolate: the images of both are (image + 1)/2, sampled.

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
    codes = net.encode_target(image_of_ramp((8, 9))), net.encode_reference(image_of_ramp((11, 30)))
    image, mirrored = net.decode_both(*codes, p)
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
    net = DualBranchAttention(4, 6, basis=True, blend=True)
    p = lattice((12, 14), (7, 7), (12, 14))
    maps = net.maps(torch.rand(1, 4, 7, 7), torch.rand(1, 4, 12, 14))
    cut = [maps.coefficient[..., 2:, 1:], maps.frequency[..., 2:, 1:]]
    cut += [maps.reference_value[..., 3:, 2:], maps.reference_frequency[..., 3:, 2:]]
    moved = Positions(p.rows_t - 2, p.cols_t - 1, p.step_t, p.rows_r - 3, p.cols_r - 2, p.step_r)
    (whole,), (part,) = net(maps, p), net(type(maps)(*cut), moved)
    for a, b in ((whole.target, part.target), (whole.reference, part.reference)):
        assert close(a[..., 5:, 4:], b[..., 5:, 4:], 1e-5)


@pytest.mark.parametrize("reference", ["given", "none"])
@torch.no_grad()
def test_minet_shifts_images_to_its_own_lattice_and_back(reference) -> None:
    """In k-space the centres coincide: for odd sizes the output begins a pixel before the target."""
    net = perturbed(tiny("minet", base="guided"))
    x, base = torch.rand(1, 1, 15, 13), torch.rand(1, 1, 30, 26)
    y = torch.rand(1, 1, 30, 26) if reference == "given" else None
    p = lattice((30, 26), (15, 13), (30, 26))
    assert float(p.rows_t[0]) == -0.5 and float(p.cols_t[0]) == -0.5
    moved = [None if image is None else image.roll((-1, -1), (-2, -1)) for image in (y, base)]
    expected = net(x, moved[0], net.lattice((15, 13)), base=moved[1]).roll((1, 1), (-2, -1))
    inner = (..., slice(6, -6), slice(6, -6))  # at the borders the limit knows other neighbours
    assert close(net(x, y, p, base=base)[inner], expected[inner], 1e-6)
    assert not close(net(x, y, net.lattice((15, 13)), base=base)[inner], expected[inner], 1e-3)


def test_minet_refuses_other_scales() -> None:
    with pytest.raises(InputError, match="Positions are 15×10 pixels; expected 14×10: the scale is fixed to 2"):
        tiny("minet")(torch.rand(1, 1, 7, 5), None, lattice((15, 10), (7, 5)))
