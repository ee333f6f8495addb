"""The networks' modules equal the papers' equations, written out."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch", reason="The networks need torch, which is not installed here.")
F = torch.nn.functional

import plain_networks  # noqa: E402
from network_fixtures import PAPERS, case, close, lattice, perturbed, tiny  # noqa: E402

from MultiContrastSRLib.networks.dinet.attention import DualBranchAttention  # noqa: E402
from MultiContrastSRLib.networks.dinet.matching import transfer  # noqa: E402
from MultiContrastSRLib.networks.layers import RCAB, DenseBlock, ResidualGroup  # noqa: E402
from MultiContrastSRLib.networks.minet.network import Integration  # noqa: E402
from MultiContrastSRLib.networks.positions import Positions  # noqa: E402

pytestmark = pytest.mark.usefixtures("seeded")

NO_TIES = Positions.regular((15, 13), ((0.46, -0.12), (0.37, 0.11)), ((0.59, 0.07), (0.83, -0.21)))


@pytest.mark.parametrize("alignment", ["nearest", "bilinear"])
@pytest.mark.parametrize(("modulation", "skip"), [("code", "code"), ("code", "linear"), ("paper", "paper")])
@torch.no_grad()
def test_dual_arbnet_equals_its_plain_form(alignment, modulation, skip) -> None:
    net = perturbed(tiny("dual-arbnet", alignment=alignment, modulation=modulation, skip=skip))
    x, y, _ = case((15, 13), (7, 5), (9, 11))
    image, mirrored = net.decode_both(net.encode_target(x), net.encode_reference(y), NO_TIES)
    expected = plain_networks.dual_arbnet(plain_networks.Weights(net), x, y, NO_TIES)
    assert close(image, expected[0]) and close(mirrored, expected[1])


def test_dinet_equals_its_plain_form() -> None:
    net = perturbed(tiny("dinet"))
    x, y, _ = case((15, 13), (7, 5), (9, 11))
    with torch.no_grad():
        assert close(net(x, y, NO_TIES), plain_networks.plain(net, x, y, NO_TIES))


@pytest.mark.parametrize("changes", [{}, {"scale": 4, "gamma": False, "fusion_skip": False, "last_stage": False}])
@torch.no_grad()
def test_minet_equals_its_plain_form(changes) -> None:
    net = perturbed(tiny("minet", **changes))
    x, p = torch.rand(2, 1, 5, 4), net.lattice((5, 4))
    y = torch.rand(2, 1, *p.shape)
    assert close(net(x, y, p), plain_networks.plain(net, x, y, p))


@pytest.mark.parametrize("network", PAPERS)
def test_layout_in_memory_changes_nothing(network) -> None:
    """Without gradients channels lie last in memory, with gradients first; the tests above see the former only."""
    net = perturbed(tiny(network))
    x, y, p = case((10, 8), (5, 4), (10, 8))
    orders = []
    for module in net.modules():
        if isinstance(module, (DenseBlock, RCAB)):
            module.register_forward_hook(lambda _, given, __: orders.append(given[0].is_contiguous()))
    first = net(x, y, p)
    assert orders and all(orders)
    orders.clear()
    with torch.no_grad():
        assert close(net(x, y, p), first.detach(), 1e-5)
    assert orders and not any(orders)


@pytest.mark.parametrize("blend", [True, False])
@torch.no_grad()
def test_attention_equals_its_plain_form(blend) -> None:
    net = DualBranchAttention(4, 6, basis=True, blend=blend)
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
