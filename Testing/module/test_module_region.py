"""The region of interest in the panel and the logic: boxes, views, and what they make."""

from __future__ import annotations

import numpy as np
import pytest
from panel_fixtures import run_to_end, state


def crop_of(whole, part):
    """The voxels of the node `whole` where those of `part` lie."""
    import slicer
    import vtk

    matrices = []
    for node in (whole, part):
        matrix = vtk.vtkMatrix4x4()
        node.GetIJKToRASMatrix(matrix)
        matrices.append(slicer.util.arrayFromVTKMatrix(matrix))
    start = np.round((np.linalg.inv(matrices[0]) @ matrices[1])[:3, 3]).astype(int)[::-1]
    shape = slicer.util.arrayFromVolume(part).shape
    return slicer.util.arrayFromVolume(whole)[tuple(slice(a, a + n) for a, n in zip(start, shape, strict=True))]


def make_box(center, size, angle=0.0):
    """A markups ROI, turned by `angle` degrees about the S axis by a parent transform."""
    import slicer
    import vtk

    box = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "Lesion")
    box.SetCenterWorld(center)
    box.SetSizeWorld(size)
    if angle:
        turn = vtk.vtkTransform()
        turn.RotateZ(angle)
        parent = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
        parent.SetMatrixTransformToParent(turn.GetMatrix())
        box.SetAndObserveTransformNodeID(parent.GetID())
    return box


def test_the_logic_makes_the_part_in_a_box(module, pair):
    import slicer

    target, reference = pair
    whole = module.logic.process(target, reference, scale=2, register="off")
    box = make_box((-60.0, -70.0, 15.0), (40.0, 30.0, 9.0))
    part = module.logic.process(target, reference, scale=2, register="off", region=box)
    assert slicer.util.arrayFromVolume(part).shape == (3, 30, 40)
    assert np.abs(crop_of(whole, part) - slicer.util.arrayFromVolume(part)).max() < 1e-4 * 200
    turned = make_box((-60.0, -70.0, 15.0), (40.0, 30.0, 9.0), 90)  # about the origin: far from the scan
    with pytest.raises(Exception, match="Move the region onto it"):
        module.logic.process(target, reference, scale=2, register="off", region=turned)
    with pytest.raises(Exception, match=r"Region is 'red'; expected a markups ROI node, 'views'"):
        module.logic.process(target, reference, region="red")


def test_what_the_views_show_is_what_is_made(module, pair, harness):
    import slicer

    target, reference = pair
    slicer.util.setSliceViewerLayers(background=target, fit=True)
    whole = module.logic.process(target, reference, scale=2, register="off", region="views")
    assert slicer.util.arrayFromVolume(whole).shape == (12, 128, 128)
    for name in ("Red", "Yellow", "Green"):
        node = slicer.app.layoutManager().sliceWidget(name).mrmlSliceNode()
        node.SetFieldOfView(30.0, 30.0, 1.0)
        node.JumpSliceByCentering(-60, -70, 15)
    part = module.logic.process(target, reference, scale=2, register="off", region="views")
    slices, rows, columns = slicer.util.arrayFromVolume(part).shape
    assert 30 <= rows <= 38 and 30 <= columns <= 38 and 10 <= slices <= 12
    assert np.abs(crop_of(whole, part) - slicer.util.arrayFromVolume(part)).max() < 1e-4 * 200


def test_the_panel_asks_for_a_box_and_follows_it(module, pair, harness):
    ui = module.ui
    assert not ui.roiSelector.visible
    whole = ui.previewLabel.text
    ui.regionSelector.setCurrentText("Box (ROI)")
    harness.process_events()
    assert ui.roiSelector.visible and not ui.applyButton.enabled
    assert "Select or create the box of the region first." in ui.applyButton.toolTip
    box = ui.roiSelector.addNode("vtkMRMLMarkupsROINode")
    harness.process_events()
    assert list(box.GetSize()) == [60.0] * 3
    box.SetCenterWorld((-60.0, -70.0, 15.0))
    box.SetSizeWorld((20.0, 20.0, 9.0))
    harness.wait(lambda: "20 × 20 × 3 voxels" in ui.previewLabel.text, 5, "the size of the box")
    assert ui.applyButton.enabled
    run_to_end(module, harness)
    assert state(module) == "done" and "20 × 20 × 3 voxels" in ui.resultLabel.text
    assert "a box of 20 × 20 × 9 mm" in ui.detailsLabel.text
    box.SetCenterWorld((500.0, 0.0, 0.0))
    harness.wait(lambda: not ui.applyButton.enabled, 5, "a box beside the scan")
    assert "Move the region onto it" in ui.previewLabel.text
    harness.click(ui.resetButton)
    assert ui.previewLabel.text == whole and module.logic.getParameterNode().roi is box


def test_a_zoomed_view_changes_the_size_that_is_shown(module, pair, harness):
    import slicer

    target, _ = pair
    slicer.util.setSliceViewerLayers(background=target, fit=True)
    module.ui.regionSelector.setCurrentText("What the slice views show")
    harness.process_events()
    assert "128 × 128 × 12 voxels" in module.ui.previewLabel.text
    for name in ("Red", "Yellow", "Green"):
        slicer.app.layoutManager().sliceWidget(name).mrmlSliceNode().SetFieldOfView(30.0, 30.0, 1.0)
    harness.wait(lambda: "128 × 128" not in module.ui.previewLabel.text, 5, "the size of what the views show")
    assert module.ui.applyButton.enabled
