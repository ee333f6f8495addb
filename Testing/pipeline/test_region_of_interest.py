"""A run that is limited to a region gives the crop of the whole result."""

from __future__ import annotations

from types import SimpleNamespace

import live_fixtures
import numpy as np
import pytest
from live_fixtures import TINY, trained
from phantoms import pair

import MultiContrastSRLib as mc
from MultiContrastSRLib import Volume
from MultiContrastSRLib.cli import main
from MultiContrastSRLib.core.errors import InputError
from MultiContrastSRLib.image.region import Region

FAST = ("nearest", "linear", "bspline", "lanczos", "sinc", "guided", "joint-tv")


@pytest.fixture(scope="module")
def scans():
    truth, reference = pair((12, 96, 88))
    return mc.degrade(truth, "kspace", 2), reference


def crop_of(whole, part):
    """The samples of `whole` that lie where those of `part` do."""
    start = np.round(whole.grid.indices(part.grid.positions(np.zeros(3)))).astype(int)
    assert whole.grid.crop(start, start + part.shape).same_as(part.grid)
    return whole.array[tuple(slice(a, a + n) for a, n in zip(start, part.shape, strict=True))]


@pytest.mark.parametrize("method", FAST)
@pytest.mark.parametrize("size", [{"scale": 2}, {"spacing": 1.0}])
def test_the_result_is_the_crop_of_the_whole(scans, method, size):
    target, reference = scans
    region = Region.of(target.grid.center + np.array([3, -5, 2]), (30, 24, 14))
    whole = mc.super_resolve(target, reference, method=method, register="off", **size)
    part = mc.super_resolve(target, reference, method=method, register="off", region=region, **size)
    assert part.volume.shape == tuple(b - a for a, b in zip(*region.crop(whole.volume.grid), strict=True))
    assert np.abs(crop_of(whole.volume, part.volume) - part.volume.array).max() < 1e-4 * np.ptp(target.array)
    assert part.report.consistency == whole.report.consistency and part.report.scale == whole.report.scale
    assert part.report.shape == part.volume.shape
    assert "a box of 30 × 24 × 14 mm" in part.report.notes[-1]


@pytest.fixture
def computed(monkeypatch):
    """The slices that trained methods computed, in order, and how many slices their network received."""
    pytest.importorskip("torch")
    from MultiContrastSRLib.inference.prepared_step import PreparedStep
    from MultiContrastSRLib.inference.slice_network import SliceNetwork

    found = SimpleNamespace(slices=[], received=0)
    slices, call = PreparedStep.slices, SliceNetwork.__call__

    def counted(self, across, numbers, monitor):
        found.slices.extend(range(numbers.start, numbers.stop))
        return slices(self, across, numbers, monitor)

    def called(self, stack, *normalisations):
        found.received += len(stack.base)
        return call(self, stack, *normalisations)

    monkeypatch.setattr(PreparedStep, "slices", counted)
    monkeypatch.setattr(SliceNetwork, "__call__", called)
    return found


@pytest.mark.slow
def test_a_trained_method_computes_only_the_slices_in_the_region(scans, computed):
    target, reference = scans
    settings = {"method": "swift", "register": "off", "test_time_augmentation": 1}
    whole = mc.super_resolve(target, reference, **settings).volume
    assert sorted(computed.slices) == list(range(12))
    computed.slices.clear()
    seen = []
    region = Region.of(target.grid.center, (40, 40, 8))
    part = mc.super_resolve(target, reference, region=region, progress=lambda *step: seen.append(step), **settings)
    assert sorted(computed.slices) == [4, 5, 6, 7]
    assert np.abs(crop_of(whole, part.volume) - part.volume.array).max() < 1e-4 * np.ptp(target.array)
    fractions = [fraction for fraction, _ in seen]
    assert fractions == sorted(fractions) and fractions[-1] == 1.0


@pytest.mark.slow
@pytest.mark.parametrize("method", sorted(TINY))
def test_slices_outside_the_region_are_computed_once_they_are_rendered(computed, method):
    target, reference = live_fixtures.scans((10, 64, 60))
    settings = {"register": "off", **trained(method)}
    grid = target.grid.scaled((1, 2, 2))
    whole = mc.super_resolve(target, reference, method=method, **settings).volume
    assert whole.grid.same_as(grid)
    least = 1e-4 * np.ptp(target.array)
    computed.slices.clear()
    region = Region.of(target.grid.center, (20, 24, 8))
    part = mc.super_resolve(target, reference, method=method, region=region, **settings)
    assert computed.slices == [3, 4, 5, 6]
    assert np.abs(crop_of(whole, part.volume) - part.volume.array).max() < least
    # in the same slices, then in others
    for start, stop, further in (((4, 0, 10), (6, 64, 50), []), ((5, 30, 30), (9, 50, 60), [7, 8])):
        computed.slices.clear()
        other = part.prepared.render(grid.crop(start, stop))
        assert computed.slices == further
        assert np.abs(crop_of(whole, other) - other.array).max() < least


@pytest.mark.slow
@pytest.mark.usefixtures("without_trials")
@pytest.mark.parametrize("method", ["swift", "dinet"])
def test_a_network_runs_without_the_reference_only_where_that_is_missing(computed, method, monkeypatch):
    from MultiContrastSRLib.inference import prepared_step

    target, reference = live_fixtures.scans((12, 40, 36))
    lower = Volume.on(reference.grid.crop((0, 0, 0), (6, 40, 36)), np.array(reference.array[:6]), "lower half")

    def made():
        computed.received = 0
        return mc.super_resolve(target, lower, method=method, register="off", **trained(method)).volume.array

    image = made()
    assert 12 < computed.received <= 16  # slices at the border are blended from both
    monkeypatch.setattr(prepared_step, "_seen", lambda share, _: [np.ones(len(share), bool)] * 2)
    assert np.abs(made() - image).max() < 1e-5 * np.ptp(target.array)
    assert computed.received == 24


@pytest.mark.slow
@pytest.mark.usefixtures("without_trials")
@pytest.mark.parametrize("method", ["swift", "dual-arbnet", "dinet"])
def test_planes_outside_the_region_are_left_out_where_slices_are_added(computed, method):
    truth, reference = pair((24, 40, 36))
    target = mc.degrade(truth, "slab", (4, 1, 1))
    settings = {"method": method, "register": "off", **trained(method)}
    grid = target.grid.scaled((4, 1, 1))
    whole = mc.super_resolve(target, reference, scale=(4, 1, 1), **settings).volume
    assert sorted(computed.slices) == sorted([*range(40), *range(36)])
    least = 1e-4 * np.ptp(target.array)
    computed.slices.clear()
    part = mc.super_resolve(target, reference, scale=(4, 1, 1), region=Region.of(target.grid.center, 10), **settings)
    assert part.volume.shape[1:] == (10, 10)
    assert sorted(computed.slices) == sorted([*range(15, 25), *range(13, 23)])
    assert np.abs(crop_of(whole, part.volume) - part.volume.array).max() < least
    base = mc.super_resolve(target, reference, scale=(4, 1, 1), method="guided", register="off").volume
    assert np.abs(crop_of(base, part.volume) - part.volume.array).max() > least  # the network adds something
    # a crop of it, then more
    for start, stop, further in (((11, 16, 14), (13, 20, 20), 0), ((11, 16, 14), (13, 20, 30), 76)):
        computed.slices.clear()
        other = part.prepared.render(grid.crop(start, stop))
        assert len(computed.slices) == further
        assert np.abs(crop_of(whole, other) - other.array).max() < least


def test_a_region_outside_is_refused_before_any_work(scans):
    with pytest.raises(InputError, match="Move the region onto it"):
        mc.super_resolve(scans[0], method="linear", region=Region.of((900, 0, 0), 10))


def test_the_command_takes_centre_and_size(scans, tmp_path, capsys):
    source, place = tmp_path / "scan.nii.gz", tmp_path / "part.nii.gz"
    mc.save_volume(scans[0], source)
    middle = [f"{x:.3f}" for x in scans[0].grid.center]
    command = ["super-resolve", str(source), "-o", str(place), "--method", "sinc", "--region"]
    assert main([*command, *middle, "20"]) == 0
    whole = mc.super_resolve(scans[0], method="sinc").volume
    part = mc.load_volume(place)
    assert part.shape == (8, 20, 20)
    assert np.abs(crop_of(whole, part) - part.array).max() < 1e-4 * np.ptp(whole.array)
    assert main([*command, *middle]) != 0
    assert "--region has 3 numbers; expected 4" in capsys.readouterr().err


def test_numbers_are_no_region(scans):
    with pytest.raises(InputError, match=r"Region is \(0, 0, 12, 60\); expected a Region. Make one: Region.of"):
        mc.super_resolve(scans[0], method="linear", region=(0, 0, 12, 60))
