"""A run that is limited to a region gives the crop of the whole result."""

from __future__ import annotations

import numpy as np
import pytest
from phantoms import pair

import MultiContrastSRLib as mc
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


@pytest.mark.slow
def test_a_trained_method_computes_only_the_slices_in_the_region(scans, monkeypatch):
    pytest.importorskip("torch")
    from MultiContrastSRLib.inference.prepared_step import PreparedStep

    target, reference = scans
    computed, slices = [], PreparedStep.slices

    def counted(self, across, numbers, monitor):
        computed.extend(range(numbers.start, numbers.stop))
        return slices(self, across, numbers, monitor)

    monkeypatch.setattr(PreparedStep, "slices", counted)
    settings = {"method": "swift", "register": "off", "test_time_augmentation": 1}
    whole = mc.super_resolve(target, reference, **settings).volume
    assert sorted(computed) == list(range(12))
    computed.clear()
    seen = []
    region = Region.of(target.grid.center, (40, 40, 8))
    part = mc.super_resolve(target, reference, region=region, progress=lambda *step: seen.append(step), **settings)
    assert sorted(computed) == [4, 5, 6, 7]
    assert np.abs(crop_of(whole, part.volume) - part.volume.array).max() < 1e-4 * np.ptp(target.array)
    fractions = [fraction for fraction, _ in seen]
    assert fractions == sorted(fractions) and fractions[-1] == 1.0


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
