"""Joint non-local means: the filter itself, what it leaves of the scans alone, and what it gains on a real head."""

from __future__ import annotations

import os
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from subject_fixtures import channels_of, decibel, seconds_until_cancelled

import MultiContrastSRLib as mc
from MultiContrastSRLib import Volume
from MultiContrastSRLib.acquisition.model import AcquisitionModel

torch = pytest.importorskip("torch", reason="Joint non-local means need torch, which is not installed here.")

from MultiContrastSRLib.joint import nonlocal_means as module  # noqa: E402
from MultiContrastSRLib.joint.nonlocal_means import nonlocal_means  # noqa: E402
from MultiContrastSRLib.joint.reconstruction import reconstruct  # noqa: E402
from MultiContrastSRLib.joint.volumes import joint_images  # noqa: E402

pytestmark = pytest.mark.slow

SCENE = ((28, 32, 24), 29, 8)
DATA = os.environ.get("MULTICONTRASTSR_DATA", "")


def written_out(images: np.ndarray, axes: tuple[int, ...], widths: list[float]) -> np.ndarray:
    """`nonlocal_means` voxel by voxel."""
    reach, patch = (np.array([n if a in axes else 0 for a in range(3)]) for n in (2, 1))
    margin = reach + patch
    padded = np.pad(images, [(0, 0), *zip(margin, margin, strict=True)], mode="edge").astype(np.float64)

    def around(voxel):
        return padded[(slice(None), *(slice(v - p, v + p + 1) for v, p in zip(voxel, patch, strict=True)))]

    found = np.empty(images.shape)
    for place in np.ndindex(images.shape[1:]):
        voxel = np.array(place) + margin
        values, weights = [padded[(slice(None), *voxel)]], [np.ones(len(images))]
        for offset in product(*(range(-r, r + 1) for r in reach)):
            if any(offset):
                differences = ((around(voxel + offset) - around(voxel)) ** 2).mean(axis=(1, 2, 3))
                others = [np.delete(differences, c).mean() if len(differences) > 1 else 0 for c in range(len(images))]
                distance = differences if len(images) == 1 else 0.5 * differences + 2.0 * np.array(others)
                weights.append(np.exp(-distance / np.square(widths)))
                values.append(padded[(slice(None), *(voxel + offset))])
        found[(slice(None), *place)] = np.average(values, axis=0, weights=weights)
    return found


@pytest.mark.parametrize("contrasts", [1, 2, 3])
@pytest.mark.parametrize("axes", [(0, 1, 2), (1, 2)])
def test_the_filter_is_what_it_says(contrasts, axes, monkeypatch):
    images = np.random.default_rng(contrasts).normal(size=(contrasts, 5, 7, 6)).astype(np.float32)
    widths = [1.1, 0.8, 1.4][:contrasts]
    found = nonlocal_means(torch.from_numpy(images), axes, widths).numpy()
    assert np.abs(found - written_out(images, axes, widths)).max() < 1e-5
    monkeypatch.setattr(module, "_BLOCK", 50)  # slice by slice
    assert np.array_equal(nonlocal_means(torch.from_numpy(images), axes, widths).numpy(), found)


def test_constants_and_what_nothing_resembles_stay():
    flat = torch.full((2, 6, 6, 6), 3.0)
    assert torch.allclose(nonlocal_means(flat, (0, 1, 2), [0.4, 0.0]), flat)
    wild = 1e3 * torch.randn((2, 6, 6, 6), generator=torch.Generator().manual_seed(0))
    assert torch.allclose(nonlocal_means(wild, (0, 1, 2), [0.4, 0.4]), wild)


def test_edges_are_kept_and_noise_is_not():
    step = torch.zeros(1, 10, 12, 12)
    step[..., 6:] = 5.0
    noisy = step + 0.1 * torch.randn(step.shape, generator=torch.Generator().manual_seed(1))
    found = nonlocal_means(noisy, (0, 1, 2), [0.4])
    assert float((found - step).square().mean()) < 0.1 * float((noisy - step).square().mean())


def test_rounds_change_nothing_that_a_scan_has_seen(views, truths):
    channels = channels_of(views, truths[0].grid)
    before, after = (reconstruct(channels, (1.0, 1.0, 1.0), iterations=8, rounds=n) for n in (0, 3))
    for truth, view, axis, first, second in zip(truths, views, "ij", before, after, strict=True):
        assert np.abs(second - first).max() > 0.02 * np.ptp(truth.array)
        seen = [mc.degrade(Volume(x, truth.affine), "slab", 4, axis=axis).array for x in (first, second)]
        assert np.abs(seen[1] - seen[0]).max() < 1e-3 * np.ptp(view.array)


def test_two_views_of_one_contrast_stay_explained(views, truths):
    lattice = AcquisitionModel.estimate(views[0]).lattice(truths[0].shape)
    again = mc.degrade(truths[0], "slab", 4, axis="k")
    scans = [[views[0], again], [views[1]]]
    for rounds, most in ((0, 0.02), (4, 0.02)):
        image = Volume(joint_images(scans, lattice, rounds=rounds)[0][0], truths[0].affine)
        for axis, scan in (("i", views[0]), ("k", again)):
            rest = mc.degrade(image, "slab", 4, axis=axis).array - scan.array
            assert np.sqrt(np.mean(rest**2)) < most * np.ptp(scan.array)


def test_without_rounds_it_is_joint_total_variation(views, truths):
    how = {"register": "off", "grid": truths[0].grid, "device": "cpu"}
    tv = mc.prepare(*views, "joint-tv", **how).render(truths[0].grid).array
    assert np.array_equal(mc.prepare(*views, "joint-nonlocal", rounds=0, **how).render(truths[0].grid).array, tv)
    refined = mc.prepare(*views, "joint-nonlocal", **how)
    assert np.abs(refined.render(truths[0].grid).array - tv).max() > 0.02 * np.ptp(tv)
    assert refined.companion.render(truths[0].grid).name == views[1].name


def test_a_scan_that_holds_all_of_its_detail_stays(truths, views):
    run = mc.prepare(views[0], truths[1], "joint-nonlocal", register="off", grid=truths[0].grid, device="cpu")
    assert np.abs(run.companion.render(truths[1].grid).array - truths[1].array).max() < 0.05 * np.ptp(truths[1].array)


def test_results_are_repeatable_on_any_number_of_threads(truths, views):
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            run = mc.prepare(
                *views, "joint-nonlocal", register="off", grid=truths[0].grid, device="cpu", iterations=4, rounds=2
            )
            results.append(run.render(truths[0].grid).array)
    finally:
        torch.set_num_threads(before)
    assert np.array_equal(*results)


def test_cancel_is_heard_in_the_rounds(truths):
    seconds, stages = seconds_until_cancelled("joint-nonlocal", truths, 0.8)
    assert seconds < 0.3 and stages == {"prepare"}


@pytest.mark.skipif(not DATA, reason="MULTICONTRASTSR_DATA names no folder with the real scans")
def test_it_gains_half_a_decibel_over_joint_total_variation_on_a_real_head():
    folder = Path(DATA) / "open_ms_data/cross_sectional/MNI/patient07"
    truths = []
    for pattern in ("T1_*.nii.gz", "FLAIR_*.nii.gz"):
        whole = mc.load_volume(next(folder.glob(pattern)))
        part = whole.grid.crop((60, 72, 64), (92, 120, 96))
        truths.append(Volume(whole.array[60:92, 72:120, 64:96].copy(), part.affine, pattern))
    views = [mc.degrade(t, "slab", 4, axis=a) for t, a in zip(truths, "ij", strict=True)]
    how = {"register": "off", "grid": truths[0].grid, "device": "cpu"}
    scores = []
    for method in ("bspline", "joint-tv", "joint-nonlocal"):
        run = mc.prepare(*views, method, **how)
        scores.append(decibel(run.render(truths[0].grid), truths[0]))
    assert scores[1] > scores[0] + 1.0
    assert scores[2] > scores[1] + 0.5
