"""The local regression: one implementation for volumes in numpy and for slices in torch."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from phantoms import pair

torch = pytest.importorskip("torch", reason="Slices are tensors, and torch is not installed here.")

import MultiContrastSRLib as mc  # noqa: E402
from MultiContrastSRLib.acquisition.axis import AxisModel  # noqa: E402
from MultiContrastSRLib.acquisition.slices import SliceAcquisition  # noqa: E402
from MultiContrastSRLib.guided.level import Level  # noqa: E402
from MultiContrastSRLib.guided.regression import learn, transfer, try_candidates  # noqa: E402
from MultiContrastSRLib.guided.slices import guided  # noqa: E402
from MultiContrastSRLib.guided.volumes import GuidedVolume  # noqa: E402

SHAPE = (3, 60, 72)


@pytest.fixture
def scene():
    """(level of slices, acquired target, reference): the first slice with a related reference, the last with noise."""
    truth, reference = (v.array.copy() for v in pair(SHAPE))
    reference[-1] = np.random.default_rng(0).normal(100, 30, SHAPE[1:])
    axes = (AxisModel("slab", 1, 1.0, 1.0), AxisModel("kspace", 30, 2.0), AxisModel("kspace", 24, 3.0))
    level = Level(axes, (1, *SHAPE[1:]), (False, True, True), per_slice=True)
    return level, level.acquire(truth), reference


def added(level, target, reference):
    return transfer(level, learn(level, target, reference), target, reference)


def test_numpy_and_torch_agree(scene):
    level, target, reference = scene
    expected = added(level, target, reference)
    found = added(level, torch.from_numpy(target), torch.from_numpy(reference)).numpy()
    assert np.abs(expected[0]).max() > 0.05 * np.ptp(target)
    assert np.abs(found - expected).max() < 1e-5 * np.ptp(target)


def test_slices_have_their_own_statistics(scene):
    level, target, reference = scene
    together = added(level, target, reference)
    for number in range(len(target)):
        alone = slice(number, number + 1)
        assert np.allclose(together[alone], added(level, target[alone], reference[alone]), atol=1e-4)
        # a single slice is also a volume
        volume = added(replace(level, per_slice=False), target[alone], reference[alone])
        assert np.allclose(together[alone], volume, atol=1e-4)


@pytest.mark.parametrize("value", [0.0, 7.3, -50.3])
def test_nothing_is_taken_from_a_constant_slice(scene, value):
    level, target, reference = scene
    reference[1] = value
    detail = added(level, target, reference)
    assert np.abs(detail[1]).max() < 1e-6 * np.ptp(target) < np.abs(detail[0]).max()
    explained = try_candidates(level, target, level.acquire(reference)).explained
    assert explained[0] > 0.3 and explained[1] < 1e-6 and explained[2] < 0.1


def test_nothing_is_added_where_no_slice_is_helped(scene):
    level, target, reference = scene
    model = learn(level, target, np.zeros_like(reference))
    assert not model.helps and not transfer(level, model, target, reference).any()


@pytest.mark.slow
def test_invalid_intensities_of_one_slice_leave_the_others_alone(scene):
    _, _, reference = scene
    acquisition = SliceAcquisition.of(SHAPE[1:], (2.0, 3.0))
    low = acquisition.forward(torch.from_numpy(pair(SHAPE)[0].array.copy()))
    broken = torch.from_numpy(reference.copy())
    broken[1] = torch.nan
    found, expected = (guided(acquisition, low, r) for r in (broken, torch.from_numpy(reference)))
    assert torch.equal(found[[0, 2]], expected[[0, 2]])


@pytest.mark.slow
def test_gradients_reach_target_and_reference(scene):
    _, _, reference = scene
    acquisition = SliceAcquisition.of(SHAPE[1:], (2.0, 3.0))
    low = acquisition.forward(torch.from_numpy(pair(SHAPE)[0].array.copy())).requires_grad_()
    seen = torch.from_numpy(reference)
    seen[1] = 0.0  # of deviation 0
    seen.requires_grad_()
    guided(acquisition, low, seen).square().mean().backward()
    assert low.grad.isfinite().all() and seen.grad.isfinite().all() and seen.grad[0].abs().sum() > 0


def test_no_detail_is_taken_at_the_border_of_the_references_field_of_view():
    truth, reference = pair((4, 96, 88))
    half = mc.Volume(reference.array[:, :, :44], reference.affine, "T1")
    low = mc.degrade(truth, "kspace", 2)
    image = GuidedVolume(low, half, (False, True, True))
    without = GuidedVolume(low, half, (False, True, True), strength=0.0)
    detail = np.abs(image.part(slice(None)) - without.part(slice(None)))
    assert image.helps and detail[:, :, :36].max() > 0.1 * np.ptp(truth.array)
    # the border is at column 44, and the smallest window reaches two acquired pixels, that is, four columns
    assert detail[:, :, 41:].max() < 0.15 * detail[:, :, :36].max()
