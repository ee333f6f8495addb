"""Compare: a result beside its target in two linked views, with live zoom's keys; everything is put back afterwards."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

slicer = pytest.importorskip("slicer")

from live_view_fixtures import ORIENTATIONS, VIEWS, our_nodes, pan, pixels_of, zoom  # noqa: E402
from panel_fixtures import run_to_end, scene_text  # noqa: E402


@pytest.fixture
def result(module, pair, harness):
    """The result of the pair, in all views as after Apply."""
    from MultiContrastSRPanel.ui.panel import show_in_views

    slicer.util.setSliceViewerLayers(background=pair[0], fit=True)
    for name in VIEWS:
        harness.view(name).node.SetOrientation(ORIENTATIONS[name])
        harness.view(name).fitSliceToBackground()
    node = module.logic.process(*pair, scale=2, register="off")
    show_in_views(node)
    harness.process_events()
    yield node
    module.logic.stopComparison()
    harness.process_events()


def start(module, harness, node, **settings):
    session = module.logic.startComparison(node, **settings)
    harness.process_events()
    return session


def background(harness, name):
    return slicer.mrmlScene.GetNodeByID(harness.view(name).mrmlSliceCompositeNode().GetBackgroundVolumeID())


def plane(node):
    return slicer.util.arrayFromVTKMatrix(node.GetSliceToRAS()).copy(), node.GetFieldOfView(), node.GetXYZOrigin()


def test_target_and_result_stand_side_by_side_in_one_plane(module, harness, pair, result):
    zoom(harness.view("Red"), 2.0)
    start(module, harness, result)
    assert harness.app.layoutManager().layout == slicer.vtkMRMLLayoutNode.SlicerLayoutSideBySideView
    assert background(harness, "Red") is pair[0] and background(harness, "Yellow") is result
    left, right = harness.view("Red").node, harness.view("Yellow").node
    assert left.IsMappedInLayout() and right.IsMappedInLayout() and not harness.view("Green").node.IsMappedInLayout()
    for mine, theirs in zip(plane(left), plane(right), strict=True):
        assert np.allclose(mine, theirs)
    assert np.allclose(
        slicer.util.arrayFromVTKMatrix(left.GetXYToRAS()), slicer.util.arrayFromVTKMatrix(right.GetXYToRAS())
    )


def test_the_views_are_linked(module, harness, result):
    start(module, harness, result)
    view = harness.view("Red")
    view.logic.StartSliceNodeInteraction(view.node.FieldOfViewFlag)
    zoom(view, 2.0)
    view.logic.EndSliceNodeInteraction()
    assert harness.view("Yellow").node.GetFieldOfView()[0] == pytest.approx(view.node.GetFieldOfView()[0])
    view.logic.StartSliceOffsetInteraction()
    view.logic.SetSliceOffset(21.0)
    view.logic.EndSliceOffsetInteraction()
    assert harness.view("Yellow").logic.GetSliceOffset() == pytest.approx(21.0)


def test_flip_added_detail_and_line(module, harness, pair, result):
    session = start(module, harness, result)
    view = session.views["Yellow"]
    whole = pixels_of(view.layers.frame).copy()
    assert view.layers.visible and view.annotations.text == result.GetName()
    session.flip()
    assert not view.layers.visible and view.annotations.text == pair[0].GetName()
    assert view.layers._base is not None  # the target, under the frame
    session.toggle_difference()
    added = pixels_of(view.layers.frame)
    assert view.layers.visible and 0.1 < np.abs(added).max() < np.ptp(whole)
    assert view.annotations.text == f"{result.GetName()} − {pair[0].GetName()}"
    session.toggle_difference()
    assert np.array_equal(pixels_of(view.layers.frame), whole)
    session.toggle_line()
    part = pixels_of(view.layers.frame)
    assert part.shape[2] < whole.shape[2] and np.array_equal(part, whole[:, :, -part.shape[2] :])
    session.display.split = 0.75
    session.redraw()
    assert pixels_of(view.layers.frame).shape[2] < part.shape[2]


def test_both_views_display_voxels_alike(module, harness, pair, result):
    pair[0].GetDisplayNode().SetInvertDisplayScalarRange(True)
    session = start(module, harness, result)
    ours = session.views["Yellow"].layers.frame.GetDisplayNode()
    assert ours.GetInvertDisplayScalarRange()
    pair[0].GetDisplayNode().SetInvertDisplayScalarRange(False)
    assert not ours.GetInvertDisplayScalarRange()


def test_the_right_view_shows_the_result_as_slicer_does(module, harness, result):
    from MultiContrastSRLib import mrml

    session = start(module, harness, result)
    frame = session.views["Yellow"].frame
    truth = slicer.util.arrayFromVolume(result)
    index = mrml.grid_from_node(result).indices(frame.grid.positions(np.array([0, 100, 120])))
    below, share = np.floor(index).astype(int), index - np.floor(index)
    weights = [(1 - s, s) for s in share]
    expected = sum(
        weights[0][a] * weights[1][b] * weights[2][c] * truth[below[0] + a, below[1] + b, below[2] + c]
        for a, b, c in np.ndindex(2, 2, 2)
        if weights[0][a]
    )
    assert frame.array[0, 100, 120] == pytest.approx(expected, abs=1e-2)


def test_everything_is_put_back(module, harness, pair, result):
    slicer.util.setSliceViewerLayers(foreground=pair[1])
    zoom(harness.view("Yellow"), 1.7)
    before = scene_text(harness)
    planes = {name: plane(harness.view(name).node) for name in VIEWS}
    shown = {name: background(harness, name) for name in VIEWS}
    session = start(module, harness, result)
    session.toggle_difference()
    red = harness.view("Red")
    red.logic.StartSliceNodeInteraction(red.node.FieldOfViewFlag)
    zoom(red, 4.0)  # which all linked views follow, also those that are not shown
    red.logic.EndSliceNodeInteraction()
    red.logic.StartSliceNodeInteraction(red.node.XYZOriginFlag)
    pan(red, 9, 7)
    red.logic.EndSliceNodeInteraction()
    session.stop()
    harness.process_events()
    assert our_nodes() == [] and module.logic.comparison is None
    assert {name: background(harness, name) for name in VIEWS} == shown
    for name in VIEWS:
        for mine, theirs in zip(plane(harness.view(name).node), planes[name], strict=True):
            assert np.allclose(mine, theirs), name
    assert len(scene_text(harness)) == pytest.approx(len(before), abs=200)  # of which nodes there are, not every digit


def test_it_ends_with_its_nodes_the_scene_and_live_zoom(module, harness, pair, result):
    ended = []
    start(module, harness, result, onEnd=ended.append)
    module.logic.startLiveZoom(["Red"], *pair, register="off")
    assert ended == [None] and module.logic.comparison is None
    start(module, harness, result)
    assert module.logic.liveZoom is None
    slicer.mrmlScene.RemoveNode(result)
    harness.process_events()
    assert module.logic.comparison is None and our_nodes() == []
    node = module.logic.process(*pair, scale=2, register="off")
    start(module, harness, node)
    harness.new_scene()
    assert module.logic.comparison is None and our_nodes() == []


def test_a_layer_that_somebody_removes_is_made_anew(module, harness, result):
    layers = start(module, harness, result).views["Yellow"].layers
    before = pixels_of(layers.frame).copy()
    slicer.mrmlScene.RemoveNode(layers.frame)
    harness.process_events()
    assert layers.visible and np.array_equal(pixels_of(layers.frame), before)


def test_it_and_live_zoom_of_another_logic_end_each_other(module, harness, pair, result, another_logic):
    reasons = {"live zoom": [], "comparison": []}
    another_logic.startLiveZoom(None, *pair, register="off", onEnd=reasons["live zoom"].append)
    harness.wait(lambda: not another_logic.liveZoom.busy, 20)
    start(module, harness, result, onEnd=reasons["comparison"].append)
    assert another_logic.liveZoom is None and all("Yellow" in name for name in our_nodes())
    another_logic.startLiveZoom(["Red"], *pair, register="off")
    assert module.logic.comparison is None
    assert harness.app.layoutManager().layout == slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView
    started = "Another live zoom or comparison was started in slice view {}; this one has ended."
    assert [str(reason) for reason in reasons["live zoom"]] == [started.format("Red, Yellow")]
    assert [str(reason) for reason in reasons["comparison"]] == [started.format("Red")]


def test_a_comparison_that_ended_is_freed(module, harness, result):
    ended = weakref.ref(start(module, harness, result))
    module.logic.stopComparison()
    harness.run_for(0.05)
    gc.collect()
    assert ended() is None


def test_what_cannot_be_compared_is_said(module, harness, pair, result):
    with pytest.raises(Exception, match=r"'T2' cannot be compared; expected a volume that this module made"):
        module.logic.startComparison(pair[0])
    slicer.mrmlScene.RemoveNode(pair[0])
    with pytest.raises(Exception, match="has left the scene"):
        module.logic.startComparison(result)
    assert harness.app.layoutManager().layout == slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView


def test_the_panel_offers_it_after_apply(module, harness, pair):
    from PySide6 import QtTest
    from PySide6.QtCore import Qt

    ui = module.ui
    assert not ui.resultButtons.visible
    run_to_end(module, harness)
    assert ui.resultButtons.visible and not ui.compareButtons.visible
    harness.click(ui.compareButton)
    session = module.logic.comparison
    assert session.reference is module.widget.panel.run.node and ui.compareButtons.visible
    module.panel.activateWindow()
    harness.process_events()
    QtTest.QTest.keyClick(module.panel, Qt.Key.Key_F7)
    assert session.display.original and ui.compareFlipButton.checked
    harness.click(ui.compareDifferenceButton)
    assert session.display.difference and not ui.compareFlipButton.checked
    QtTest.QTest.keyClick(module.panel, Qt.Key.Key_F6)
    assert session.display.show == "split" and ui.compareLineSlider.visible
    ui.compareLineSlider.value = 80.0
    assert session.display.split == pytest.approx(0.8)
    harness.click(ui.compareButton)
    assert module.logic.comparison is None and not ui.compareButtons.visible and not ui.compareLineSlider.visible
    harness.click(ui.compareButton)
    run_to_end(module, harness)  # another result
    assert module.logic.comparison is None and not ui.compareButton.checked and ui.resultButtons.visible


def test_a_result_that_left_the_scene_is_said(module, harness, pair):
    run_to_end(module, harness)
    slicer.mrmlScene.RemoveNode(pair[0])
    harness.process_events()
    harness.click(module.ui.compareButton)
    (text,) = harness.messages.of("error")
    assert "has left the scene" in text
    assert not module.ui.compareButton.checked and module.logic.comparison is None
