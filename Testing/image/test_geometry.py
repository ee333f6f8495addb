"""Positions, identity, crops, units: properties that hold for every method, geometry and scale."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phantoms import affine, blob, centroid

import MultiContrastSRLib as mc
from MultiContrastSRLib import Grid, Volume
from MultiContrastSRLib.core import threads
from MultiContrastSRLib.core.progress import Monitor
from MultiContrastSRLib.image import kernels
from MultiContrastSRLib.image.sampling import sample

METHODS = [method.name for method in mc.methods() if method.group == "classical"]
angle = st.floats(-0.6, 0.6)
spacings = st.sampled_from([(1.0, 1.0, 1.0), (0.8, 0.8, 3.0), (0.6, 0.9, 4.0), (4.0, 1.0, 1.0), (1.0, 2.0, 2.0)])
geometries = st.fixed_dictionaries(
    {
        "spacing_ijk": spacings,
        "angles": st.one_of(st.just((0.0, 0.0, 0.0)), st.tuples(angle, angle, angle)),
        "flips": st.tuples(*[st.sampled_from([1, -1])] * 3),
        "order": st.permutations([0, 1, 2]),
        "origin": st.tuples(*[st.floats(-100, 100)] * 3),
    }
)
sizes = st.tuples(st.integers(13, 20), st.integers(13, 20), st.integers(13, 20))
scales = st.one_of(st.floats(1.0, 3.5), st.tuples(st.floats(1.0, 3.0), st.floats(1.0, 3.0), st.floats(1.0, 3.0)))
few = settings(max_examples=12, deadline=None, derandomize=True)


def scene(shape, geometry, shift=(0.0, 0.0, 0.0)):
    """A target with a blob at a known place, and its reference: another contrast, twice as fine."""
    grid = Grid(shape, affine(**geometry))
    center = grid.positions((np.array(shape) - 1) / 2 + np.array(shift))
    width = 1.6 * np.asarray(grid.spacing)
    target = Volume(blob(grid, center, width), grid.affine, "target")
    fine = grid.scaled((2.0, 2.0, 2.0))
    reference = Volume(200 - blob(fine, center, width), fine.affine, "reference")
    return target, reference, center


def prepare(target, reference, method, consistent):
    return mc.prepare(target, reference, method, register="off", data_consistency=consistent)


@pytest.mark.parametrize("method", METHODS)
@few
@given(
    geometry=geometries,
    shape=sizes,
    scale=scales,
    shift=st.tuples(*[st.floats(-1.5, 1.5)] * 3),
    consistent=st.booleans(),
)
def test_positions_are_kept_within_a_twentieth_of_a_voxel(method, geometry, shape, scale, shift, consistent):
    target, reference, center = scene(shape, geometry, shift)
    prepared = prepare(target, reference, method, consistent)
    rendered = prepared.render(target.grid.scaled(scale))
    offset = np.abs(target.grid.indices(centroid(rendered)) - target.grid.indices(center))
    assert offset.max() < (0.5 if method == "nearest" else 0.05)


@pytest.mark.parametrize("method", METHODS)
@few
@given(geometry=geometries, shape=sizes, turn=st.tuples(angle, angle, angle))
def test_positions_are_kept_on_oblique_views(method, geometry, shape, turn):
    target, reference, center = scene(shape, geometry, (0.3, -0.4, 0.2))
    pixel = 0.4 * min(target.spacing)
    view = Grid((41, 41, 41), affine((pixel,) * 3, turn))
    view = Grid(
        view.shape, np.vstack([np.c_[view.affine[:3, :3], center - view.affine[:3, :3] @ (20, 20, 20)], [0, 0, 0, 1]])
    )
    peak = prepare(target, reference, method, False).render(view)
    # half-way down the flanks the Gaussian is as wide to the left as to the right
    offset = np.abs(target.grid.indices(centroid(peak)) - target.grid.indices(center))
    assert offset.max() < (0.5 if method == "nearest" else 0.05)


@pytest.mark.parametrize("method", METHODS)
@few
@given(geometry=geometries, shape=sizes, consistent=st.booleans(), seed=st.integers(0, 99))
def test_scale_one_is_the_identity(method, geometry, shape, consistent, seed):
    grid = Grid(shape, affine(**geometry))
    target = Volume(np.random.default_rng(seed).normal(300, 100, shape), grid.affine, "noise")
    result = mc.super_resolve(target, method=method, scale=1, data_consistency=consistent, register="off").volume
    assert result.grid.same_as(grid)
    assert np.abs(result.array - target.array).max() < 1e-4 * np.ptp(target.array)


@pytest.mark.parametrize("method", METHODS)
@few
@given(geometry=geometries, shape=sizes, scale=scales, consistent=st.booleans(), data=st.data())
def test_a_viewport_is_the_crop_of_the_whole(method, geometry, shape, scale, consistent, data):
    target, reference, _ = scene(shape, geometry, (0.2, 0.1, -0.3))
    prepared = prepare(target, reference, method, consistent)
    grid = target.grid.scaled(scale)
    start = [data.draw(st.integers(0, n - 2)) for n in grid.shape]
    stop = [data.draw(st.integers(a + 1, n)) for a, n in zip(start, grid.shape, strict=True)]
    whole, part = prepared.render(grid), prepared.render(grid.crop(start, stop))
    crop = whole.array[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))]
    assert np.abs(part.array - crop).max() <= 1e-4 * np.ptp(target.array)


@pytest.mark.parametrize("method", METHODS)
def test_a_view_of_a_slice_is_the_slice_of_the_whole(method):
    target, reference, _ = scene((15, 16, 17), dict(spacing_ijk=(1.0, 1.0, 3.0), angles=(0.2, 0.1, 0.3)))
    prepared = prepare(target, reference, method, True)
    grid = target.grid.scaled(2.5)
    right, down = grid.affine[:3, 0], grid.affine[:3, 1]
    origin = grid.positions((7, 3, 5))
    view = Grid.view(origin, right, down, (grid.spacing[1], grid.spacing[2]), (20, 22), thickness=3.0)
    whole = prepared.render(grid).array
    assert np.abs(prepared.render(view).array[0] - whole[7, 3:23, 5:27]).max() <= 1e-4 * np.ptp(target.array)


@pytest.mark.parametrize("method", METHODS)
@few
@given(geometry=geometries, shape=sizes, scale=scales, level=st.floats(-500, 3000), consistent=st.booleans())
def test_a_constant_stays_constant(method, geometry, shape, scale, level, consistent):
    grid = Grid(shape, affine(**geometry))
    target = Volume(np.full(shape, level), grid.affine)
    result = mc.super_resolve(target, method=method, scale=scale, data_consistency=consistent).volume
    assert np.abs(result.array - np.float32(level)).max() <= 1e-4 * max(1.0, abs(level))


@pytest.mark.parametrize("method", METHODS)
def test_units_are_kept(method):
    target, reference, _ = scene((12, 16, 17), dict(spacing_ijk=(1.0, 1.0, 3.0)))
    other = Volume(target.array * 7 + 90, target.affine)
    one, two = (prepare(t, reference, method, True).render(target.grid.scaled(2)).array for t in (target, other))
    assert np.abs(two - (one * 7 + 90)).max() < 2e-3 * np.ptp(other.array)


@pytest.mark.parametrize("method", METHODS)
def test_runs_are_bitwise_repeatable(method):
    target, reference, _ = scene((12, 16, 17), dict(spacing_ijk=(1.0, 1.0, 3.0)))
    one, two = (mc.super_resolve(target, reference, method=method, scale=1.7).volume.array for _ in range(2))
    assert np.array_equal(one, two)


def test_every_axis_order_and_flip_gives_the_same_picture():
    target, reference, _ = scene((12, 16, 17), dict(spacing_ijk=(1.0, 1.0, 3.0)), (0.5, 0.2, -0.4))
    grid = target.grid.scaled(2)
    expected = prepare(target, reference, "guided", True).render(grid).array
    # the same scan stored with its axes permuted and one of them reversed
    array = np.ascontiguousarray(np.transpose(target.array, (2, 0, 1))[::-1])
    new_to_old = np.zeros((4, 4))
    new_to_old[3, 3] = 1
    # stored array axes (a0, a1, a2) = (i reversed, k, j); affine columns are (a2, a1, a0)
    new_to_old[1, 0] = 1  # a2 is j
    new_to_old[2, 1] = 1  # a1 is k
    new_to_old[0, 2], new_to_old[0, 3] = -1, target.shape[2] - 1  # a0 is i, reversed
    stored = Volume(array, target.affine @ new_to_old)
    got = prepare(stored, reference, "guided", True).render(grid).array
    # read backwards, an even-sized axis has its k-space centre one sample elsewhere: its lone Nyquist frequency differs
    assert np.abs(got - expected).max() < 0.02 * np.ptp(target.array)


def test_oblique_views_are_not_aliased():
    # a pattern just below the target's Nyquist frequency, seen at pixels twice as large: nothing may be left of it
    k, j, i = np.mgrid[0:32, 0:32, 0:32]
    wave = Volume(100 * np.cos(0.9 * np.pi * j) + 0.0 * k * i, np.eye(4))
    prepared = mc.prepare(wave, method="sinc")
    for turn in ((0.0, 0.0, 0.0), (0.1, 0.05, 0.3)):
        matrix = affine((2.5,) * 3, turn)
        matrix[:3, 3] = wave.grid.center - matrix[:3, :3] @ (3, 3, 3)
        assert prepared.render(Grid((7, 7, 7), matrix)).array.std() < 5


def test_an_oblique_image_is_the_same_in_any_number_of_threads(monkeypatch):
    array = np.random.default_rng(0).random((12, 40, 40)).astype(np.float32)
    source, grid = (
        Grid(array.shape, affine((1.0, 1.0, 1.0))),
        Grid((3, 200, 200), affine((0.2, 0.2, 3.0), (0.1, 0.05, 0.3))),
    )
    found = []
    for count in (1, 4):
        monkeypatch.setattr(threads, "idle_threads", lambda most, count=count: min(most, count))
        seen: list[float] = []
        monitor = Monitor(lambda fraction, _, seen=seen: seen.append(fraction))
        found.append(sample(array, source, grid, (kernels.quintic,) * 3, fill=-1.0, monitor=monitor))
        assert seen == sorted(seen)
    assert np.array_equal(*found) and (found[0] == -1).any() and (found[0] != -1).any()
