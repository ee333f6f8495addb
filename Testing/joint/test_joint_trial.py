"""A trial on the scan itself weighs the detail that joint reconstruction adds to the interpolated scan."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from subject_fixtures import decibel

import MultiContrastSRLib as mc
from MultiContrastSRLib import Volume
from MultiContrastSRLib.acquisition.model import AcquisitionModel
from MultiContrastSRLib.methods import get

torch = pytest.importorskip("torch", reason="Joint total variation needs torch, which is not installed here.")

from MultiContrastSRLib.joint import trial  # noqa: E402
from MultiContrastSRLib.joint.trial import detail_weights  # noqa: E402
from MultiContrastSRLib.joint.volumes import joint_images  # noqa: E402

SCENE = ((28, 32, 24), 29, 8)
METHODS = ("joint-tv", "joint-nonlocal")


def texture(seed: int) -> Volume:
    """An image without edges and without anything in common with that of another seed."""
    noise = np.random.default_rng(seed).normal(size=(28, 32, 24))
    array = ndimage.gaussian_filter(noise, 1.3, mode="wrap")
    return Volume(100 + 40 * array / array.std(), np.diag([1.0, 1.0, 1.0, 1.0]), f"texture {seed}")


def fit(target, reference, grid, method):
    return mc.prepare(target, reference, method, register="off", grid=grid, device="cpu")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("alone", [True, False])
def test_where_it_loses_it_is_weighted_down_and_says_so(method, alone):
    truth = texture(0)
    low = mc.degrade(truth, "slab", 4, axis="i")
    reference = None if alone else mc.degrade(texture(1), "slab", 4, axis="j")
    image = get(method).prepare(low, reference, refine=(False, True, True))
    spline = decibel(fit(low, None, truth.grid, "bspline").render(truth.grid), truth)
    assert decibel(image.render(truth.grid), truth) > spline - 0.1
    (sentence,) = image.warnings
    assert sentence.startswith(f"In a trial on the target itself {get(method).label.lower()} was worse than interpol")


def test_the_companion_has_a_trial_of_its_own(views, truths):
    smooth = Volume(texture(0).array, truths[0].affine, "T1")
    low = mc.degrade(smooth, "slab", 4, axis="j")
    image = get("joint-tv").prepare(views[0], low, refine=(False, True, True))
    assert any("In a trial on the reference itself joint total variation was worse" in note for note in image.notes)
    spline = fit(low, None, smooth.grid, "bspline").render(smooth.grid)
    assert decibel(image.companion.render(smooth.grid), smooth) > decibel(spline, smooth) - 0.1


@pytest.mark.parametrize("method", METHODS)
def test_a_clear_gain_stays_bit_for_bit(views, truths, method):
    run = fit(*views, truths[0].grid, method)
    lattice = AcquisitionModel.estimate(views[0]).lattice(truths[0].shape)
    rounds = {"joint-tv": 0, "joint-nonlocal": 4}[method]
    plain, *_ = joint_images([[view] for view in views], lattice, rounds=rounds)
    assert np.array_equal(run.companion.lattice_array(), plain[1])
    assert not any("trial" in sentence for sentence in (*run.warnings, *run.notes))


def test_a_second_run_says_the_same():
    low = mc.degrade(texture(0), "slab", 4, axis="i")
    first, second = (fit(low, None, texture(0).grid, "joint-tv") for _ in range(2))
    assert first.warnings == second.warnings and any("trial" in sentence for sentence in first.warnings)


@pytest.mark.parametrize("weights", [(0.0, 1.0), (0.4, 0.7)])
def test_weights_leave_what_the_scans_measured(views, truths, weights):
    lattice = AcquisitionModel.estimate(views[0]).lattice(truths[0].shape)
    scans = [[view] for view in views]
    full, weighted, none = (joint_images(scans, lattice, iterations=8, weights=w)[0] for w in ((), weights, (0.0, 0.0)))
    for number, (view, axis) in enumerate(zip(views, "ij", strict=True)):
        expected = weights[number] * full[number] + (1 - weights[number]) * none[number]
        assert np.abs(weighted[number] - expected).max() < 1e-4 * np.ptp(view.array)
        assert np.abs(full[number] - none[number]).max() > 0.05 * np.ptp(view.array)
        seen = [
            mc.degrade(Volume(image, truths[0].affine), "slab", 4, axis=axis).array
            for image in (full[number], weighted[number])
        ]
        assert np.abs(seen[0] - seen[1]).max() < 1e-3 * np.ptp(view.array)


def test_there_is_no_trial_where_nothing_is_refined_or_few_samples_are_left(truths):
    grid = truths[0].grid
    assert detail_weights(truths, grid) == [1.0, 1.0]
    low = mc.degrade(truths[0], "slab", 8, axis="i")
    thin = Volume(low.array[..., :2], low.affine, "T2")
    assert detail_weights([thin], AcquisitionModel.estimate(thin).lattice((*grid.shape[:2], 16))) == [1.0]
    flat = Volume(np.full(low.shape, 7.0), low.affine, "T2")
    assert detail_weights([flat], AcquisitionModel.estimate(flat).lattice(grid.shape)) == [1.0]


@pytest.mark.parametrize("kind", ["slab", "kspace"])
@pytest.mark.parametrize("size", [7, 9, 12])
def test_the_degraded_block_lies_in_place(kind, size):
    fine = texture(2)
    truth = Volume(fine.array[:, :, : 2 * size], fine.affine)
    scan = mc.degrade(truth, kind, 2, axis="i")
    lattice = AcquisitionModel.estimate(scan).lattice((*scan.shape[:2], 2 * scan.shape[2]))
    axes = trial._coarser_axes(scan, lattice)
    block = trial._block(scan, axes, 0.2 * scan.grid.size, scan.grid.center)
    low = trial._acquired(block, axes)
    assert block.shape[2] == scan.shape[2] and block.grid.size < scan.grid.size
    assert low.shape == (*block.shape[:2], int(scan.shape[2] / 2 + 0.5))
    placed = AcquisitionModel.estimate(low).lattice(block.shape)
    assert np.allclose(placed.affine, block.affine, atol=1e-9)
    # a smooth scene is recorded at the same places
    ramp = Volume(np.broadcast_to(np.cos(np.arange(block.shape[2]) / 9), block.shape), block.affine)
    recorded = trial._acquired(ramp, axes)
    index = recorded.grid.positions(np.indices(recorded.shape).reshape(3, -1).T)
    along = block.grid.indices(index)[:, 2].reshape(recorded.shape)
    assert kind == "kspace" or np.abs(recorded.array - np.cos(along / 9)).max() < 0.02
