"""Live zoom with trained networks: slices of the volume one by one, something to see meanwhile, bounded memory."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from live_fixtures import TINY, TOLERANCE, Encoder, collect, deviation, prepared_renderer, scans, settle, trained, view
from phantoms import pair
from scipy import ndimage

import MultiContrastSRLib as mc
from MultiContrastSRLib import Volume
from MultiContrastSRLib.acquisition.consistency import make_consistent
from MultiContrastSRLib.acquisition.model import AcquisitionModel
from MultiContrastSRLib.core.cache import Cache
from MultiContrastSRLib.core.errors import CancelledError
from MultiContrastSRLib.core.progress import Monitor
from MultiContrastSRLib.live.request import Request
from MultiContrastSRLib.live.schedule import Schedule
from MultiContrastSRLib.live.view import Rectangle, neighbours, part_of
from MultiContrastSRLib.methods import get
from MultiContrastSRLib.pipeline.sliced import SlicedImage

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def small() -> tuple[Volume, Volume]:
    return scans((5, 40, 36))


@pytest.fixture
def slow_slices(slow_slices):
    """A trained method that takes its time for a slice and has a sketch of it."""
    slow_slices.sketched_by, slow_slices.seconds = "guided", 0.3
    return slow_slices


@pytest.fixture(scope="module")
def cubes() -> tuple[Volume, Volume]:
    """Isotropic scans; the target was zero-filled along all axes, the reference has half its voxel size."""
    truth = np.random.default_rng(4).random((40, 44, 36)).astype(np.float32)
    truth = ndimage.gaussian_filter(truth, 0.5) * (ndimage.gaussian_filter(truth, 5.0) > 0.499)
    spectrum = np.fft.fftn(truth)
    for axis, n in enumerate(truth.shape):
        frequencies = np.abs(np.fft.fftfreq(n)).reshape([-1 if a == axis else 1 for a in range(3)])
        spectrum = spectrum * (frequencies < 0.34)
    target = Volume(np.fft.ifftn(spectrum).real.astype(np.float32), np.eye(4), "target")
    assert not any(axis.support.full for axis in AcquisitionModel.estimate(target).axes)
    fine = ndimage.zoom(truth, 2, order=1, grid_mode=True, mode="nearest")
    offset = np.array([[1, 0, 0, -0.25], [0, 1, 0, -0.25], [0, 0, 1, -0.25], [0, 0, 0, 1]])
    return target, Volume(fine, offset @ np.diag([0.5, 0.5, 0.5, 1.0]), "reference")


# ---------------------------------------------------------------------- slices


@pytest.mark.usefixtures("without_trials")
@pytest.mark.parametrize("shown", ["whole", "half", "none"])
@pytest.mark.parametrize("method", TINY)
def test_slices_are_those_of_the_volume(method, shown, small):
    target, reference = small
    if shown == "half":
        reference = Volume.on(reference.grid.crop((0, 0, 0), (5, 40, 18)), np.array(reference.array[:, :, :18]), "half")
    reference = None if shown == "none" else reference
    whole = get(method).prepare(target, reference, **trained(method))
    encoder = get(method).prepare_slices(target, reference, **trained(method))
    assert encoder.lattice == whole.lattice and encoder.notes == whole.notes
    for number in (3, 0):  # in any order
        made = encoder.slices(number, number + 1)
        assert deviation(made, whole.array[number : number + 1]) <= TOLERANCE
        assert deviation(encoder.sketch(number, number + 1), made) > 20 * TOLERANCE  # the network adds something


@pytest.mark.parametrize("method", ["swift", "minet"])
def test_the_sketch_is_what_the_network_corrects(method, small):
    target, reference = small
    encoder = get(method).prepare_slices(target, reference, **trained(method))
    guided, _ = make_consistent(get("guided").prepare(target, reference))
    expected = guided.render(encoder.lattice).array
    assert encoder.sketched_by == "guided"
    assert deviation(encoder.sketch(1, 4), expected[1:4]) <= TOLERANCE


def test_the_reference_check_decides_once_and_for_both():
    target, reference = scans((4, 96, 88))
    noise = Volume(np.random.default_rng(1).uniform(0, 200, reference.shape), reference.affine, "noise")
    options = {**trained("dual-arbnet"), "check_reference": True}
    encoder = get("dual-arbnet").prepare_slices(target, noise, **options)
    whole = get("dual-arbnet").prepare(target, noise, **options)
    assert encoder.notes == whole.notes
    assert deviation(encoder.slices(2, 3), whole.array[2:3]) <= TOLERANCE


def test_slices_are_not_offered_where_they_are_not_independent():
    cubes = Volume(np.random.default_rng(0).random((20, 24, 22)), np.eye(4), "cubes")
    assert get("swift").prepare_slices(cubes, None, **trained("swift")) is None  # several passes
    thick = Volume(np.random.default_rng(0).random((6, 24, 22)), np.diag([1.0, 1, 3, 1]), "t", {"slice_thickness": 7.0})
    assert get("swift").prepare_slices(thick, None, **trained("swift")) is None  # slabs overlap
    fits = Volume(thick.array, thick.affine, "t", {"slice_thickness": 3.0})
    assert get("swift").prepare_slices(fits, None, **trained("swift")) is not None


@pytest.mark.parametrize("method", ["swift", "dual-arbnet", "dinet"])
def test_networks_decode_at_most_as_fine_as_they_were_trained(method):
    truth, reference = pair((3, 160, 144))
    target = mc.degrade(truth, "kspace", 8)
    encoder = get(method).prepare_slices(target, reference, **trained(method))
    shapes = []
    encoder._step.network.net.register_forward_hook(lambda net, inputs, image: shapes.append(tuple(image.shape[-2:])))
    made = encoder.slices(1, 2)
    assert encoder.lattice.shape == (3, 160, 144) and made.shape == (1, 160, 144)
    assert shapes == [(130, 117)]  # 6.5 times 20 and 18


@pytest.mark.parametrize("shape", [(3, 160, 144), (3, 159, 145)])
def test_beyond_its_scales_a_network_adds_what_is_interpolated_to_the_guided_image(shape):
    truth, reference = pair(shape)
    target = mc.degrade(truth, "kspace", 8)
    guided, _ = make_consistent(get("guided").prepare(target, reference))
    encoder = get("swift").prepare_slices(target, reference, **trained("swift"))
    assert deviation(encoder.sketch(1, 2), guided.array[1:2]) <= TOLERANCE
    added = encoder.slices(1, 2) - encoder.sketch(1, 2)
    for axis, n in ((1, 130), (2, 117)):
        spectrum = np.abs(np.fft.rfft(added, axis=axis)).max(axis=tuple(a for a in range(3) if a != axis))
        assert spectrum[n // 2 + 1 :].max() < 1e-4 * spectrum.max()  # nothing finer than the network's own lattice


def test_a_cancel_is_heard_between_layers(small):
    target, reference = small
    encoder = get("dinet").prepare_slices(target, reference, **trained("dinet"))
    encoder.sketch(2, 3)
    asked = []
    encoder.slices(2, 3, Monitor(None, lambda: bool(asked.append(None))))
    assert len(asked) > 20
    for stop in (1, len(asked) // 2, len(asked) - 1):
        count = iter(range(stop))
        with pytest.raises(CancelledError):
            encoder.slices(2, 3, Monitor(None, lambda count=count: next(count, None) is None))


@pytest.mark.parametrize("across", [0, 1, 2])
@pytest.mark.usefixtures("without_trials")
def test_slices_of_an_isotropic_volume_are_those_of_the_volume_along_any_axis(across, cubes):
    refine = tuple(axis != across for axis in range(3))
    whole = get("swift").prepare(*cubes, refine=refine, **trained("swift"))
    encoder = get("swift").prepare_slices(*cubes, refine=refine, **trained("swift"))
    assert encoder.axis == across and encoder.lattice == whole.lattice
    made = encoder.slices(7, 9)
    assert made.shape[across] == 2
    assert deviation(made, whole.array.take((7, 8), across)) <= TOLERANCE
    assert deviation(encoder.sketch(7, 9), made) > 20 * TOLERANCE


# ---------------------------------------------------------------------- views


def test_a_zoomed_view_is_the_crop_of_the_view_and_takes_no_network(small):
    target, reference = small
    whole = view(target.grid, pixel=0.3, size=(100, 90))
    renderer = prepared_renderer(target, reference, whole, method="swift", **trained("swift"))
    image = renderer.render(whole)
    renderer._state(whole)._encoder = None  # all that follows comes from slices that are there
    crop = renderer.render(part_of(whole, Rectangle(30, 60, 20, 55)))
    assert deviation(crop, image[:, 20:55, 30:60]) <= TOLERANCE


@pytest.mark.parametrize(("plane", "across"), [("axial", 0), ("coronal", 1), ("sagittal", 2)])
def test_isotropic_volumes_are_made_in_the_plane_of_the_view(plane, across, cubes):
    target, reference = cubes
    seen = view(target.grid, plane, pixel=0.4, size=(70, 60))
    renderer = prepared_renderer(target, reference, seen, method="swift", **trained("swift"))
    state = renderer._state(seen)
    assert type(state) is SlicedImage and state.axis == across
    assert renderer.missing(seen) == 0 < renderer.missing(view(target.grid, plane, offset=12.0))
    assert renderer.within_slices(seen)
    scale = tuple(1.0 if axis == across else 2.0 for axis in range(3))
    applied = mc.prepare(target, reference, method="swift", register="off", **trained("swift"))
    applied.render(target.grid.scaled(scale))
    whole = applied.image(renderer.refinement(seen))
    assert deviation(renderer.render(seen), whole.render(seen).array) <= TOLERANCE


def test_frames_say_what_they_show(small, engine_of):
    engine = engine_of(*small, method="swift", **trained("swift"))
    grid = view(small[0].grid)
    frames = collect(engine, Request("Red", grid))
    assert type(engine.renderer._state(grid)) is SlicedImage
    assert [(f.method, f.final) for f in frames if f.method == "guided"] == [("guided", False)]
    assert (frames[0].method, frames[-1].method) == ("guided", "swift") and not frames[-1].within_slices
    reformat = collect(engine, Request("Yellow", view(small[0].grid, "sagittal")))[-1]
    assert reformat.method == "swift" and reformat.within_slices
    assert "within slices" in engine.renderer.report_of(reformat.grid).notes[-1]
    assert engine.renderer.report_of(grid).notes == engine.renderer.report.notes


def test_neighbours_are_encoded_when_idle(small, engine_of):
    target, reference = small
    engine = engine_of(target, reference, method="swift", **trained("swift"))
    grid = view(target.grid)
    collect(engine, Request("Red", grid, neighbours=neighbours(grid, 3.0)))
    settle(engine)
    state = engine.renderer._state(grid)
    assert [state.missing(near) for near in neighbours(grid, 3.0)] == [0] * 4
    assert collect(engine, Request("Red", neighbours(grid, 3.0)[3]))[0].seconds == 0


# ---------------------------------------------------------------------- while a slice is in the making


def test_a_slice_that_nobody_looked_at_is_sketched_before_it_is_made(engine_of, slow_slices, monkeypatch):
    target, reference = scans((12, 40, 36))
    looked, right = threading.Event(), Schedule.next_preparation
    looked.set()
    # the thread for frames looks first, finds nothing, and waits
    monkeypatch.setattr(Schedule, "next_preparation", lambda schedule: right(schedule) if looked.is_set() else None)
    engine = engine_of(target, reference, method="slow-slices")
    collect(engine, Request("Red", view(target.grid)))
    settle(engine)
    next_frame = engine._schedule.next_frame

    def look(preparing: bool):
        looked.set()
        engine._changed.notify_all()
        return next_frame(preparing)

    monkeypatch.setattr(engine._schedule, "next_frame", look)
    looked.clear()
    made = [*Encoder.made]
    engine.request(Request("Red", view(target.grid, offset=9.0)))
    assert engine.wait(60.0) and Encoder.made == made  # the slice is still being made
    assert [frame.method for frame in engine.frames()] == ["guided"]


def test_panning_does_not_begin_a_slice_again_and_shows_its_sketch(engine_of, slow_slices):
    slow_slices.seconds = 1.0
    target, reference = scans((12, 40, 36))
    engine = engine_of(target, reference, method="slow-slices")
    grid = view(target.grid)
    engine.request(Request("Red", grid))
    seen, end = [], time.monotonic() + 30
    for step in range(200):
        seen += engine.frames()
        if Encoder.made or time.monotonic() > end:
            break
        part = part_of(grid, Rectangle(step % 20, 60, 0, 50))
        engine.request(Request("Red", part))
        time.sleep(0.03)
    last = collect(engine, Request("Red", part_of(grid, Rectangle(5, 60, 0, 50))))[-1]
    assert Encoder.made == [6]
    shown = [frame.method for frame in seen]
    sketches = shown.index("slow-slices") if "slow-slices" in shown else len(shown)  # the slice may be there by now
    assert sketches > 3 and set(shown[:sketches]) == {"guided"} and "guided" not in shown[sketches:]
    assert not any(frame.final for frame in seen[:sketches])
    expected = prepared_renderer(target, reference, last.grid).render(last.grid)
    assert last.method == "slow-slices" and deviation(last.array, expected) <= TOLERANCE


def test_other_views_are_served_while_a_slice_is_in_the_making(engine_of, slow_slices):
    target, reference = scans((12, 40, 36))
    engine = engine_of(target, reference, method="slow-slices")
    here, there = view(target.grid), view(target.grid, offset=6.0)
    collect(engine, Request("Red", here))
    slow_slices.seconds = 1.0
    engine.renderer._state(here)._encoder._seconds = 1.0
    engine.request(Request("Green", there))
    while not engine.preparing:
        time.sleep(0.001)
    begin = time.perf_counter()
    frame = collect(engine, Request("Red", view(target.grid, pixel=0.4)))[-1]
    assert frame.final and time.perf_counter() - begin < 0.8 and Encoder.made == [6]
    settle(engine)
    assert Encoder.made == [6, 8]


# ---------------------------------------------------------------------- memory


def test_views_larger_than_the_cache_are_shown_all_the_same(engine_of, slow_slices):
    slow_slices.seconds = 0.0
    target, reference = scans((12, 40, 36))
    limit = 5 * 40 * 36 * 4
    engine = engine_of(target, reference, Cache(limit), method="slow-slices")
    for plane in ("axial", "tilted", "sagittal"):
        grid = view(target.grid, plane, size=(40, 30))
        last = collect(engine, Request("Red", grid, neighbours=neighbours(grid, 3.0)))[-1]
        settle(engine)
        assert last.final and engine.cache.nbytes <= limit
        expected = prepared_renderer(target, reference, grid, method="slow-slices").render(grid)
        assert deviation(last.array, expected) <= TOLERANCE
