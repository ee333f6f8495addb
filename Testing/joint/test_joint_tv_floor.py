"""Joint total variation keeps to intensities that the scans allow: the background is a floor."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from subject_fixtures import channels_of, decibel

import MultiContrastSRLib as mc
from MultiContrastSRLib import Volume
from MultiContrastSRLib.core.progress import Monitor

torch = pytest.importorskip("torch", reason="Joint total variation needs torch, which is not installed here.")

from MultiContrastSRLib.joint.channel import background_level  # noqa: E402
from MultiContrastSRLib.joint.data_term import DataTerm  # noqa: E402
from MultiContrastSRLib.joint.observation import observe  # noqa: E402
from MultiContrastSRLib.joint.reconstruction import reconstruct  # noqa: E402

SCENE = ((44, 48, 40), 69, 9)


def test_no_image_lies_far_below_its_floor(views, truths):
    channels = channels_of(views, truths[0].grid)
    settings = {"rates": (1.0, 1.0, 1.0), "iterations": 12}
    free = reconstruct(channels, **settings)
    lifted = reconstruct([replace(channel, floor=0.0) for channel in channels], **settings)
    for before, after, channel, truth in zip(free, lifted, channels, truths, strict=True):
        assert before.min() < -0.05 * np.ptp(before)
        assert after.min() > -0.006 * np.ptp(after)
        assert decibel(after, truth) > decibel(before, truth) - 1e-3
        # what the scan saw of the image stays, up to rounding
        term = DataTerm(channel.scans[0], 1.0, 1.0, torch.empty(0))
        left = [term.residual(torch.from_numpy(image)) for image in (before, after)]
        assert float((left[0] - left[1]).abs().max()) < 1e-5 * float(term.coefficients.abs().max())


def test_several_views_stay_explained_when_an_image_is_lifted(views, truths):
    again = mc.degrade(truths[0], "slab", 4, axis="k")
    channel = channels_of(views, truths[0].grid)[0]
    both = (*channel.scans, observe(again, truths[0].grid, None, Monitor()))
    channel = replace(channel, scans=both, noise=channel.noise * 2)
    free, lifted = (
        reconstruct([replace(channel, floor=floor)], (1.0, 1.0, 1.0), iterations=12)[0] for floor in (-np.inf, 0.0)
    )
    assert free.min() < -0.03 * np.ptp(free) and lifted.min() > 0.5 * free.min()
    for scan in both:
        term = DataTerm(scan, 1.0, 1.0, torch.empty(0))
        left = [term.residual(torch.from_numpy(image)) for image in (free, lifted)]
        assert float((left[0] - left[1]).abs().max()) < 1e-5 * float(term.coefficients.abs().max())


@pytest.mark.parametrize("offset", [0.0, -500.0, 90.0])
def test_the_floor_is_the_background(offset):
    tissue = np.random.default_rng(0).normal(200.0, 20.0, (6, 20, 20))
    masked = np.where(np.arange(20) < 12, 0.0, tissue)
    masked[0, 0, :3] = -12.0  # ringing
    brighter = Volume(tissue + offset + 50.0, np.eye(4))
    assert background_level([brighter.array, masked + offset]) == pytest.approx(offset)
    assert background_level([brighter.array]) == -np.inf


@pytest.mark.parametrize("kind", ["slab", "spline"])
def test_results_keep_to_the_scans_range_and_samples(truths, kind):
    low, other = (mc.degrade(truth, kind, 4, axis=axis) for truth, axis in zip(truths, "ij", strict=True))
    run = mc.prepare(low, other, "joint-tv", register="off", grid=truths[0].grid, device="cpu")
    image = run.render(truths[0].grid)
    assert image.array.min() > low.array.min() - 0.01 * np.ptp(low.array)
    again = mc.degrade(image, kind, 4, axis="i").array  # by the model that the volume carries: no slabs for samples
    assert np.abs(again - low.array).max() < 1e-3 * np.ptp(low.array)
