"""A session at the panel from first to last: scans arrive, presets, a box, Apply, Compare, live zoom, DICOM out and in.

The harness fails a test on any error or warning of VTK, MRML or Qt, and on any exception in a slot.
"""

from __future__ import annotations

import numpy as np
import pytest

slicer = pytest.importorskip("slicer")
pydicom = pytest.importorskip("pydicom")

from live_view_fixtures import finish, our_nodes, pan, zoom  # noqa: E402
from panel_fixtures import make_pair, resources, run_to_end, state  # noqa: E402

import MultiContrastSRLib as mc  # noqa: E402


def apply_in_a_box(module, harness, box):
    """Sharper in plane, within the box; the result."""
    harness.click(module.ui.sharperButton)
    harness.choose(module.ui.regionSelector, "Box (ROI)")
    module.ui.roiSelector.setCurrentNode(box)
    harness.wait(lambda: "40 × 40 × 5 voxels" in module.ui.previewLabel.text, 5, "the size of the box")
    run_to_end(module, harness)
    assert state(module) == "done", module.ui.resultLabel.text
    return module.widget.panel.run.node


def compare(module, harness):
    """Both views, all keys, and everything back."""
    ui = module.ui
    harness.click(ui.compareButton)
    session = module.logic.comparison
    view = session.views["Yellow"]
    for button in (ui.compareFlipButton, ui.compareDifferenceButton, ui.compareLineButton):
        harness.click(button)
        assert button.checked
        harness.click(button)
        assert not button.checked
    red = harness.view("Red")
    red.logic.StartSliceNodeInteraction(red.node.FieldOfViewFlag)
    zoom(red, 3.0)
    red.logic.EndSliceNodeInteraction()
    harness.process_events()
    assert view.layers.visible and view.frame.grid.spacing[2] == pytest.approx(
        red.node.GetFieldOfView()[0] / red.node.GetDimensions()[0]
    )
    harness.click(ui.compareButton)
    harness.process_events()
    assert our_nodes() == []


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
    result = apply_in_a_box(module, harness, box)
    compare(module, harness)
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
def test_rounds_leave_nothing_behind(module, pair, harness):
    slicer.util.setSliceViewerLayers(background=pair[0], fit=True)
    box = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "Box")
    box.SetCenterWorld((-60.0, -70.0, 15.0))
    box.SetSizeWorld((40.0, 40.0, 15.0))
    after = []
    for _ in range(4):
        result = apply_in_a_box(module, harness, box)
        compare(module, harness)
        slicer.util.setSliceViewerLayers(background=pair[0])
        for node in (result, result.GetDisplayNode()):
            slicer.mrmlScene.RemoveNode(node)
        harness.process_events()
        after.append(resources(harness))
    assert after[1:] == [after[1]] * 3  # the first round makes what is kept: the worker, colours
