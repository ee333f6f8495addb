"""Live zoom's engine: the latest request wins, coarse comes before full, memory is bounded."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from live_fixtures import TOLERANCE, Encoder, collect, deviation, prepared_renderer, scans, settle, view
from phantoms import pair

import MultiContrastSRLib as mc
from MultiContrastSRLib import Volume
from MultiContrastSRLib.core.cache import Cache
from MultiContrastSRLib.core.errors import CancelledError
from MultiContrastSRLib.core.progress import Monitor
from MultiContrastSRLib.live.renderer import ViewRenderer
from MultiContrastSRLib.live.request import Request
from MultiContrastSRLib.live.view import neighbours, same_plane

# ---------------------------------------------------------------------- memory


def test_the_cache_lets_the_least_recently_used_go():
    cache = Cache(1000)
    for name in "abc":
        cache.put(name, np.zeros(100, np.float32))
    assert (cache.nbytes, "a" in cache, "b" in cache, "c" in cache) == (800, False, True, True)
    cache.get("b")
    cache.put("d", np.zeros(100, np.float32))
    assert "b" in cache and "c" not in cache
    cache.put("huge", np.zeros(1000, np.float32))
    assert "huge" not in cache and cache.nbytes == 800
    cache.put("b", np.zeros(10, np.float32))
    assert cache.nbytes == 440
    cache.clear()
    assert (cache.nbytes, len(cache)) == (0, 0)


def test_the_bound_holds_while_panning_and_nothing_stays_after_closing(engine_of):
    target, reference = scans()
    cache = Cache(100_000)
    engine = engine_of(target, reference, cache)
    for step in range(12):
        grid = view(target.grid, pixel=0.5 - 0.02 * step)
        collect(engine, Request("Red", grid, neighbours=neighbours(grid, 3.0)))
        assert cache.nbytes <= 100_000
    assert len(cache) >= 2 and engine.nbytes > cache.nbytes
    assert engine.close(20) and (engine.nbytes, cache.nbytes, len(cache)) == (0, 0, 0)


# ---------------------------------------------------------------------- frames


def test_coarse_comes_before_full_and_then_from_the_cache(engine_of):
    target, reference = scans()
    engine = engine_of(target, reference)
    grid = view(target.grid, size=(200, 160))
    first = collect(engine, Request("Red", grid))
    assert [frame.final for frame in first] == [False, True]
    assert first[0].grid.shape == (1, 40, 50) and first[1].grid == grid and first[1].array.shape == grid.shape
    assert same_plane(first[0].grid, grid) and first[1].seconds > 0
    again = collect(engine, Request("Red", grid))
    assert len(again) == 1 and again[0].seconds == 0 and again[0].array is first[1].array
    expected = prepared_renderer(target, reference, grid).render(grid)
    assert deviation(first[1].array, expected, target) <= TOLERANCE


def test_neighbours_are_ready_before_they_are_asked_for(engine_of):
    target, reference = scans()
    engine = engine_of(target, reference)
    grid = view(target.grid)
    collect(engine, Request("Red", grid, neighbours=neighbours(grid, 3.0)))
    settle(engine)
    for near in neighbours(grid, 3.0):
        frames = collect(engine, Request("Red", near))
        assert len(frames) == 1 and frames[0].seconds == 0


def test_the_latest_request_wins(engine_of, slow_slices):
    """Requests that were overtaken cost no slices: of many, the first under way and the last are made."""
    slow_slices.seconds = 0.8
    target, reference = scans((24, 40, 36))
    engine = engine_of(target, reference, method="slow-slices")
    collect(engine, Request("Red", view(target.grid)))
    Encoder.made = []
    for step in range(1, 8):
        engine.request(Request("Red", view(target.grid, offset=3.0 * step)))
        time.sleep(0.02)
    collect(engine, Request("Red", view(target.grid, offset=-3.0)))
    assert len(Encoder.made) <= 2 and Encoder.made[-1] == 11


# ---------------------------------------------------------------------- preparations


@pytest.fixture
def held_preparation(monkeypatch):
    """Preparations for reformats go on, looking at their cancel, until the event is set."""
    go_on, prepare = threading.Event(), ViewRenderer.prepare

    def held(self, grid, cancel):
        while self.refinement(grid)[0] and not go_on.is_set():
            Monitor(None, cancel, stage="prepare").check()
            time.sleep(0.001)
        prepare(self, grid, cancel)

    monkeypatch.setattr(ViewRenderer, "prepare", held)
    yield go_on
    go_on.set()


def until(condition) -> None:
    """Wait for it, at most half a minute."""
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


def test_other_views_are_served_while_one_is_being_prepared(engine_of, held_preparation):
    target, reference = scans()
    engine = engine_of(target, reference)
    collect(engine, Request("Red", view(target.grid)))
    sagittal = Request("Yellow", view(target.grid, "sagittal"))
    engine.request(sagittal)
    until(lambda: engine.preparing)
    frames = collect(engine, Request("Red", view(target.grid, pixel=0.3)))
    assert frames[-1].final and engine.preparing
    held_preparation.set()
    settle(engine)
    assert engine.renderer.ready(sagittal.grid)


def test_reformats_are_shown_from_the_slices_while_they_are_being_prepared(engine_of):
    truth, reference = pair((24, 64, 60))
    target = mc.degrade(truth, "slab", 3)  # the reference has three slices for one of the target's
    engine = engine_of(target, reference)
    axial, sagittal = view(target.grid), view(target.grid, "sagittal")
    collect(engine, Request("Red", axial))
    assert not engine.renderer.within_slices(sagittal)
    first, *_, last = collect(engine, Request("Yellow", sagittal))
    plain = prepared_renderer(target, reference, axial).sketch(sagittal)
    assert not first.final and first.grid == sagittal and deviation(first.array, plain, target) <= TOLERANCE
    assert (first.within_slices, last.within_slices, first.method) == (True, False, "guided")
    full = prepared_renderer(target, reference, sagittal).render(sagittal)
    assert last.final and deviation(last.array, full, target) <= TOLERANCE < deviation(plain, full, target)


def test_withdrawing_the_only_view_that_needs_it_ends_a_preparation(engine_of, held_preparation):
    target, reference = scans()
    engine = engine_of(target, reference)
    collect(engine, Request("Red", view(target.grid)))
    engine.request(Request("Yellow", view(target.grid, "sagittal")))
    until(lambda: engine.preparing)
    engine.withdraw("Yellow")
    settle(engine)
    assert not engine.renderer.ready(view(target.grid, "sagittal"))


def test_cancel_callbacks_only_answer_and_preparations_have_a_thread_of_their_own(engine_of, held_preparation):
    """While one view is being prepared for, others are rendered by another thread, not within its cancel callback."""
    target, reference = scans()
    engine, rendered, answers = engine_of(target, reference), set(), []
    prepare, render = engine.renderer.prepare, engine.renderer.render

    def watched_prepare(grid, cancel):
        def watched_cancel():
            before = set(rendered)
            answers.append(cancel())
            assert threading.current_thread() not in rendered - before
            return answers[-1]

        prepare(grid, watched_cancel)

    def watched_render(grid, cancel=None, like=None):
        rendered.add(threading.current_thread())
        return render(grid, cancel, like)

    engine.renderer.prepare, engine.renderer.render = watched_prepare, watched_render
    collect(engine, Request("Red", view(target.grid)))
    engine.request(Request("Yellow", view(target.grid, "sagittal")))
    until(lambda: engine.preparing)
    collect(engine, Request("Red", view(target.grid, pixel=0.3)))
    assert engine.preparing and len(rendered) == 1 and set(answers) == {False}
    held_preparation.set()
    settle(engine)


# ---------------------------------------------------------------------- what frames hold, and the end


def test_differences_are_what_was_added_over_linear_interpolation(engine_of):
    target, reference = scans()
    engine = engine_of(target, reference)
    grid = view(target.grid, "tilted")
    frame = collect(engine, Request("Red", grid, difference=True))[-1]
    linear = mc.prepare(target, method="linear", data_consistency=False).render(grid).array
    np.testing.assert_allclose(frame.difference, frame.array - linear, atol=1e-3)
    assert np.abs(frame.difference).max() > 1


def test_drafts_are_coarse_and_kept_views_are_not(engine_of):
    target, reference = scans()
    engine = engine_of(target, reference, quality="draft")
    grid = view(target.grid)
    assert [frame.grid.shape for frame in collect(engine, Request("Red", grid))] == [(1, 40, 45)]
    assert engine.render(grid, 20).array.shape == grid.shape


def test_errors_come_as_frames_and_as_exceptions(engine_of):
    target, _ = scans()
    broken = Volume(np.where(np.indices(target.shape)[1] == 3, np.nan, target.array), target.affine, "broken")
    engine = engine_of(broken, None)
    frame = collect(engine, Request("Red", view(target.grid)))[-1]
    assert "NaN" in str(frame.error) and frame.array is None
    with pytest.raises(mc.MultiContrastSRError, match="NaN"):
        engine.render(view(target.grid), 20)


@pytest.mark.parametrize("where", ["ready", "effort"])
def test_an_error_outside_of_any_step_reaches_every_request(engine_of, monkeypatch, where):
    """Whatever fails between two steps, nobody waits for a thread that has ended."""

    def broken(self, grid):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(ViewRenderer, where, broken)
    target, reference = scans()
    engine = engine_of(target, reference)
    frame = collect(engine, Request("Red", view(target.grid)))[-1]
    assert isinstance(frame.error, ZeroDivisionError) and "in broken" in frame.details
    assert not engine.busy
    with pytest.raises(ZeroDivisionError):
        engine.render(view(target.grid), 20)
    assert collect(engine, Request("Red", view(target.grid)))[-1].error is not None


def test_waiting_for_a_frame_ends_with_the_engine_or_the_limit(engine_of, held_preparation):
    target, reference = scans()
    engine = engine_of(target, reference)
    with pytest.raises(mc.MultiContrastSRError, match=r"not rendered within 0.05 s.*try again"):
        engine.render(view(target.grid, "sagittal"), 0.05)
    threading.Timer(0.1, engine.close).start()
    with pytest.raises(CancelledError):
        engine.render(view(target.grid, "sagittal"))
    with pytest.raises(CancelledError):
        engine.render(view(target.grid, "sagittal"))


def test_closing_during_a_preparation_is_quick(engine_of):
    target, reference = scans((16, 256, 256))
    engine = engine_of(target, reference)
    engine.request(Request("Red", view(target.grid, "sagittal")))
    until(lambda: engine.preparing)
    start = time.perf_counter()
    engine.close()
    assert time.perf_counter() - start < 0.05 and engine.close(5)


def test_the_engine_needs_neither_qt_nor_vtk_nor_slicer():
    code = (
        "import sys; import MultiContrastSRLib.live.engine, MultiContrastSRLib.pipeline.sliced;"
        "print([m for m in ('vtk', 'vtkmodules', 'slicer', 'qt', 'PySide6', 'torch', 'SimpleITK') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
