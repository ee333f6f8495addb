"""Live zoom's images: a view is the crop of the whole, lies where its pixels lie, and needs its own slices only."""

from __future__ import annotations

import numpy as np
import pytest
from live_fixtures import PLANES, TINY, TOLERANCE, Encoder, deviation, prepared_renderer, scans, trained, view
from phantoms import pair

import MultiContrastSRLib as mc
from MultiContrastSRLib import Volume
from MultiContrastSRLib.acquisition.lattice import LatticeImage, refinement_of
from MultiContrastSRLib.core.errors import CancelledError, MethodUnavailableError
from MultiContrastSRLib.core.progress import Monitor
from MultiContrastSRLib.image.oblique import ObliqueReader
from MultiContrastSRLib.image.sampling import sample
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
from MultiContrastSRLib.pipeline.sliced import SlicedImage

# ---------------------------------------------------------------------- a viewport is the crop of the whole


@pytest.mark.slow
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


@pytest.mark.slow
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


def test_the_refinement_for_a_grid_depends_on_its_voxels_and_not_on_its_shape():
    target = Volume(np.zeros((20, 60, 60)), np.diag([1.0, 1, 3, 1])).grid
    plain, everything = (False, True, True), (True, True, True)

    def refined(plane: str, pixel: float) -> tuple:
        grid = view(target, plane, pixel)
        whole = mc.Grid((5, 7, 9), grid.affine)
        assert refinement_of(target, grid) == refinement_of(target, whole)
        return refinement_of(target, grid)

    assert [refined("axial", pixel) for pixel in (0.2, 0.9, 2.0)] == [plain] * 3
    assert [refined("tilted", pixel) for pixel in (0.2, 0.9, 2.0)] == [plain] * 3  # by 8 degrees
    assert [refined("sagittal", pixel) for pixel in (0.2, 0.9, 2.0)] == [everything, everything, (True, False, False)]
    assert refined("steep", 0.2) == everything
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
        from MultiContrastSRLib.acquisition.lattice import fill_value, lattice_domain, lattice_kernels

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


# ---------------------------------------------------------------------- slices that are computed on demand


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


def test_only_slices_that_are_needed_are_computed_and_each_once(slow_slices):
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
    assert renderer._state(grid).slices_needed(view(target.grid, offset=500.0)) == range(0)


def test_slices_are_computed_in_batches_without_those_that_are_kept(slow_slices, monkeypatch):
    target, reference = scans((24, 40, 36))
    renderer = prepared_renderer(target, reference, view(target.grid), method="slow-slices")
    state, encoded = renderer._state(view(target.grid)), []
    one_by_one = state._slices(range(8, 16), False, Monitor())
    state._cache.clear()
    state._held.clear()
    slices = Encoder.slices

    def noted(self, start, stop, monitor=None):
        encoded.append(range(start, stop))
        if stop == 17:
            raise CancelledError("prepare")
        return slices(self, start, stop, monitor)

    monkeypatch.setattr(Encoder, "slices", noted)
    monkeypatch.setattr(Encoder, "batch", 3)
    state._slices(range(12, 13), False, Monitor())
    with pytest.raises(CancelledError):
        state._slices(range(8, 17), False, Monitor())
    assert encoded == [range(12, 13), range(8, 11), range(11, 12), range(13, 16), range(16, 17)]
    encoded.clear()
    batches = state._slices(range(8, 16), False, Monitor())  # what was done before the cancel is kept
    assert encoded == [] and all(map(np.array_equal, batches, one_by_one))
    assert all(each.base is None for each in batches)  # none keeps its whole batch in memory
    assert sorted(state._held) == [*range(8, 16)] and all(held.parts == 1 for held in state._held.values())


def test_apply_computes_a_method_by_slices_at_once(slow_slices):
    target, reference = scans()
    mc.super_resolve(target, reference, method="slow-slices", register="off")
    assert Encoder.made == []


def test_reformats_that_do_not_fit_into_memory_are_shown_from_the_slices(monkeypatch):
    from MultiContrastSRLib.core import memory

    target, reference = scans()
    monkeypatch.setattr(memory, "available_memory", lambda: 10_000_000)
    grid = view(target.grid, "sagittal")
    renderer = prepared_renderer(target, reference, grid)
    assert renderer.refinement(grid)[0]
    monkeypatch.setattr(memory, "available_memory", lambda: 1_500_000)
    renderer = prepared_renderer(target, reference, grid)
    assert not renderer.refinement(grid)[0] and renderer.render(grid).shape == grid.shape
    assert renderer.within_slices(grid) and "within slices" in renderer.report_of(grid).notes[-1]
