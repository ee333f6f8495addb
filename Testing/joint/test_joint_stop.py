"""Joint reconstruction ends when it is told to, in every stage, and returns the images that it has."""

from __future__ import annotations

import numpy as np
import pytest
from subject_fixtures import channels_of, ellipsoids, thick_views

import MultiContrastSRLib as mc
from MultiContrastSRLib.acquisition.model import AcquisitionModel
from MultiContrastSRLib.core.errors import CancelledError
from MultiContrastSRLib.core.progress import Monitor

torch = pytest.importorskip("torch", reason="Joint total variation needs torch, which is not installed here.")

from MultiContrastSRLib.joint import solver, volumes  # noqa: E402
from MultiContrastSRLib.joint.reconstruction import reconstruct  # noqa: E402
from MultiContrastSRLib.joint.volumes import joint_images  # noqa: E402

RATES = (1.0, 1.0, 1.0)


@pytest.fixture(scope="module")
def views():
    return thick_views(ellipsoids((28, 32, 24), 29, 8))


@pytest.fixture(scope="module")
def lattice(views):
    return AcquisitionModel.estimate(views[0]).lattice((28, 32, 24))


def test_it_ends_within_an_iteration(views, lattice, monkeypatch):
    iterations, real = [], solver.Solver.iterate
    monkeypatch.setattr(solver.Solver, "iterate", lambda *args: (iterations.append(1), real(*args)))
    channels = channels_of(views, lattice)
    stopped = reconstruct(channels, RATES, iterations=40, rounds=4, stop=lambda: len(iterations) >= 3)
    assert len(iterations) == 3
    for image, channel in zip(stopped, channels, strict=True):
        assert np.isfinite(image).all() and 0 < np.abs(image - channel.initial).max() < np.ptp(channel.initial)


@pytest.mark.slow
def test_it_ends_within_a_round_of_nonlocal_means_which_is_dropped(views, lattice, monkeypatch):
    rounds, checks, real = [], [], solver.nonlocal_means
    monkeypatch.setattr(solver, "nonlocal_means", lambda *args: (rounds.append(1), real(*args))[1])

    def stop():
        checks.append(len(rounds))
        return checks.count(2) > 5  # in the middle of the second round

    channels = channels_of(views, lattice)
    stopped = reconstruct(channels, RATES, iterations=4, rounds=4, stop=stop)
    assert len(rounds) == 2
    widths = solver.Solver.apply_nonlocal_means
    applied = []

    def only_the_first(self, *args):
        if not applied:
            applied.append(widths(self, *args))

    monkeypatch.setattr(solver.Solver, "apply_nonlocal_means", only_the_first)
    once = reconstruct(channels, RATES, iterations=4, rounds=4)
    assert all(np.array_equal(a, b) for a, b in zip(stopped, once, strict=True))


def test_a_cancel_is_no_stop(views, lattice):
    with pytest.raises(CancelledError):
        reconstruct(channels_of(views, lattice), RATES, monitor=Monitor(cancel=lambda: True), stop=lambda: True)


def test_scans_that_were_not_read_are_left_out(views, lattice):
    images, notes, _ = joint_images([[views[0]], [views[1]]], lattice, stop=lambda: True)
    assert images[1] is None and images[0].shape == lattice.shape
    assert notes == ("The fit was stopped before T1 was read; it was not used.",)


def test_batches_that_were_not_begun_are_interpolated(monkeypatch):
    truths = ellipsoids((8, 24, 20), 9, 6)
    low = mc.degrade(truths[0], "kspace", (1, 2, 2))
    lattice = AcquisitionModel.estimate(low).lattice((8, 24, 20))
    monkeypatch.setattr(volumes, "_BATCH", 2 * 24 * 20)
    calls, real = [], volumes.reconstruct
    monkeypatch.setattr(volumes, "reconstruct", lambda *args, **settings: (calls.append(1), real(*args, **settings))[1])
    whole, *_ = joint_images([[low], [truths[1]]], lattice, 0, iterations=4)
    calls.clear()
    images, *_ = joint_images([[low], [truths[1]]], lattice, 0, iterations=4, stop=lambda: len(calls) == 2)
    assert len(calls) == 2 and np.array_equal(images[0][:2], whole[0][:2])
    assert np.isfinite(images[0]).all() and not np.array_equal(images[0][4:], whole[0][4:])


def test_a_time_limit_is_shared_by_the_batches(monkeypatch):
    truths = ellipsoids((8, 24, 20), 9, 6)
    low = mc.degrade(truths[0], "kspace", (1, 2, 2))
    lattice = AcquisitionModel.estimate(low).lattice((8, 24, 20))
    monkeypatch.setattr(volumes, "_BATCH", 2 * 24 * 20)
    now, iterations, real = [0.0], [], solver.Solver.iterate
    monkeypatch.setattr(volumes.time, "perf_counter", lambda: now[0])

    def iterate(self, monitor):
        now[0] += 1.0
        iterations.append(now[0])
        real(self, monitor)

    monkeypatch.setattr(solver.Solver, "iterate", iterate)
    joint_images([[low], [truths[1]]], lattice, 0, iterations=40, max_seconds=20.0)
    assert len(iterations) == 20  # five in each of the four batches
