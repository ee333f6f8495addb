"""A session at the panel from first to last: scans arrive, presets, a box, Apply, Compare, live zoom, DICOM out and in.

The harness fails a test on any error or warning of VTK, MRML or Qt, and on any exception in a slot.
"""

from __future__ import annotations

import numpy as np
import pytest

slicer = pytest.importorskip("slicer")
pydicom = pytest.importorskip("pydicom")

from live_view_fixtures import finish, our_nodes, pan  # noqa: E402
from panel_fixtures import make_pair, resources  # noqa: E402
from panel_session import Gaps, apply_in_a_box, box_of, compare, left_behind, play_round  # noqa: E402

import MultiContrastSRLib as mc  # noqa: E402

ROUNDS = 4  # `bench_panel.py` plays ten, and prints the resident memory too
JITTER = 20  # objects in all later rounds: the harness records what the user was told; one live zoom kept alive is 150


@pytest.mark.slow
def test_from_scans_to_the_archive(module, harness, tmp_path, monkeypatch):
    import qt

    ui = module.ui
    harness.choose(ui.methodSelector, "Guided (local regression)")
    target, reference = make_pair()  # while the panel is open
    harness.process_events()
    assert (ui.targetSelector.currentNode(), ui.referenceSelector.currentNode()) == (target, reference)
    slicer.util.setSliceViewerLayers(background=target, fit=True)
    harness.click(ui.isotropicButton)
    assert "2 × 2 × 2 mm" in ui.previewLabel.text and "on this computer" in ui.timeLabel.text
    ui.regionSelector.setCurrentText("Box (ROI)")
    box = ui.roiSelector.addNode("vtkMRMLMarkupsROINode")
    box.SetCenterWorld((-60.0, -70.0, 15.0))
    box.SetSizeWorld((40.0, 40.0, 15.0))
    result = apply_in_a_box(module, harness, box, Gaps())
    compare(module, harness, Gaps())
    ui.liveSectionButton.collapsed = False
    harness.click(ui.compareButton)  # live zoom ends it
    harness.click(ui.liveButton)
    assert module.logic.comparison is None and not ui.compareButton.checked
    finish(module, harness)
    pan(harness.view("Red"), 2.0, -1.5)
    finish(module, harness)
    harness.click(ui.compareButton)  # and the other way round
    assert module.logic.liveZoom is None and module.logic.comparison is not None
    harness.click(ui.compareButton)
    monkeypatch.setattr(qt.QFileDialog, "getExistingDirectory", lambda *arguments: str(tmp_path))
    harness.click(ui.dicomButton)
    harness.wait(lambda: ui.dicomButton.enabled, 30, "the series")
    voxels, name = slicer.util.arrayFromVolume(result).copy(), result.GetName()
    harness.new_scene()
    assert our_nodes() == [] and not ui.resultButtons.visible
    back = slicer.modules.volumes.logic().AddArchetypeVolume(str(tmp_path / name / "0001.dcm"), "back", 0)
    harness.process_events()
    assert ui.targetSelector.currentNode() is back
    assert np.abs(slicer.util.arrayFromVolume(back) - voxels).max() < 1e-4 * np.ptp(voxels)
    assert mc.load_volume(tmp_path / name).name == f"{name}, research use"


@pytest.mark.slow
def test_rounds_leave_nothing_behind(module, pair, harness, tmp_path, monkeypatch):
    import qt

    monkeypatch.setattr(qt.QFileDialog, "getExistingDirectory", lambda *arguments: str(tmp_path))
    slicer.util.setSliceViewerLayers(background=pair[0], fit=True)
    box = box_of((40.0, 40.0, 15.0))
    after, counts = [], []
    for _ in range(ROUNDS):
        play_round(module, harness, pair, box, tmp_path, Gaps())
        after.append(resources(harness))
        counts.append(left_behind(harness))
    assert after[1:] == [after[1]] * (ROUNDS - 1)  # the first round makes what is kept: the worker, colours
    grown = {kind: counts[-1][kind] - counts[1][kind] for kind in counts[1]}
    assert grown["observers of the scene"] == grown["functions"] == 0
    assert grown["Python objects"] <= JITTER


def test_the_longest_gap_of_an_action_is_measured(harness):
    import time

    gaps = Gaps()
    with gaps.during("busy"):
        begin = time.thread_time()
        while time.thread_time() - begin < 0.05:
            pass
    with gaps.during("asleep"):
        time.sleep(0.05)
    (busy, computed), (asleep, idle) = gaps.longest["busy"], gaps.longest["asleep"]
    assert busy >= 49 and computed >= 49 and asleep >= 49 and idle < 49
