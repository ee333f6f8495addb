"""What leaves a method, whatever it is, stays within the limits: local range, no negative voxels, agreement."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from live_fixtures import Encoder, SlowSlices, view
from phantoms import affine, pair, psnr

import MultiContrastSRLib as mc
from MultiContrastSRLib import Volume
from MultiContrastSRLib.acquisition.lattice import LatticeImage, default_refinement
from MultiContrastSRLib.acquisition.model import AcquisitionModel
from MultiContrastSRLib.core.cache import Cache
from MultiContrastSRLib.methods import Method
from MultiContrastSRLib.methods.contract import REGISTRY

CLASSICAL = [method.name for method in mc.methods() if method.group == "classical"]
REPLACED = "plain interpolation is shown there instead"


@pytest.fixture
def spoiled() -> Iterator[Callable]:
    """Registers a method "spoiled": the zero-filled image, twice as fine, after a function of the test."""
    spoil: list[Callable] = []

    class Spoiled(Method):
        name, label, summary, group, citation = "spoiled", "Spoiled", "Goes wrong.", "trained", "None, 2026"

        def prepare(self, target, reference=None, *, refine=None, device="cpu", monitor=None, **options):
            model, refined = AcquisitionModel.estimate(target), refine or default_refinement(target.grid)
            samples = [n * (2 if r else 1) for n, r in zip(target.shape, refined, strict=True)]
            array = model.zero_fill(target.array, samples)
            spoil[-1](array)
            return LatticeImage(target, model, array)

    REGISTRY.register(Spoiled)
    yield spoil.append
    REGISTRY.unregister("spoiled")


@pytest.fixture(scope="module")
def low() -> Volume:
    return mc.degrade(pair((5, 96, 88))[0], "kspace", 2)


def checkerboard(array: np.ndarray, amplitude: float) -> None:
    array += np.float32(amplitude) * (1 - 2 * (np.indices(array.shape).sum(0) % 2))


def limits(warnings: tuple[str, ...]) -> list[str]:
    return [sentence for sentence in warnings if REPLACED in sentence]


@pytest.mark.parametrize("consistent", [True, False])
@pytest.mark.parametrize("wrong", [1e4, np.nan, np.inf])
def test_slices_that_diverge_are_interpolated_with_a_warning(consistent, wrong, low, spoiled):
    grid, settings = low.grid.scaled(2), {"scale": 2, "data_consistency": consistent}
    spoiled(lambda array: None)
    plain = mc.super_resolve(low, method="spoiled", **settings)
    spoiled(lambda array: checkerboard(array[1:3], wrong))
    result = mc.super_resolve(low, method="spoiled", **settings)
    tolerance = 1e-5 * np.ptp(low.array)
    assert np.abs(result.volume.array - plain.volume.array).max() < tolerance
    (warning,) = limits(result.report.warnings)
    assert "In 2 of 5 slices" in warning and not limits(plain.report.warnings)
    found = result.report.consistency
    assert found["replaced"] == 2 and found["held_back"] == pytest.approx(0.4)
    part = result.prepared.render(grid.crop((1, 10, 12), (4, 50, 60))).array
    assert np.abs(part - result.volume.array[1:4, 10:50, 12:60]).max() < tolerance


def test_few_voxels_are_held_back_without_a_warning(low, spoiled):
    spoiled(lambda array: array[3].__setitem__((40, 44), 1e5))
    result = mc.super_resolve(low, method="spoiled", scale=2)
    assert result.volume.array.max() < 2 * low.array.max() and not limits(result.report.warnings)
    assert result.report.consistency["held_back"] > 0 == result.report.consistency["replaced"]
    assert any("held back" in note for note in result.report.notes)
    assert result.report.consistency["residual_after"] < 1e-5


def test_blocks_of_a_volume_are_replaced(spoiled):
    truth, _ = pair((40, 44, 48))
    low = Volume(truth.array, np.eye(4), "T2")
    spoiled(lambda array: checkerboard(array[:20, :20, :20], 1e3))
    result = mc.super_resolve(low, method="spoiled", scale=2)
    assert len(limits(result.report.warnings)) == 1 and "of 8 blocks" in limits(result.report.warnings)[0]
    expected = mc.super_resolve(low, method="sinc", scale=2).volume.array
    assert np.abs(result.volume.array - expected).max() < np.ptp(low.array)


def test_an_image_of_something_else_is_told(low, spoiled):
    spoiled(lambda array: array.__imul__(-3))
    for consistent in (True, False):
        report = mc.super_resolve(low, method="spoiled", scale=2, data_consistency=consistent).report
        assert any("does not suit this scan" in sentence for sentence in report.warnings)
        assert not consistent or report.consistency["residual_before"] == pytest.approx(4, rel=0.1)
    assert not any("suit" in sentence for sentence in mc.super_resolve(low, method="linear", scale=2).report.warnings)


def test_slices_on_demand_are_held_within_the_same_limits(low):
    class Runaway(SlowSlices):
        name, label = "runaway", "Runaway"

        def prepare(self, target, reference=None, *, refine=None, device="cpu", monitor=None, **options):
            image = super().prepare(target, reference, refine=refine, monitor=monitor)
            array = image.array.copy()
            checkerboard(array[1:2], 1e4)
            array[2, 5, 5] = np.nan
            return LatticeImage(target, image.model, array)

    REGISTRY.register(Runaway)
    try:
        reference = pair((5, 96, 88))[1]
        whole = mc.prepare(low, reference, "runaway", register="off")
        sliced = mc.prepare(low, reference, "runaway", register="off", by_slices=Cache(1 << 26))
        sliced.render(view(low.grid, offset=6.0))
        assert not limits(sliced.warnings)
        grid = low.grid.scaled(2)
        assert np.array_equal(sliced.render(grid).array, whole.render(grid).array)
        assert limits(sliced.warnings) == limits(whole.warnings) != []
    finally:
        REGISTRY.unregister("runaway")
        Encoder.made = []


# ---------------------------------------------------------------------- no negative voxels


@pytest.mark.parametrize("consistent", [True, False])
@pytest.mark.parametrize("method", CLASSICAL)
def test_a_scan_without_negative_voxels_gives_none(method, consistent):
    truth, reference = pair((3, 96, 88))
    low = mc.degrade(truth, "kspace", 2, magnitude=True)
    run = mc.prepare(low, reference, method, register="off", data_consistency=consistent)
    for grid in (truth.grid, low.grid.scaled(1.7), view(low.grid, "tilted"), run.lattice):
        assert run.render(grid).array.min() >= 0
    if consistent:
        assert run.report.consistency["residual_after"] < 5e-3
    if consistent and method != "nearest":  # whose lattice is finer than this grid
        again = mc.degrade(run.render(truth.grid), "kspace", 2).array
        assert np.sqrt(np.square(again - low.array).mean() / np.square(low.array).mean()) < 5e-3


def test_projections_cost_no_quality_and_keep_the_data(monkeypatch):
    truth, reference = pair((3, 96, 88))
    low = mc.degrade(truth, "kspace", 3, magnitude=True)
    after, quality = [], []
    for projections in (0, 8):
        monkeypatch.setattr("MultiContrastSRLib.acquisition.agreement._PROJECTIONS", projections)
        run = mc.prepare(low, reference, "guided", register="off")
        after.append(run.report.consistency["residual_after"])
        quality.append(psnr(run.render(truth.grid), truth))
    assert after[1] < 0.4 * after[0] and quality[1] >= quality[0] - 0.05


@pytest.mark.parametrize("method", ["sinc", "guided"])
def test_a_scan_with_negative_voxels_is_not_clipped(method):
    truth, reference = pair((3, 96, 88))
    low = mc.degrade(truth, "kspace", 2)
    assert low.array.min() < 0
    run = mc.prepare(low, reference, method, register="off")
    assert run.render(truth.grid).array.min() < 0 and run.report.consistency["residual_after"] < 1e-5


def test_oblique_slabs_without_negative_voxels():
    truth, reference = (Volume(v.array, affine((1, 1, 1), (0.2, -0.1, 0.3)), v.name) for v in pair((24, 48, 44)))
    thick = mc.degrade(Volume(np.maximum(truth.array, 0), truth.affine, "T2"), "slab", 4, axis="k")
    run = mc.prepare(thick, reference, "guided", register="off", grid=truth.grid)
    assert run.render(truth.grid).array.min() >= 0 and run.report.consistency["residual_after"] < 5e-3
