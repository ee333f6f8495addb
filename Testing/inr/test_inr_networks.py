"""The coordinate networks: published sizes, encodings, slice profiles, one transform for all scans."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from inr_fixtures import CUBE, PLAIN, lattice_of, plain
from subject_fixtures import decibel

import MultiContrastSRLib as mc
from MultiContrastSRLib import Volume

torch = pytest.importorskip("torch", reason="The subject-specific network needs torch, which is not installed here.")

from MultiContrastSRLib.inr import networks  # noqa: E402
from MultiContrastSRLib.inr.presets import PRESETS, Architecture, Settings  # noqa: E402
from MultiContrastSRLib.inr.samples import profile  # noqa: E402

pytestmark = pytest.mark.usefixtures("no_earlier_fits")


@pytest.mark.parametrize(
    ("variant", "count"), [("split-head", 5_774_338), ("vanilla", 4_725_762), ("single-contrast", 9_449_474)]
)
def test_the_published_networks_have_their_size(variant, count):
    network = networks.build(Settings(PRESETS["paper"], variant).architecture(2))
    assert networks.parameter_count(network) == count
    assert network(torch.zeros(3, 3)).shape == (3, 2)


def test_fourier_features_are_those_of_the_paper():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        encoding = networks.Fourier(256, 4.0)
    assert encoding.size == 512 and float(encoding.frequencies.std()) == pytest.approx(4.0, rel=0.1)
    x = torch.tensor([[0.3, -0.2, 0.1]])
    turns = 2 * np.pi * (encoding.frequencies @ x[0])
    assert torch.allclose(encoding(x)[0], torch.cat([turns.cos(), turns.sin()]), atol=1e-4)


def test_more_contrasts_have_a_head_each_and_separate_networks_share_nothing():
    assert networks.build(Architecture(width=16, frequencies=8, contrasts=3))(torch.zeros(2, 3)).shape == (2, 3)
    network = networks.build(Architecture(variant="single-contrast", width=16, frequencies=8))
    network(torch.rand(5, 3))[:, 0].sum().backward()
    gradients = [[p.grad for p in part.parameters()] for part in network.networks]
    assert any(g.any() for g in gradients[0]) and not any(g is not None and g.any() for g in gradients[1])


def test_grids_open_from_coarse_to_fine():
    plan = Architecture("grid", width=8, depth=1, levels=(8.0, 4.0, 2.0), features=2)
    network = networks.build(plan, (16.0, 12.0, 8.0), 16.0)
    x = torch.rand(7, 3) - 0.5
    networks.set_active_levels(network, 0.0)
    assert float(network.encoding(x)[:, 2:].detach().abs().max()) == 0.0
    networks.set_active_levels(network, 1.0)
    assert float(network.encoding(x).detach().abs().amin(dim=0).max()) > 0
    # nodes lie where they should: a level that is linear in x is read as such, over the box's whole length
    level = network.encoding.levels[2]
    with torch.no_grad():
        level[:] = torch.linspace(-1, 1, level.shape[-1])
    positions = torch.tensor([[-1.0, 0, 0], [-0.25, 0.3, 0.1], [1.0, 0, 0]])
    assert torch.allclose(network.encoding(positions)[:, 4], positions[:, 0], atol=1e-5)


def test_profiles_fill_the_slab(views):
    points = profile(views[0], views[0].grid, (1.0, 1.0, 1.0))
    along = points @ (normal := views[0].affine[:3, 0] / 4)
    assert len(points) == 4 and np.allclose(np.sort(along), [-1.5, -0.5, 0.5, 1.5])
    assert np.allclose(points, along[:, None] * normal)
    sampled = mc.degrade(Volume(np.ones(CUBE), np.eye(4)), "spline", 4, axis="i")  # point samples
    assert np.allclose(profile(sampled, sampled.grid, (1.0, 1.0, 1.0)), 0)


def test_the_networks_mean_over_a_slab_explains_the_slice(views, truths):
    lattice = lattice_of(views[0])
    errors, scores = {}, {}
    for slab in (True, False):
        done = plain(views, lattice, preset=replace(PLAIN, slab=slab, epochs=48, rate=2e-2))
        image = Volume(done.model.images(lattice)[0], lattice.affine)
        recorded = mc.degrade(image, "slab", 4, axis="i").array
        errors[slab] = np.sqrt(np.mean((recorded - views[0].array) ** 2)) / np.ptp(views[0].array)
        scores[slab] = decibel(image, truths[0])
        assert done.curve[-1].loss < 0.05 * done.curve[0].loss
    assert errors[True] < 0.035 < errors[False]
    assert scores[True] > scores[False] + 1.5


def test_one_transform_for_all_scans(views):
    done = plain(views, lattice_of(views[0]), preset=replace(PLAIN, epochs=1))
    corners = np.concatenate([v.grid.positions(np.array([[-0.5] * 3, np.array(v.shape) - 0.5])) for v in views])
    unit = np.abs(done.model.normalised(corners).numpy())
    assert unit.max() == pytest.approx(1.0, abs=1e-5)
    assert unit.max(axis=0) == pytest.approx(done.model.size / done.model.size.max(), abs=1e-5)
