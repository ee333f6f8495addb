"""Live zoom without Slicer: a viewport is the crop of the whole, the latest request wins, memory is bounded."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from live_fixtures import (
    PLANES,
    TINY,
    Encoder,
    SlowSlices,
    collect,
    live_threads,
    prepared_renderer,
    scans,
    settle,
    trained,
    view,
)
from phantoms import pair

import MultiContrastSRLib as mc
from MultiContrastSRLib import Volume
from MultiContrastSRLib.errors import MethodUnavailableError
from MultiContrastSRLib.lattice import LatticeImage, refinement_of
from MultiContrastSRLib.live.cache import Cache
from MultiContrastSRLib.live.engine import Engine, Request
from MultiContrastSRLib.live.renderer import ViewRenderer
from MultiContrastSRLib.live.sliced import SlicedImage
from MultiContrastSRLib.live.view import (
    Rectangle,
    coarser,
    effective_scale,
    key_of,
    neighbours,
    part_of,
    same_plane,
    seen_of,
    view_grid,
)
from MultiContrastSRLib.methods import all_methods
from MultiContrastSRLib.methods.base import REGISTRY
from MultiContrastSRLib.oblique import ObliqueReader
from MultiContrastSRLib.progress import Monitor
from MultiContrastSRLib.sampling import sample

TOLERANCE = 1e-4  # of the intensity range


@pytest.fixture
def slow_slices():
    """The method that encodes slices, registered for one test."""
    made = type("SlowSlicesOfOneTest", (SlowSlices,), {})
    REGISTRY.register(made)
    Encoder.made = []
    yield made
    REGISTRY.unregister("slow-slices")


@pytest.fixture
def engine_of():
    """Makes engines and closes them."""
    engines = []

    def make(target, reference, cache=None, quality="auto", **settings):
        cache = Cache(1 << 26) if cache is None else cache
        renderer = ViewRenderer(target, reference, cache, **{"register": "off", **settings})
        engines.append(Engine(renderer, cache, quality))
        return engines[-1]

    yield make
    for engine in engines:
        assert engine.close(20)
    assert live_threads() == []


def deviation(one: np.ndarray, other: np.ndarray, target: Volume) -> float:
    """Largest difference as a share of the target's intensity range."""
    return float(np.abs(one - other).max() / np.ptp(target.array))


# ---------------------------------------------------------------------- a viewport is the crop of the whole


@pytest.mark.parametrize("plane", PLANES)
@pytest.mark.parametrize("method", [m.name for m in all_methods()])
def test_a_viewport_is_the_crop_of_the_whole(method, plane):
    target, reference = scans((4, 40, 36))
    whole = view(target.grid, plane, pixel=0.4, size=(80, 70))
    try:
        renderer = prepared_renderer(target, reference, whole, method=method, **trained(method))
    except MethodUnavailableError as error:
        pytest.skip(str(error))
    image = renderer.render(whole)
    assert np.ptp(image) > 0.2 * np.ptp(target.array)  # there is something to compare
    for part in (Rectangle(20, 60, 15, 50), Rectangle(0, 7, 0, 9), Rectangle(41, 42, 30, 70)):
        crop = renderer.render(part_of(whole, part))
        expected = image[:, part.bottom : part.top, part.left : part.right]
        assert deviation(crop, expected, target) <= TOLERANCE


@pytest.mark.parametrize("method", ["linear", "bspline", "sinc", "guided", *TINY])
def test_a_view_shows_what_apply_would_make(method):
    target, reference = scans((4, 40, 36))
    result = mc.super_resolve(target, reference, method=method, scale=3, register="off", **trained(method)).volume
    plane = result.grid.crop((2, 0, 0), (3, *result.shape[1:]))
    grid = view_grid(np.array(plane.affine), plane.shape[2], plane.shape[1], target.grid)
    renderer = prepared_renderer(target, reference, grid, method=method, **trained(method))
    assert deviation(renderer.render(grid), result.array[2:3], target) <= TOLERANCE
    assert not renderer.within_slices(grid)


@pytest.mark.parametrize("spacing", [0.8, 1.5, 3.0])
@pytest.mark.parametrize("method", ["sinc", "guided"])
def test_a_reformat_shows_what_apply_would_make(method, spacing):
    """Pixels finer than the target's everywhere; finer than its slices are thick; than neither within slices."""
    truth, reference = pair((12, 36, 36))  # 36 mm along each axis, which the spacings divide
    target = mc.degrade(mc.degrade(truth, "kspace", (1, 1.2, 1.2)), "slab", 2)  # 6 × 1.2 × 1.2 mm
    result = mc.super_resolve(target, reference, method=method, spacing=spacing, register="off").volume
    column = result.shape[2] // 2
    matrix = np.eye(4)  # x along the result's rows, y along its slices
    matrix[:3, :3] = result.affine[:3, [1, 2, 0]]
    matrix[:3, 3] = result.grid.positions(np.array([0, 0, column]))
    grid = view_grid(matrix, result.shape[1], result.shape[0], target.grid)
    renderer = prepared_renderer(target, reference, grid, method=method)
    assert deviation(renderer.render(grid)[0], result.array[:, :, column], target) <= TOLERANCE
    assert not renderer.within_slices(grid)


def test_what_a_grid_asks_for_depends_on_its_voxels_and_not_on_its_shape():
    target = Volume(np.zeros((20, 60, 60)), np.diag([1.0, 1, 3, 1])).grid
    plain, everything = (False, True, True), (True, True, True)

    def asked(plane: str, pixel: float) -> tuple:
        grid = view(target, plane, pixel)
        whole = mc.Grid((5, 7, 9), grid.affine)
        assert refinement_of(target, grid) == refinement_of(target, whole)
        return refinement_of(target, grid)

    assert [asked("axial", pixel) for pixel in (0.2, 0.9, 2.0)] == [plain] * 3
    assert [asked("tilted", pixel) for pixel in (0.2, 0.9, 2.0)] == [plain] * 3  # by 8 degrees
    assert [asked("sagittal", pixel) for pixel in (0.2, 0.9, 2.0)] == [everything, everything, (True, False, False)]
    assert asked("steep", 0.2) == everything
    assert refinement_of(target, target.scaled((1, 2, 1))) == (False, True, False)
    cubes = Volume(np.zeros((20, 20, 20)), np.eye(4)).grid
    assert {refinement_of(cubes, view(cubes, plane, pixel)) for plane in PLANES for pixel in (0.3, 2.0)} == {everything}


def test_oblique_planes_read_from_the_fine_copy_agree_with_the_kernels():
    """On a band-limited image, the exact kernels against the spline of the finer copy."""
    target, _ = scans()
    state = prepared_renderer(target, None, target.grid, method="sinc")._state(target.grid)
    assert type(state) is LatticeImage
    for plane in ("tilted", "steep"):
        grid = view(target.grid, plane, pixel=0.7)
        from MultiContrastSRLib.lattice import fill_value, lattice_domain, lattice_kernels

        exact = sample(
            state.array,
            state.lattice,
            grid,
            lattice_kernels(state.model),
            fill=fill_value(target),
            domain=lattice_domain(state.model, state.array.shape),
        )
        assert deviation(state.render(grid).array, exact, target) < 0.02


def test_pixels_coarser_than_the_image_are_means():
    """A chessboard of single samples seen from far away is grey, not moiré."""
    board = (np.indices((3, 64, 64)).sum(axis=0) % 2).astype(np.float32)
    volume = Volume(board, np.diag([1, 1, 3, 1]))
    state = prepared_renderer(volume, None, volume.grid, method="sinc", data_consistency=False)
    reader = ObliqueReader(board, volume.grid, [lambda n, x, step: np.eye(n)[np.clip(x.astype(int), 0, n - 1)]] * 3,
                           (False,) * 3)  # fmt: skip
    grid = view(volume.grid, "tilted", pixel=4.0, size=(10, 10))
    assert np.ptp(reader.read(grid, 0.0, [(-0.5, n - 0.5) for n in board.shape])) < 0.35
    assert state.target is volume


# ---------------------------------------------------------------------- geometry


def test_the_grid_of_a_view_lies_where_its_pixels_lie():
    target, _ = scans()
    matrix = np.eye(4)
    matrix[:3, :3] = PLANES["tilted"] * (0.3, 0.3, 7.0)
    matrix[:3, 3] = 5, -3, 2
    grid = view_grid(matrix, 30, 20, target.grid)
    assert grid.shape == (1, 20, 30)
    np.testing.assert_allclose(grid.positions(np.array([0, 19, 29])), (matrix @ (29, 19, 0, 1))[:3], atol=1e-6)
    np.testing.assert_allclose(grid.spacing[1:], 0.3, atol=1e-6)
    assert abs(view(target.grid, "axial").spacing[0] - target.spacing[0]) < 1e-6
    assert abs(view(target.grid, "sagittal").spacing[0] - 0.5) < 1e-6  # a cube
    with pytest.raises(mc.MultiContrastSRError, match="0 × 20 pixels"):
        view_grid(matrix, 0, 20, target.grid)


def test_only_pixels_that_show_something_of_the_target_are_rendered():
    target, _ = scans()
    grid = view(target.grid, "tilted", size=(400, 300))
    seen = seen_of(target.grid, grid)
    assert 0 < seen.left < seen.right < 400 and 0 < seen.bottom < seen.top < 300
    index = np.stack(np.meshgrid([0], np.arange(300), np.arange(400), indexing="ij"), axis=-1)
    place = target.grid.indices(grid.positions(index))[0]
    inside = ((place > -0.5) & (place < np.array(target.shape) - 0.5)).all(axis=-1)
    rows, columns = np.nonzero(inside)
    assert seen.left <= columns.min() and columns.max() < seen.right
    assert seen.bottom <= rows.min() and rows.max() < seen.top
    assert seen.right - seen.left < np.ptp(columns) + 20
    assert seen_of(target.grid, view(target.grid, offset=500.0)).empty


def test_planes_neighbours_and_keys():
    target, _ = scans()
    grid = view(target.grid)
    near = neighbours(grid, 3.0)
    assert [round(float((n.affine - grid.affine)[2, 3]), 6) for n in near] == [-3, 3, -6, 6]  # a left-handed view
    assert same_plane(grid, part_of(grid, Rectangle(3, 9, 2, 5))) and not same_plane(grid, near[0])
    assert same_plane(grid, coarser(grid, 4)) and coarser(grid, 4).shape == (1, 20, 22)
    assert key_of(grid) == key_of(mc.Grid(grid.shape, grid.affine + np.eye(4) * 1e-9 * (1, 1, 1, 0)))
    assert key_of(grid) != key_of(near[0])
    assert effective_scale(target.grid, grid) == pytest.approx(target.spacing[1] / 0.5)
    lens = Rectangle.around(10, 5, 20).within(50, 50)
    assert lens == Rectangle(0, 20, 0, 15) and not lens.empty


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


# ---------------------------------------------------------------------- slices that are computed when looked at


@pytest.mark.parametrize("plane", ["axial", "tilted"])
def test_slice_by_slice_gives_what_the_whole_gives(slow_slices, plane):
    target, reference = scans((30, 40, 36) if plane == "tilted" else (6, 72, 66))
    for offset in (0.0, 1.1):
        grid = view(target.grid, plane, offset=offset)
        whole = prepared_renderer(target, reference, grid, method="guided")
        sliced = prepared_renderer(target, reference, grid, method="slow-slices")
        assert type(sliced._state(grid)) is SlicedImage
        limit = TOLERANCE if plane == "axial" else 1e-3  # beyond the slices kept the spline has not quite died away
        assert deviation(sliced.render(grid), whole.render(grid), target) <= limit


def test_only_slices_that_are_looked_at_are_computed_and_each_once(slow_slices):
    target, reference = scans((24, 40, 36))
    grid = view(target.grid)
    renderer = prepared_renderer(target, reference, grid, method="slow-slices")
    assert renderer.missing(grid) == 0 and Encoder.made == [12]
    renderer.render(grid)
    renderer.render(view(target.grid, pixel=0.2))
    assert Encoder.made == [12]
    renderer.render(view(target.grid, offset=3.0))
    assert Encoder.made == [12, 13]
    between = view(target.grid, offset=1.5)
    assert 10 < renderer.missing(between) < 24  # a spline through the neighbours, not all of them
    assert renderer._state(grid).looked_at(view(target.grid, offset=500.0)) == range(0)


def test_apply_computes_a_method_by_slices_at_once(slow_slices):
    target, reference = scans()
    mc.super_resolve(target, reference, method="slow-slices", register="off")
    assert Encoder.made == []


# ---------------------------------------------------------------------- the engine


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


def test_closing_during_a_preparation_is_quick(engine_of):
    target, reference = scans((16, 256, 256))
    engine = engine_of(target, reference)
    engine.request(Request("Red", view(target.grid, "sagittal")))
    until(lambda: engine.preparing)
    start = time.perf_counter()
    engine.close()
    assert time.perf_counter() - start < 0.05 and engine.close(5)


def test_reformats_that_do_not_fit_into_memory_are_shown_from_the_slices(monkeypatch):
    from MultiContrastSRLib import memory

    target, reference = scans()
    monkeypatch.setattr(memory, "available_memory", lambda: 10_000_000)
    grid = view(target.grid, "sagittal")
    renderer = prepared_renderer(target, reference, grid)
    assert renderer.refinement(grid)[0]
    monkeypatch.setattr(memory, "available_memory", lambda: 1_500_000)
    renderer = prepared_renderer(target, reference, grid)
    assert not renderer.refinement(grid)[0] and renderer.render(grid).shape == grid.shape
    assert renderer.within_slices(grid) and "within slices" in renderer.report_of(grid).notes[-1]


def test_the_engine_needs_neither_qt_nor_vtk_nor_slicer():
    code = (
        "import sys; import MultiContrastSRLib.live.engine, MultiContrastSRLib.live.sliced;"
        "print([m for m in ('vtk', 'vtkmodules', 'slicer', 'qt', 'PySide6', 'torch', 'SimpleITK') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
