"""The noise that measured data are weighed by."""

from __future__ import annotations

import numpy as np
import pytest
from phantoms import pair

import MultiContrastSRLib as mc
from MultiContrastSRLib import Volume
from MultiContrastSRLib.acquisition.consistency import check_image
from MultiContrastSRLib.acquisition.model import AcquisitionModel
from MultiContrastSRLib.acquisition.noise import significant_noise, without_noise


def noisy(volume: Volume, share: float, seed: int = 1) -> Volume:
    """`volume` with white noise of `share` of its range."""
    noise = np.random.default_rng(seed).normal(0, share * np.ptp(volume.array), volume.shape)
    return Volume(volume.array + noise, volume.affine, volume.name, volume.metadata)


@pytest.fixture(scope="module")
def truth() -> Volume:
    return pair((6, 128, 120))[0]


@pytest.mark.parametrize(("kind", "scale"), [("kspace", 2), ("kspace", 3), ("slab", 3)])
def test_noise_is_found_and_a_clean_scan_has_none(truth, kind, scale):
    low = mc.degrade(truth, kind, scale)
    assert significant_noise(low) == 0
    for share in (0.03, 0.06):
        assert significant_noise(noisy(low, share)) == pytest.approx(share * np.ptp(low.array), rel=0.25)
    assert significant_noise(noisy(low, 0.01)) <= 0.014 * np.ptp(low.array)


@pytest.mark.parametrize(("factor", "offset"), [(1e-9, 0.0), (1e6, 0.0), (-2.0, 500.0), (1.0, 1e4)])
def test_noise_has_the_units_of_the_scan(truth, factor, offset):
    low = noisy(mc.degrade(truth, "kspace", 2), 0.03)
    other = Volume(low.array.astype(np.float64) * factor + offset, low.affine, "T2", low.metadata)
    assert significant_noise(other) == pytest.approx(abs(factor) * significant_noise(low), rel=1e-2)


def test_a_constant_scan_has_no_noise():
    assert significant_noise(Volume(np.full((3, 20, 20), 7.0), np.diag([1, 1, 4, 1]))) == 0


def test_noise_is_left_out_and_structure_is_kept(truth):
    axes = AcquisitionModel.estimate(truth).axes
    noise = np.random.default_rng(0).normal(0, 5, (1, 128, 120)).astype(np.float32)
    structure = truth.array[:1] - truth.array[:1].mean()
    assert np.std(without_noise(noise, 5.0, axes)) < 0.2 * 5
    kept = without_noise(structure + noise, 5.0, axes)
    assert np.std(kept - structure) < 0.9 * 5 < 0.5 * np.std(structure)
    assert np.abs(without_noise(structure, 1e-6, axes) - structure).max() < 1e-3 * np.ptp(structure)


def test_a_denoised_image_is_not_made_noisy_again(truth):
    low = noisy(mc.degrade(truth, "kspace", 2), 0.06)
    model, noise = AcquisitionModel.estimate(low), significant_noise(low)
    error = [
        np.std(check_image(model, low.array, truth.array, noise=sigma).array - truth.array) for sigma in (noise, 0.0)
    ]
    assert error[0] < 0.3 * error[1]
    wrong = truth.array + 40 * np.sin(np.arange(120, dtype=np.float32) / 5)  # the scan tells otherwise
    found = check_image(model, low.array, wrong, noise=noise)
    assert np.std(found.array - truth.array) < 0.3 * np.std(wrong - truth.array) and found.weighed


def test_images_that_agree_are_not_weighed(truth):
    low = noisy(mc.degrade(truth, "kspace", 2), 0.06)
    run = mc.prepare(low, pair((6, 128, 120))[1], "guided", register="off")
    assert run.report.consistency["mode"] == "exact" and run.report.consistency["noise"] == 0
    assert run.report.consistency["residual_after"] < 1e-5
    run = mc.prepare(low, method="linear")
    assert run.report.consistency["mode"] == "noise"
    assert run.report.consistency["noise"] == pytest.approx(0.06 * np.ptp(low.array), rel=0.2)
