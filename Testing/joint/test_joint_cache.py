"""A second run of joint total variation finds the images of the first."""

from __future__ import annotations

import numpy as np
import pytest
from subject_fixtures import ellipsoids, thick_views

import MultiContrastSRLib as mc
from MultiContrastSRLib import Volume
from MultiContrastSRLib.core.cache import Cache
from MultiContrastSRLib.methods import get

torch = pytest.importorskip("torch", reason="Joint total variation needs torch, which is not installed here.")

from MultiContrastSRLib.joint import volumes  # noqa: E402


@pytest.fixture
def method():
    found = get("joint-tv")
    found.clear_cache()
    yield found
    found.clear_cache()


@pytest.fixture
def reconstructions(monkeypatch):
    """A list that grows with every reconstruction."""
    made, real = [], volumes.joint_images
    monkeypatch.setattr(volumes, "joint_images", lambda *args, **settings: (made.append(1), real(*args, **settings))[1])
    return made


def test_a_second_run_does_not_reconstruct_again(method, reconstructions):
    truths = ellipsoids((28, 32, 24), 29, 8)
    views = thick_views(truths)
    how = {"register": "off", "grid": truths[0].grid, "device": "cpu", "iterations": 4}
    first = mc.prepare(*views, "joint-tv", **how)
    renamed = [Volume(view.array, view.affine, "again", view.metadata) for view in views]
    second = mc.prepare(*renamed, "joint-tv", **how)
    assert len(reconstructions) == 1
    for one, two in ((first, second), (first.companion, second.companion)):
        images = [run.render(truths[0].grid) for run in (one, two)]
        assert np.array_equal(images[0].array, images[1].array)
    assert second.companion.render(truths[0].grid).name == "again"
    mc.prepare(*views, "joint-tv", **{**how, "iterations": 5})
    mc.prepare(views[0], Volume(views[1].array + 1, views[1].affine, "T1", views[1].metadata), "joint-tv", **how)
    mc.prepare(*views, "joint-nonlocal", rounds=0, **how)  # has a cache of its own
    assert len(reconstructions) == 4


@pytest.mark.parametrize("name", ["joint-tv", "joint-nonlocal"])
def test_a_run_with_target_and_reference_exchanged_takes_the_companion(name, reconstructions):
    method = get(name)
    method.clear_cache()
    truths = ellipsoids((28, 32, 24), 29, 8)
    views, how = thick_views(truths), {"register": "off", "grid": truths[0].grid, "device": "cpu", "iterations": 4}
    how |= {"data_consistency": False, **({"rounds": 1} if name == "joint-nonlocal" else {})}
    first = mc.prepare(*views, name, **how)
    second = mc.prepare(*views[::-1], name, **how)
    assert len(reconstructions) == 1
    for one, two in ((first, second.companion), (first.companion, second)):
        images = [run.render(truths[0].grid) for run in (one, two)]
        assert np.array_equal(images[0].array, images[1].array) and images[0].name == images[1].name
    with pytest.MonkeyPatch.context() as patch:  # the same, within what the order of the scans matters
        patch.setattr(method, "_images", Cache(0))
        anew = mc.prepare(*views[::-1], name, **how).render(truths[0].grid)
    assert len(reconstructions) == 2
    kept = second.render(truths[0].grid).array
    assert np.sqrt(np.mean((anew.array - kept) ** 2)) < 0.01 * np.ptp(kept)
    mc.prepare(views[1], None, name, **how)
    assert len(reconstructions) == 3
    method.clear_cache()
    assert method._images.nbytes == 0


def test_images_are_kept_within_a_number_of_bytes(method, monkeypatch):
    views = thick_views(ellipsoids((28, 32, 24), 29, 8))
    monkeypatch.setattr(method._images, "limit", 5 * 4 * 28 * 32 * 24)  # of two runs, which have two images each
    for iterations in (4, 5, 6):
        method.prepare(*views, refine=(False, False, True), iterations=iterations)
    assert len(method._images) == 2 and method._images.nbytes == 4 * 4 * 28 * 32 * 24
    method.clear_cache()
    assert method._images.nbytes == 0
