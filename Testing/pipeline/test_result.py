"""Results and reports are those of the time when they were made, whatever is rendered later."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle

import numpy as np
import pytest
from live_fixtures import slow_slices, view  # noqa: F401
from phantoms import pair

import MultiContrastSRLib as mc
from MultiContrastSRLib.core.cache import Cache
from MultiContrastSRLib.core.errors import InputError
from MultiContrastSRLib.live.renderer import ViewRenderer
from MultiContrastSRLib.pipeline.report import Report


@pytest.fixture(scope="module")
def scans():
    truth, reference = pair((6, 40, 36))
    return mc.degrade(truth, "kspace", 2), reference


def test_a_result_keeps_its_report_and_its_companion_when_other_grids_are_rendered(scans):
    pytest.importorskip("torch", reason="Joint total variation needs torch, which is not installed here.")
    target, reference = scans
    result = mc.super_resolve(target, reference, method="joint-tv", register="off", iterations=4)
    report, companion = result.report.as_dict(), result.companion()
    across = result.prepared.render(target.grid.isotropic(1.0))
    assert across.shape[0] == 18  # another image was prepared, refined across the slices too
    assert result.report.as_dict() == report
    again = result.companion()
    assert np.array_equal(again.volume.array, companion.volume.array)
    for name in ("target", "reference", "scale", "spacing", "shape", "consistency", "resolution", "notes", "warnings"):
        assert getattr(again.report, name) == getattr(companion.report, name)


def test_each_grid_has_its_own_report(scans):
    target, reference = scans
    run = mc.prepare(target, reference, register="off")
    within, across = target.grid.scaled(3), target.grid.isotropic(1.0)
    with pytest.raises(InputError, match="Render it first"):
        run.report_for(across)
    run.render(across)
    one, other = run.report_for(within), run.report_for(across, times={"render": 2.0})
    assert one.scale == pytest.approx((1, 3, 3)) and other.scale == pytest.approx((3, 2, 2))
    assert one.shape == within.shape and other.spacing == pytest.approx((1, 1, 1))
    assert one.resolution["result"][0] == 3 and other.times["render"] == 2.0 and "render" not in one.times
    assert one.times["prepare"] != other.times["prepare"]
    assert run.report.times == one.times  # of what was prepared first
    run = mc.prepare(target, method="linear")
    run.render(across)
    one, other = run.report_for(within).consistency, run.report_for(across).consistency
    assert one["residual_before"] != other["residual_before"] and run.report.consistency == one


def test_a_report_cannot_be_changed():
    options = {"strength": 1.0}
    alignment = {"transform_ras": [[1.0, 0.0], [0.0, 1.0]]}
    report = Report("guided", "1", "T2", options=options, alignment=alignment, warnings=["One."])
    options["strength"] = 0.0
    alignment["transform_ras"][0][0] = 7.0
    assert report.options["strength"] == 1.0 and report.alignment["transform_ras"] == ((1.0, 0.0), (0.0, 1.0))
    with pytest.raises(dataclasses.FrozenInstanceError):
        report.notes = ()
    for mapping in (report.options, report.times, report.consistency, report.alignment, report.resolution):
        with pytest.raises(TypeError):
            mapping["new"] = 1
    assert report.warnings == ("One.",)


def test_reports_are_copied_pickled_and_saved_as_json():
    report = Report("guided", "1", "T2", options={"a": 1}, alignment={"transform_ras": [[1.0]]}, times={"load": 0.5})
    assert pickle.loads(pickle.dumps(report)) == copy.deepcopy(report) == report
    saved = report.as_dict()
    assert json.loads(json.dumps(saved)) == saved and saved["alignment"] == {"transform_ras": [[1.0]]}
    assert [*saved] == [
        *("method", "version", "target", "reference", "scale", "spacing", "shape", "device", "options", "times"),
        *("consistency", "alignment", "resolution", "warnings", "notes", "weights"),
        *("reference_used", "fallback", "statement"),
    ]


def test_warnings_of_slices_that_are_computed_later_are_in_later_reports(scans, slow_slices, monkeypatch):  # noqa: F811
    target, reference = scans
    prepare_slices = slow_slices.prepare_slices

    def with_warnings(self, *arguments, **keywords):
        encoder = prepare_slices(self, *arguments, **keywords)
        slices, encoder.warnings = encoder.slices, ()

        def warned(start, stop, monitor=None):
            encoder.warnings = (*encoder.warnings, f"Slice {start}.")
            return slices(start, stop, monitor)

        encoder.slices = warned
        return encoder

    monkeypatch.setattr(slow_slices, "prepare_slices", with_warnings)
    renderer = ViewRenderer(target, reference, Cache(1 << 26), method="slow-slices", register="off")
    one, other = view(target.grid), view(target.grid, offset=3.0)
    renderer.prepare(one, lambda: False)
    earlier = renderer.report_of(one)
    renderer.prepare(other, lambda: False)
    later = renderer.report_of(other)
    assert earlier.warnings == ("Slice 3.",) and later.warnings == ("Slice 3.", "Slice 4.")
    assert renderer.report.warnings == later.warnings
    assert later.spacing == other.spacing and later.shape == other.shape
