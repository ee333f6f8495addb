"""Live zoom in Slicer's own slice views: what is shown, that the user's things stay untouched, views that are kept."""

from __future__ import annotations

import time

import numpy as np
import pytest

slicer = pytest.importorskip("slicer")

from live_fixtures import live_threads, trained  # noqa: E402
from live_view_fixtures import VIEWS, finish, frame_of, our_nodes, pan, pixels_of, start, zoom  # noqa: E402
from panel_fixtures import scene_text  # noqa: E402

pytestmark = pytest.mark.slow

# ---------------------------------------------------------------------- what is shown


def test_a_frame_lies_on_the_screens_pixels_and_holds_the_methods_values(module, shown, harness):
    import MultiContrastSRLib as mc
    from MultiContrastSRLib import mrml

    red = harness.view("Red")
    zoom(red, 4)
    session = start(module, harness)
    node = frame_of(session)
    xy_to_ras = slicer.util.arrayFromVTKMatrix(red.node.GetXYToRAS())
    matrix = slicer.util.vtkMatrixFromArray(np.eye(4))
    node.GetIJKToRASMatrix(matrix)
    to_ras = slicer.util.arrayFromVTKMatrix(matrix)
    np.testing.assert_allclose(to_ras[:3, :2], xy_to_ras[:3, :2], atol=1e-6)
    np.testing.assert_allclose(to_ras[:3, 3], xy_to_ras[:3, 3], atol=1e-4)  # the whole view is inside the target
    assert pixels_of(node).shape == (1, 160, 200)
    prepared = mc.prepare(*(mrml.volume_from_node(n) for n in shown), method="guided", register="off")
    expected = prepared.render(session.views["Red"].requested).array
    np.testing.assert_allclose(pixels_of(node), expected, atol=1e-4 * np.ptp(expected))
    assert red.mrmlSliceCompositeNode().GetNthLayerVolume(3) is node
    badge = session.views["Red"].annotations.text
    assert badge.startswith("Guided (local regression) ×") and "CPU" in badge and badge.endswith("research use")


@pytest.mark.parametrize("inverted", [False, True])
def test_the_picture_on_the_screen_changes_where_live_zoom_is_on(module, shown, harness, inverted):
    from harness.slice_view import graphics_problem

    if graphics_problem():
        pytest.skip(graphics_problem())
    shown[0].GetDisplayNode().SetInvertDisplayScalarRange(inverted)
    red = harness.view("Red")
    zoom(red, 4)
    before = red.image().astype(float)
    session = start(module, harness)
    sharp = red.image().astype(float)
    inside = (slice(0, 120), slice(0, 200))  # above the badge
    assert np.abs(sharp - before)[inside].mean() > 0.5
    window = shown[0].GetDisplayNode()
    low = window.GetLevel() - window.GetWindow() / 2
    values = np.clip((pixels_of(frame_of(session))[0, ::-1] - low) / window.GetWindow(), 0, 1) * 255
    values = 255 - values if inverted else values
    assert np.abs(sharp[..., 0] - values)[inside].max() < 2  # pixel for pixel what the node holds
    session.stop()
    np.testing.assert_array_equal(red.image(), before)


def test_window_and_level_follow_live(module, shown, harness):
    session = start(module, harness)
    display = shown[0].GetDisplayNode()
    display.SetAutoWindowLevel(False)
    for window, level in ((50, 20), (333, 111)):
        display.SetWindowLevel(window, level)
        ours = frame_of(session).GetDisplayNode()
        assert (ours.GetWindow(), ours.GetLevel()) == (window, level)
    display.SetAndObserveColorNodeID("vtkMRMLColorTableNodeRainbow")
    assert ours.GetColorNodeID() == "vtkMRMLColorTableNodeRainbow"
    display.SetInvertDisplayScalarRange(True)
    assert ours.GetInvertDisplayScalarRange()
    session.toggle_difference()
    finish(module, harness)
    assert not ours.GetInvertDisplayScalarRange()  # red stays brighter than interpolation
    session.toggle_difference()
    assert ours.GetInvertDisplayScalarRange()


def test_another_display_node_of_the_target_is_followed(module, shown, harness):
    session = start(module, harness)
    display = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeDisplayNode")
    display.SetDefaultColorMap()
    display.SetAutoWindowLevel(False)
    display.SetWindowLevel(50, 20)
    shown[0].SetAndObserveDisplayNodeID(display.GetID())
    for window, level in ((50, 20), (333, 111)):
        display.SetWindowLevel(window, level)
        ours = frame_of(session).GetDisplayNode()
        assert (ours.GetWindow(), ours.GetLevel()) == (window, level)


def test_lens_split_flip_and_difference(module, shown, harness):
    session = start(module, harness, show="lens", lensSize=50)
    node, view = frame_of(session), session.views["Red"]
    assert pixels_of(node).shape == (1, 50, 50)
    crosshair = harness.scene.GetFirstNodeByClass("vtkMRMLCrosshairNode")
    crosshair.SetCursorPositionXYZ([120.0, 60.0, 0.0], view.node)
    matrix = slicer.util.vtkMatrixFromArray(np.eye(4))
    node.GetIJKToRASMatrix(matrix)
    corner = slicer.util.arrayFromVTKMatrix(view.node.GetXYToRAS()) @ (95, 35, 0, 1)
    np.testing.assert_allclose(slicer.util.arrayFromVTKMatrix(matrix)[:, 3], corner, atol=1e-4)
    session.display.show, session.display.split = "split", 0.75
    session.redraw()
    seen = view.grid  # the view shows more than the target at its sides
    left = round((np.linalg.inv(seen.affine) @ slicer.util.arrayFromVTKMatrix(view.node.GetXYToRAS()))[0, 3])
    assert pixels_of(node).shape[2] == seen.shape[2] - (150 + left)
    session.flip()
    assert not view.layers.visible
    session.flip()
    session.display.show = "view"
    session.redraw()
    assert view.layers.visible and pixels_of(node).shape == seen.shape
    image = pixels_of(node).copy()
    session.toggle_difference()
    finish(module, harness)
    difference = pixels_of(node)
    assert node.GetDisplayNode().GetLevel() == 0 and np.abs(difference).max() < np.abs(image).max()
    assert difference.min() < 0 < difference.max()
    session.toggle_difference()
    np.testing.assert_array_equal(pixels_of(node), image)
    assert node.GetDisplayNode().GetWindow() == shown[0].GetDisplayNode().GetWindow()


def test_scrolling_shows_interpolation_at_once_and_neighbours_from_the_cache(module, shown, harness):
    session = start(module, harness)
    view, red = session.views["Red"], harness.view("Red")
    offset = red.node.GetSliceOffset()
    red.node.SetSliceOffset(offset + 3.0)
    assert not view.layers.visible  # within the very event: no other slice's pixels stay
    finish(module, harness)
    assert view.layers.visible and "from cache" in view.annotations.text
    red.node.SetSliceOffset(offset + 500)
    finish(module, harness)
    assert not view.layers.visible and view.annotations.text == ""


def test_frames_that_arrive_when_the_engine_has_just_finished_are_shown(module, shown, harness, monkeypatch):
    """The engine makes its last frame after the frames were collected, and before it is asked whether it is busy."""
    from MultiContrastSRLib.live.engine import Engine

    session = start(module, harness)
    collect, late = Engine.frames, []

    def collect_late(self):
        if late:
            return collect(self)
        while self.busy:
            time.sleep(0.005)
        late.append(len(self._frames))
        return []

    monkeypatch.setattr(Engine, "frames", collect_late)
    zoom(harness.view("Red"), 2)
    finish(module, harness)
    assert late[0] > 0 and session.views["Red"].frame.final
    assert session.views["Red"].frame.grid == session.views["Red"].grid


def test_panning_keeps_the_frame_in_its_place_until_the_next(module, shown, harness):
    session = start(module, harness)
    view = session.views["Red"]
    before = pixels_of(frame_of(session)).copy()
    pan(harness.view("Red"), 7, 3)
    assert view.layers.visible
    np.testing.assert_array_equal(pixels_of(frame_of(session)), before)
    finish(module, harness)
    assert view.frame.grid == view.grid


@pytest.mark.parametrize("background", ["reference", "none"])
def test_another_background_stays_and_the_target_lies_between(module, shown, harness, background):
    target, reference = shown
    composite = harness.view("Red").mrmlSliceCompositeNode()
    composite.SetBackgroundVolumeID(reference.GetID() if background == "reference" else None)
    session = start(module, harness)
    base, frame = (composite.GetNthLayerVolume(n) for n in (3, 4))
    assert frame is frame_of(session) and [composite.GetNthLayerOpacity(n) for n in (3, 4)] == [1, 1]
    assert base.GetImageData() is target.GetImageData() and base is not target
    assert base.GetDisplayNode().GetWindow() == target.GetDisplayNode().GetWindow()
    composite.SetBackgroundVolumeID(target.GetID())
    assert composite.GetNumberOfAdditionalLayers() == 1 and composite.GetNthLayerVolume(3) is frame_of(session)
    composite.SetBackgroundVolumeID(reference.GetID())
    session.stop()
    assert composite.GetNumberOfAdditionalLayers() == 0 and composite.GetBackgroundVolumeID() == reference.GetID()


def test_layers_of_others_stay(module, shown, harness):
    _, reference = shown
    composite = harness.view("Red").mrmlSliceCompositeNode()
    composite.SetNthLayerVolume(3, reference)
    composite.SetNthLayerOpacity(3, 0.4)
    session = start(module, harness)
    assert composite.GetNthLayerVolume(4) is frame_of(session) and composite.GetNthLayerOpacity(3) == 0.4
    session.stop()
    assert composite.GetNthLayerVolume(3) is reference and composite.GetNthLayerOpacity(3) == 0.4
    assert composite.GetNumberOfAdditionalLayers() == 1
    composite.SetNthLayerVolume(3, None)


def test_parent_transforms_move_the_frames_along(module, shown, harness):
    session = start(module, harness)
    first = pixels_of(frame_of(session)).copy()
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "Move")
    for node in shown:
        node.SetAndObserveTransformNodeID(transform.GetID())
    matrix = np.eye(4)
    matrix[:3, 3] = 10, -4, 6
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    assert not session.views["Red"].layers.visible  # what was prepared is not where the target is
    red = harness.view("Red")
    red.node.SetSliceOffset(red.node.GetSliceOffset() + 6)
    pan(red, -10, -4)  # the view follows; to the left of an axial view lies the patient's right
    finish(module, harness)
    moved = pixels_of(frame_of(session))
    assert moved.shape == first.shape
    np.testing.assert_allclose(moved, first, atol=1e-3 * np.ptp(first))
    assert frame_of(session).GetParentTransformNode() is None


def test_new_voxels_are_prepared_anew(module, shown, harness):
    session = start(module, harness)
    first = pixels_of(frame_of(session)).copy()
    slicer.util.arrayFromVolume(shown[0])[:] *= 2
    slicer.util.arrayFromVolumeModified(shown[0])
    finish(module, harness)
    np.testing.assert_allclose(pixels_of(frame_of(session)), 2 * first, atol=1e-2 * np.ptp(first))


def test_resizing_layouts_and_pixel_densities(module, shown, harness):
    session = start(module, harness, VIEWS)
    red = harness.view("Red")
    red.resize(333, 111)
    finish(module, harness)
    assert session.views["Red"].frame.grid == session.views["Red"].grid
    assert session.views["Red"].grid.shape[1] <= 111
    harness.view("Yellow").node.SetMappedInLayout(0)  # single layout: the others are not there
    assert session.views["Yellow"].grid is None and session.views["Red"].grid is not None
    harness.view("Yellow").node.SetMappedInLayout(1)
    finish(module, harness)
    assert session.views["Yellow"].layers.visible


def test_linked_views_follow_each_other(module, shown, harness):
    link = slicer.vtkMRMLSliceLinkLogic()
    link.SetMRMLApplicationLogic(slicer.app.applicationLogic())
    link.SetMRMLScene(harness.scene)
    red, green = harness.view("Red"), harness.view("Green")
    green.node.SetOrientation("Axial")
    for view in (red, green):
        view.mrmlSliceCompositeNode().SetLinkedControl(1)
    session = start(module, harness, ("Red", "Green"))
    red.logic.StartSliceNodeInteraction(slicer.vtkMRMLSliceNode.SliceToRASFlag)
    red.node.SetSliceOffset(red.node.GetSliceOffset() + 6)
    red.logic.EndSliceNodeInteraction()
    finish(module, harness)
    assert green.node.GetSliceOffset() == pytest.approx(red.node.GetSliceOffset())
    for name in ("Red", "Green"):
        assert session.views[name].layers.visible and session.views[name].frame.grid == session.views[name].grid
    for view in (red, green):
        view.mrmlSliceCompositeNode().SetLinkedControl(0)
    link.SetMRMLScene(None)


def test_badges_of_a_trained_method_say_what_is_shown(module, shown, harness):
    statuses = []
    module.logic.startLiveZoom(
        ["Red", "Yellow"], *shown, method="swift", register="off", onStatus=statuses.append, **trained("swift")
    )
    finish(module, harness)
    session = module.logic.liveZoom
    red, yellow = (session.views[name].annotations.text for name in ("Red", "Yellow"))
    assert red.startswith("Swift ×") and red.endswith("CPU\nresearch use")
    assert yellow.startswith("Swift ×") and yellow.endswith("CPU\ndetail within slices · research use")
    assert any(line.startswith("Red: Guided (local regression) ×") and "refining" in line for line in statuses)
    kept = module.logic.renderView("Yellow")
    assert "within slices" in kept.GetAttribute("MultiContrastSR.Report")


# ---------------------------------------------------------------------- keeping a view


def test_keeping_a_view_makes_a_volume_with_provenance(module, shown, harness):
    red = harness.view("Red")
    zoom(red, 3)
    session = start(module, harness)
    kept = module.logic.renderView("Red")
    np.testing.assert_array_equal(pixels_of(kept), pixels_of(frame_of(session)))
    assert kept.GetSaveWithScene() and not kept.GetHideFromEditors() and kept.GetName() == "T2 guided view Red"
    assert kept.GetNodeReference("MultiContrastSR.Target") is shown[0]
    assert kept.GetAttribute("MultiContrastSR.Method") == "guided"
    session.stop()
    assert slicer.mrmlScene.IsNodePresent(kept)


def test_keeping_a_view_waits_for_a_limited_time(module, shown, harness, monkeypatch):
    from MultiContrastSRPanel.logic.live import live_zoom

    from MultiContrastSRLib.core.errors import MultiContrastSRError
    from MultiContrastSRLib.live.renderer import ViewRenderer

    session = start(module, harness)
    monkeypatch.setattr(live_zoom, "KEEP_LIMIT_S", 0.05)
    monkeypatch.setattr(ViewRenderer, "ready", lambda self, grid: False)
    monkeypatch.setattr(ViewRenderer, "prepare", lambda self, grid, cancel: time.sleep(0.2))
    zoom(harness.view("Red"), 2)
    with pytest.raises(MultiContrastSRError, match=r"not rendered within 0.05 s"):
        session.keep("Red")
    assert session.on


def test_rendering_a_view_without_live_zoom(module, shown, harness):
    from MultiContrastSRLib.core.errors import InputError

    kept = module.logic.renderView("Red", *shown, method="sinc", register="off")
    assert kept.GetName() == "T2 sinc view Red" and our_nodes() == [] and live_threads() == []
    with pytest.raises(InputError, match="no slice view 'Blue'; expected one of Red, Yellow, Green"):
        module.logic.renderView("Blue", *shown)
    harness.view("Red").node.SetSliceOffset(900)
    with pytest.raises(InputError, match="View 'Red' shows nothing of 'T2'"):
        module.logic.renderView("Red", *shown)


def test_what_cannot_be_switched_on_changes_nothing(module, shown, harness):
    from MultiContrastSRLib.core.errors import MultiContrastSRError

    before = scene_text(harness)
    for views, settings in ((["Blue"], {}), (["Red"], {"quality": "best"}), (["Red"], {"method": "magic"}),
                            (["Red"], {"method": "guided", "strength": 7})):  # fmt: skip
        with pytest.raises(MultiContrastSRError):
            module.logic.startLiveZoom(views, **settings)
        assert module.logic.liveZoom is None and live_threads() == [] and scene_text(harness) == before
