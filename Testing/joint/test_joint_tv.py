"""Joint total variation: a solver that descends, and images that gain from each other."""

from __future__ import annotations

import itertools
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from phantoms import affine, blob, centroid, pair, psnr, rotation
from subject_fixtures import channels_of, decibel, seconds_until_cancelled

import MultiContrastSRLib as mc
from MultiContrastSRLib import Grid, Volume
from MultiContrastSRLib.acquisition.model import AcquisitionModel

torch = pytest.importorskip("torch", reason="Joint total variation needs torch, which is not installed here.")

from MultiContrastSRLib.joint import volumes  # noqa: E402
from MultiContrastSRLib.joint.reconstruction import reconstruct  # noqa: E402

CUBE = (44, 48, 40)
SCENE = (CUBE, 69, 9)


def fit(target, reference, grid, method="joint-tv", **options):
    return mc.prepare(target, reference, method, register="off", grid=grid, device="cpu", **options)


# ---------------------------------------------------------------- solver


def test_the_objective_falls(views, truths):
    seen = []
    reconstruct(channels_of(views, truths[0].grid), (1.0, 1.0, 1.0), iterations=40, on_objective=seen.append)
    assert len(seen) == 11
    assert all(after <= before * (1 + 1e-4) for before, after in itertools.pairwise(seen))
    assert seen[-1] < 0.6 * seen[0]
    assert seen[-3] - seen[-1] < 0.05 * seen[-1]  # and has nearly settled


def test_detail_passes_between_the_contrasts(views, truths):
    grid = truths[0].grid
    for target, reference, truth, other in ((*views, *truths), (*views[::-1], *truths[::-1])):
        joint_run = fit(target, reference, grid)
        scores = {
            "joint": decibel(joint_run.render(grid), truth),
            "single": decibel(fit(target, None, grid).render(grid), truth),
            "spline": decibel(fit(target, None, grid, "bspline").render(grid), truth),
        }
        assert scores["single"] > scores["spline"] + 0.5
        assert scores["joint"] > scores["single"] + 1.0
        companion = joint_run.companion.render(grid)
        assert companion.name == reference.name
        assert decibel(companion, other) > decibel(fit(reference, None, grid, "bspline").render(grid), other) + 1.5


@pytest.mark.slow
def test_more_views_of_one_contrast_and_more_contrasts_help(views, truths):
    model = AcquisitionModel.estimate(views[0])
    lattice = model.lattice(truths[0].shape)
    again = mc.degrade(truths[0], "slab", 4, axis="k")
    third = mc.degrade(Volume(300 - truths[1].array, truths[1].affine, "PD"), "slab", 4, axis="k")
    two, *_ = volumes.joint_images([[views[0]], [views[1]]], lattice)
    more, *_ = volumes.joint_images([[views[0], again], [views[1]]], lattice)
    three, *_ = volumes.joint_images([[views[0]], [views[1]], [third]], lattice)
    scores = [decibel(Volume(images[0], lattice.affine), truths[0]) for images in (two, more, three)]
    assert scores[1] > scores[0] + 2.0
    assert scores[2] > scores[0] + 0.2
    # both views are explained
    seen = Volume(more[0], truths[0].affine)
    for axis, scan in (("i", views[0]), ("k", again)):
        recorded = mc.degrade(seen, "slab", 4, axis=axis).array
        assert np.sqrt(np.mean((recorded - scan.array) ** 2)) < 0.02 * np.ptp(scan.array)


def test_slices_are_solved_in_plane_and_quickly():
    truth, reference = pair()
    low = mc.degrade(truth, "kspace", 2)
    begin = time.process_time()
    run = fit(low, reference, truth.grid)
    assert time.process_time() - begin < 5.0
    assert run.lattice.shape == truth.shape
    score = psnr(run.render(truth.grid), truth)
    assert score > psnr(fit(low, reference, truth.grid, "guided").render(truth.grid), truth)
    # slices know nothing of each other
    single = Volume(low.array[2:3], low.grid.crop((2, 0, 0), (3, *low.shape[1:])).affine, "T2")
    whole = run.render(truth.grid).array[2]
    alone = fit(single, reference, None).render(truth.grid.crop((2, 0, 0), (3, *truth.shape[1:]))).array[0]
    assert np.abs(whole - alone).mean() < 0.01 * np.ptp(truth.array)


def test_without_reference_it_is_the_targets_own_total_variation():
    truth, _ = pair()
    low = mc.degrade(truth, "kspace", 2)
    run = fit(low, None, truth.grid)
    assert run.companion is None
    assert "No reference was used; the result was made from the target alone." in run.report.notes
    assert (
        psnr(run.render(truth.grid), truth) > psnr(fit(low, None, truth.grid, "sinc").render(truth.grid), truth) + 0.5
    )


def test_smoothness_removes_noise():
    truth, reference = pair()
    low = mc.degrade(truth, "kspace", 2)
    noisy = Volume(low.array + np.random.default_rng(0).normal(0, 15, low.shape), low.affine, "T2")
    little, much = (
        psnr(fit(noisy, reference, truth.grid, smoothness=s, data_consistency=False).render(truth.grid), truth)
        for s in (0.1, 5.0)
    )
    assert much > little + 0.5


# ---------------------------------------------------------------- references on other grids


def test_an_oblique_reference_is_brought_to_the_lattice(truths, views):
    turn = np.eye(4)
    turn[:3, :3] = rotation((0.06, -0.05, 0.08))
    grid = Grid((50, 12, 46), turn @ affine((1, 4, 1)))
    shift = np.eye(4)
    shift[:3, 3] = truths[0].grid.center - grid.center
    grid = Grid(grid.shape, shift @ grid.affine)
    fine = grid.scaled((1, 4, 1))
    spline = mc.prepare(truths[1], method="bspline", data_consistency=False).render(fine).array
    turned = Volume(spline.reshape(50, 12, 4, 46).mean(axis=2), grid.affine, "T1")
    target = truths[0].grid
    scores = [decibel(fit(views[0], r, target).render(target), truths[0]) for r in (turned, None)]
    assert scores[0] > scores[1] + 0.7


def test_a_reference_that_covers_a_part_helps_there_and_does_no_harm_elsewhere(truths, views):
    half = Volume(views[1].array[:22], views[1].affine, "T1")
    grid = truths[0].grid
    part, single = (fit(views[0], r, grid).render(grid).array for r in (half, None))

    def errors(region):
        return [float(np.mean((image - truths[0].array)[region] ** 2)) for image in (part, single)]

    inside, outside = errors(slice(0, 18)), errors(slice(26, 44))
    assert inside[0] < 0.8 * inside[1]
    assert outside[0] < 1.05 * outside[1]


@pytest.mark.parametrize("turn", [(0.0, 0.0, 0.0), (0.3, -0.2, 0.4)])
@pytest.mark.parametrize("flips", [(1, 1, 1), (-1, 1, 1), (-1, -1, 1)])
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.8, 0.8, 3.0)])
def test_positions_are_kept(turn, flips, spacing):
    target = Grid((15, 18, 17), affine(spacing, turn, flips, origin=(5, -40, 9)))
    fine = target.scaled((2, 2, 2))
    other = Grid((32, 34, 36), affine((0.6, 0.6, 0.6 * spacing[2]), (0.1, 0.2, -0.1), flips))
    move = np.eye(4)
    move[:3, 3] = target.center - other.center
    other = Grid(other.shape, move @ other.affine)
    center = target.positions((np.array(target.shape) - 1) / 2 + (0.4, -0.3, 0.2))
    width = 1.8 * np.asarray(target.spacing)
    volume = Volume(blob(target, center, width), target.affine, "T2")
    for grid in (fine, other):
        # round in mm, as the target's: widths along oblique axes would differ
        reference = Volume(200 - blob(grid, center, width if grid is fine else float(width.mean())), grid.affine, "T1")
        run = fit(volume, reference, fine)
        rendered = run.render(fine)
        assert np.abs(target.indices(centroid(rendered)) - target.indices(center)).max() < 0.05


@pytest.mark.parametrize("consistent", [True, False])
def test_constants_units_and_viewports(truths, views, consistent):
    grid = truths[0].grid
    flat = Volume(np.full(views[0].shape, 321.0), views[0].affine, "flat")
    constant = fit(flat, views[1], grid, data_consistency=consistent).render(grid).array
    assert np.abs(constant - 321).max() < 0.04
    run = fit(*views, grid, data_consistency=consistent, iterations=12)
    whole = run.render(grid).array
    scaled = Volume(views[0].array * 7 + 90, views[0].affine, "T2", views[0].metadata)
    other = fit(scaled, views[1], grid, data_consistency=consistent, iterations=12).render(grid).array
    assert np.abs(other - (7 * whole + 90)).max() < 5e-3 * np.ptp(other)
    part = run.render(grid.crop((3, 4, 5), (20, 30, 31))).array
    assert np.abs(part - whole[3:20, 4:30, 5:31]).max() < 1e-4 * np.ptp(whole)


def test_the_measured_slices_stand_in_the_result(truths, views):
    run = fit(*views, truths[0].grid)
    again = mc.degrade(run.render(truths[0].grid), "slab", 4, axis="i")
    assert np.abs(again.array - views[0].array).max() < 1e-3 * np.ptp(views[0].array)
    assert run.report.consistency["residual_after"] < 1e-5


# ---------------------------------------------------------------- running


def test_runs_are_repeatable_on_any_number_of_threads(truths, views):
    before = torch.get_num_threads()
    try:
        results = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            results.append(fit(*views, truths[0].grid, iterations=8).render(truths[0].grid).array)
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert np.array_equal(*results)


def test_cancel_is_heard_at_once(truths):
    seconds, stages = seconds_until_cancelled("joint-tv", truths, 0.3)
    assert seconds < 0.3 and stages == {"prepare"}


def test_a_full_gpu_falls_back_to_the_cpu(truths, views, monkeypatch):
    real = volumes.reconstruct

    def full(batch, rates, *, device, **settings):
        if device != "cpu":
            raise torch.cuda.OutOfMemoryError("out of memory")
        return real(batch, rates, device=device, **settings)

    monkeypatch.setattr(volumes, "reconstruct", full)
    lattice = AcquisitionModel.estimate(views[0]).lattice(CUBE)
    images, _, warnings = volumes.joint_images([[views[0]], [views[1]]], lattice, device="cuda:0", iterations=4)
    assert warnings == ("cuda:0 ran out of memory; joint total variation ran on the CPU.",)
    assert len(images) == 2


def test_the_registry_knows_it_without_importing_torch():
    code = (
        "import sys; from MultiContrastSRLib.methods import get; m = get('joint-tv'); "
        "assert m.requires == ('torch',) and m.unavailable() is None; sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(mc.__file__).parents[1], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


PEAK = """
import numpy as np
import MultiContrastSRLib as mc
from MultiContrastSRLib.methods import get, joint_tv

def peak():  # getrusage would start at what the parent process once used
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))

wave = np.sin(np.arange(128, dtype=np.float32) / 3)
array = 100 + 50 * wave[:, None, None] * wave[:, None] * wave
target = mc.degrade(mc.Volume(array, np.eye(4)), "slab", 4, axis="k")
reference = mc.degrade(mc.Volume(300 - array, np.eye(4)), "slab", 4, axis="j")
small = mc.Volume(array[:8, :24, :24], np.eye(4))
get("{method}").prepare(small, small)  # imports
before = peak()
get("{method}").prepare(target, reference, refine=(True, False, False), iterations=5{options})
print(1024 * (peak() - before) / (4 * 128**3), joint_tv.COPIES)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from Linux's /proc")
@pytest.mark.parametrize(("method", "options"), [("joint-tv", ""), ("joint-nonlocal", ", rounds=1")])
def test_the_memory_estimate_is_above_the_real_peak(method, options):
    code = PEAK.replace("{method}", method).replace("{options}", options)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(mc.__file__).parents[1]
    )
    assert done.returncode == 0, done.stderr
    copies, estimate = (float(number) for number in done.stdout.split())
    assert 5 < copies <= estimate
