"""Alignment of the reference: judged, registered where that helps, refused with a sentence where it cannot."""

from __future__ import annotations

import contextlib
import gc
import threading
import weakref

import numpy as np
import pytest
from phantoms import pair, rotation

from MultiContrastSRLib import Volume
from MultiContrastSRLib.core import threads
from MultiContrastSRLib.core.errors import CancelledError, InputError
from MultiContrastSRLib.core.progress import Monitor
from MultiContrastSRLib.registration.align import align, displacement


def head(seed=0):
    """A scene with structure along all axes, 2 mm voxels."""
    from scipy import ndimage

    rng = np.random.default_rng(seed)
    body = ndimage.gaussian_filter(rng.normal(size=(40, 60, 56)), 3)
    k, j, i = np.mgrid[-1:1:40j, -1:1:60j, -1:1:56j]
    shell = (k**2 + j**2 + i**2) < 0.8
    one = np.where(shell, 100 + 400 * body / np.abs(body).max(), 0)
    two = np.where(shell, 300 - 350 * np.abs(body) / np.abs(body).max(), 0)
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    return Volume(one, affine, "T2"), Volume(two, affine, "T1")


@pytest.mark.slow
def test_aligned_pairs_are_left_where_they_are():
    target, reference = head()
    outcome = align(target, reference)
    assert not outcome.registered and outcome.reference is reference and not outcome.warnings
    assert outcome.overlap == 1.0 and outcome.similarity > 0.3


@pytest.mark.slow
@pytest.mark.parametrize("register", ["auto", "on"])
def test_a_moved_reference_is_brought_back(register):
    target, reference = head()
    move = np.eye(4)
    move[:3, :3] = rotation((0.05, -0.04, 0.06))
    move[:3, 3] = (4.0, -3.0, 2.5)
    outcome = align(target, reference.moved(move), register)
    assert outcome.registered
    corners = target.grid.positions(np.array([[0, 0, 0], [39, 59, 55], [0, 59, 0], [20, 30, 28]]))
    total = outcome.transform @ move
    error = np.linalg.norm(corners @ total[:3, :3].T + total[:3, 3] - corners, axis=1)
    assert error.max() < 0.7  # mm, a third of a voxel
    assert outcome.similarity > outcome.similarity_before
    assert outcome.displacement == pytest.approx(displacement(np.linalg.inv(move), target), abs=0.7)
    assert np.array_equal(outcome.reference.array, reference.array)


@pytest.mark.slow
def test_registration_is_repeatable():
    target, reference = head()
    move = np.eye(4)
    move[:3, 3] = (3.0, 2.0, -2.0)
    one, two = (align(target, reference.moved(move), "on").transform for _ in range(2))
    assert np.array_equal(one, two)


def test_off_trusts_the_headers():
    target, reference = head()
    move = np.eye(4)
    move[:3, 3] = (3.0, 2.0, -2.0)
    outcome = align(target, reference.moved(move), "off")
    assert not outcome.registered and np.array_equal(outcome.transform, np.eye(4))


def test_no_overlap_falls_back_with_a_warning():
    target, reference = head()
    move = np.eye(4)
    move[0, 3] = 1000
    outcome = align(target, reference.moved(move))
    assert outcome.reference is None
    assert outcome.warnings == (
        "Reference T1 covers 0 % of the target; at least 10 % is needed. It was not used. Choose a scan of the same "
        "region and session, or place it in Slicer's module Transforms.",
    )


def test_a_constant_reference_falls_back_with_a_warning():
    target, reference = head()
    outcome = align(target, Volume(np.full(reference.shape, 7.0), reference.affine, "T1"))
    assert outcome.reference is None
    assert outcome.warnings == ("Reference T1 is constant (7); it was not used. Choose another.",)


@pytest.mark.parametrize("register", ["auto", "off"])
def test_a_constant_target_is_said(register):
    target, reference = head()
    outcome = align(Volume(np.zeros(target.shape), target.affine, "T2"), reference, register)
    assert outcome.reference is None
    assert outcome.warnings == (
        "Target T2 is constant (0); no reference has anything in common with it. Check that it is the right scan.",
    )


@pytest.mark.parametrize("sigma", [0, 3])
def test_an_unrelated_reference_falls_back_with_a_warning(sigma):
    from scipy import ndimage

    target, reference = head()
    noise = np.random.default_rng(3).normal(size=reference.shape)
    outcome = align(target, Volume(ndimage.gaussian_filter(noise, sigma), reference.affine, "T1"), "off")
    assert outcome.reference is None
    assert outcome.warnings[0].startswith("Reference T1 shows no relation to the target (mutual information")


def test_another_word_for_register_is_refused():
    with pytest.raises(InputError, match=r"Registration is 'maybe'; expected one of auto, off, on."):
        align(*head(), register="maybe")


def test_registration_can_be_cancelled():
    cancel = threading.Event()
    seen = []

    def progress(fraction, stage):
        seen.append(stage)
        if len(seen) > 3:
            cancel.set()

    with pytest.raises(CancelledError) as caught:
        align(*head(), "on", Monitor(progress, cancel.is_set, stage="register"))
    assert caught.value.stage == "register"


@pytest.mark.slow
def test_two_threads_find_what_one_finds_and_progress_comes_from_the_callers(monkeypatch):
    found, callers = [], set()
    for count in (1, 2):
        monkeypatch.setattr(threads, "idle_threads", lambda most, count=count: count)
        fractions: list[float] = []

        def progress(fraction, stage, fractions=fractions):
            fractions.append(fraction)
            callers.add(threading.get_ident())

        found.append(align(*head(), "on", Monitor(progress)).transform)
        assert fractions == sorted(fractions) and len(set(fractions)) > 10
    assert np.array_equal(*found) and callers == {threading.get_ident()}


@pytest.mark.parametrize("looks", [20, pytest.param(1000, marks=pytest.mark.slow)], ids=["cancelled", "finished"])
def test_registration_keeps_nothing_of_its_monitor(looks):
    class Owner:  # such as a live zoom, with its images
        left = looks

        def cancelled(self):
            self.left -= 1
            return self.left < 0

    owner = Owner()
    gone = weakref.ref(owner)
    target, reference = (Volume(volume.array[::3, ::3, ::3], volume.affine) for volume in head())
    with contextlib.suppress(CancelledError):
        align(target, reference, "on", Monitor(cancel=owner.cancelled))
    assert (owner.left < 0) == (looks == 20)
    del owner
    gc.collect()
    assert gone() is None


def test_pairs_of_thin_foreground_do_not_crash():
    truth, reference = pair((2, 40, 40))
    sparse = np.zeros(truth.shape)
    sparse[0, 20, 20] = 1.0
    assert align(Volume(sparse, truth.affine), reference, "off").overlap == 1.0
