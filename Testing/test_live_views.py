"""Live zoom in Slicer's own slice views: what is shown, that the user's things stay untouched, that nothing stays."""

from __future__ import annotations

import gc
import json
import resource
import threading
import weakref

import numpy as np
import pytest

slicer = pytest.importorskip("slicer")

from live_fixtures import live_threads, trained  # noqa: E402
from panel_fixtures import make_pair, scene_text, state, volume_names  # noqa: E402

VIEWS = ("Red", "Yellow", "Green")


@pytest.fixture
def shown(module, pair, harness):
    """(target, reference): the target is the background of all views."""
    slicer.util.setSliceViewerLayers(background=pair[0], fit=True)
    for name in VIEWS:
        harness.view(name).resize(200, 160)
        harness.view(name).fitSliceToBackground()
    harness.process_events()
    yield pair
    module.logic.stopLiveZoom()
    for name in VIEWS:
        harness.view(name).resize(400, 400)


def start(module, harness, views=("Red",), **settings):
    """Live zoom from the console, its first frames shown."""
    module.logic.startLiveZoom(list(views) if views else None, register="off", **settings)
    finish(module, harness)
    return module.logic.liveZoom


def finish(module, harness, timeout: float = 60.0) -> float:
    """Wait until every view shows its final frame and the neighbours are there."""
    return harness.wait(lambda: module.logic.liveZoom is None or not module.logic.liveZoom.busy, timeout, "the frames")


def frame_of(session, name="Red"):
    """The node that live zoom shows in a view."""
    return session.views[name].layers.frame


def our_nodes() -> list[str]:
    """Names of all nodes of the scene that are ours."""
    nodes = slicer.util.getNodesByClass("vtkMRMLNode")
    return [n.GetName() for n in nodes if (n.GetName() or "").startswith(("Live zoom", "MultiContrastSR signed"))]


def zoom(view, factor: float) -> None:
    """The mouse wheel with Ctrl, `factor` times closer."""
    width, height, depth = view.node.GetFieldOfView()
    view.node.SetFieldOfView(width / factor, height / factor, depth)


def pan(view, right: float, up: float) -> None:
    """The middle button dragged, mm."""
    x, y, z = view.node.GetXYZOrigin()
    view.node.SetXYZOrigin(x + right, y + up, z)


def pixels_of(node) -> np.ndarray:
    return slicer.util.arrayFromVolume(node)


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
    expected = prepared.render(session.views["Red"].wanted).array
    np.testing.assert_allclose(pixels_of(node), expected, atol=1e-4 * np.ptp(expected))
    assert red.mrmlSliceCompositeNode().GetNthLayerVolume(3) is node
    badge = session.views["Red"].marks.text
    assert badge.startswith("Guided (local regression) ×") and "CPU" in badge and badge.endswith("research use")


def test_the_picture_on_the_screen_changes_where_live_zoom_is_on(module, shown, harness):
    from harness.slice_view import graphics_problem

    if graphics_problem():
        pytest.skip(graphics_problem())
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
    session.choices.show, session.choices.split = "split", 0.75
    session.redraw()
    seen = view.grid  # the view shows more than the target at its sides
    left = round((np.linalg.inv(seen.affine) @ slicer.util.arrayFromVTKMatrix(view.node.GetXYToRAS()))[0, 3])
    assert pixels_of(node).shape[2] == seen.shape[2] - (150 + left)
    session.flip()
    assert not view.layers.visible
    session.flip()
    session.choices.show = "view"
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
    assert view.layers.visible and "from cache" in view.marks.text
    red.node.SetSliceOffset(offset + 500)
    finish(module, harness)
    assert not view.layers.visible and view.marks.text == ""


def test_panning_keeps_the_frame_in_its_place_until_the_next(module, shown, harness):
    session = start(module, harness)
    view = session.views["Red"]
    before = pixels_of(frame_of(session)).copy()
    pan(harness.view("Red"), 7, 3)
    assert view.layers.visible
    np.testing.assert_array_equal(pixels_of(frame_of(session)), before)
    finish(module, harness)
    assert view.shown.grid == view.grid


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
    target, reference = shown
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
    assert session.views["Red"].shown.grid == session.views["Red"].grid
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
        assert session.views[name].layers.visible and session.views[name].shown.grid == session.views[name].grid
    for view in (red, green):
        view.mrmlSliceCompositeNode().SetLinkedControl(0)
    green.node.SetOrientation("Coronal")
    link.SetMRMLScene(None)


def test_badges_of_a_trained_method_say_what_is_shown(module, shown, harness):
    said = []
    module.logic.startLiveZoom(
        ["Red", "Yellow"], *shown, method="swift", register="off", onStatus=said.append, **trained("swift")
    )
    finish(module, harness)
    session = module.logic.liveZoom
    red, yellow = (session.views[name].marks.text for name in ("Red", "Yellow"))
    assert red.startswith("Swift ×") and red.endswith("CPU\nresearch use")
    assert yellow.startswith("Swift ×") and yellow.endswith("CPU\ndetail within slices · research use")
    assert any(line.startswith("Red: Guided (local regression) ×") and "refining" in line for line in said)
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


def test_rendering_a_view_without_live_zoom(module, shown, harness):
    from MultiContrastSRLib.errors import InputError

    kept = module.logic.renderView("Red", *shown, method="sinc", register="off")
    assert kept.GetName() == "T2 sinc view Red" and our_nodes() == [] and live_threads() == []
    with pytest.raises(InputError, match="no slice view 'Blue'; expected one of Red, Yellow, Green"):
        module.logic.renderView("Blue", *shown)
    harness.view("Red").node.SetSliceOffset(900)
    with pytest.raises(InputError, match="View 'Red' shows nothing of 'T2'"):
        module.logic.renderView("Red", *shown)


def test_what_cannot_be_switched_on_changes_nothing(module, shown, harness):
    from MultiContrastSRLib.errors import MultiContrastSRError

    before = scene_text(harness)
    for views, settings in ((["Blue"], {}), (["Red"], {"quality": "best"}), (["Red"], {"method": "magic"}),
                            (["Red"], {"method": "guided", "strength": 7})):  # fmt: skip
        with pytest.raises(MultiContrastSRError):
            module.logic.startLiveZoom(views, **settings)
        assert module.logic.liveZoom is None and live_threads() == [] and scene_text(harness) == before


# ---------------------------------------------------------------------- leaving nothing behind


def everything(harness) -> tuple:
    """What live zoom may not change: nodes, layers, what would be saved."""
    composites = [harness.view(name).mrmlSliceCompositeNode() for name in VIEWS]
    layers = [
        (c.GetBackgroundVolumeID(), c.GetForegroundVolumeID(), c.GetNumberOfAdditionalLayers()) for c in composites
    ]
    return harness.scene.GetNumberOfNodes(), layers, scene_text(harness)


@pytest.mark.parametrize("way", ["stop", "leave the module", "the panel's switch", "reload"])
def test_switching_off_leaves_nothing_behind(module, shown, harness, way):
    before, volumes = everything(harness), volume_names(harness)
    if way == "the panel's switch":
        module.ui.liveSectionButton.collapsed = False
        harness.click(module.ui.liveButton)
        finish(module, harness)
    else:
        start(module, harness, VIEWS)
    session = module.logic.liveZoom
    session.toggle_difference()
    finish(module, harness)
    engine, frame = session._engine, weakref.ref(frame_of(session).GetImageData())
    logic = harness.view("Red").logic
    {
        "stop": session.stop,
        "leave the module": module.exit,
        "the panel's switch": lambda: harness.click(module.ui.liveButton),
        "reload": module.reload,
    }[way]()
    harness.process_events()
    assert everything(harness) == before and volume_names(harness) == volumes and our_nodes() == []
    assert engine.close(20) and engine.nbytes == 0 and live_threads() == []
    assert logic.GetNthLayer(3) is None or logic.GetNthLayer(3).GetVolumeNode() is None
    assert not session._timer.active
    del session, engine
    gc.collect()
    assert frame() is None  # no layer of the view's pipeline keeps the pixels
    if way == "leave the module":
        module.enter()
    assert module.logic.liveZoom is None and not module.ui.liveButton.checked


@pytest.mark.parametrize("suffix", [".mrml", ".mrb"])
def test_a_scene_saved_while_it_is_on_opens_clean(module, shown, harness, tmp_path, suffix):
    module.logic.getParameterNode().liveCache = 512.0
    session = start(module, harness, VIEWS)
    session.toggle_difference()
    finish(module, harness)
    text = scene_text(harness)
    assert 'name="Live zoom' not in text and "signed difference" not in text
    harness.view("Red").mrmlSliceCompositeNode().SetBackgroundVolumeID(shown[1].GetID())
    finish(module, harness)
    path = harness.save_scene(tmp_path / f"scene{suffix}")
    assert session.on and frame_of(session) is not None and session.views["Red"].layers.visible
    harness.load_scene(path)
    assert module.logic.liveZoom is None and our_nodes() == []
    for name in VIEWS:
        assert harness.view(name).mrmlSliceCompositeNode().GetNumberOfAdditionalLayers() == 0
    assert "LiveZoom" not in scene_text(harness)
    assert module.logic.getParameterNode().liveCache == 512.0
    if suffix == ".mrb":  # and can be switched on again from its parameters
        module.ui.liveSectionButton.collapsed = False
        harness.click(module.ui.liveButton)
        finish(module, harness)
        assert module.logic.liveZoom.views["Red"].layers.visible


def test_closing_the_scene_ends_it(module, shown, harness):
    start(module, harness, VIEWS)
    harness.new_scene()
    assert module.logic.liveZoom is None and our_nodes() == [] and not module.ui.liveButton.checked
    harness.wait(lambda: live_threads() == [], 20)


def test_deleting_the_target_ends_it_with_the_reason(module, shown, harness):
    reasons = []
    module.logic.startLiveZoom(["Red"], *shown, onEnd=reasons.append, register="off")
    finish(module, harness)
    harness.scene.RemoveNode(shown[0])
    assert module.logic.liveZoom is None and our_nodes() == []
    assert [str(reason) for reason in reasons] == ["The target 'T2' was deleted; live zoom is off."]


def test_deleting_the_reference_goes_on_without_it(module, shown, harness):
    session = start(module, harness)
    before = pixels_of(frame_of(session)).copy()
    harness.scene.RemoveNode(shown[1])
    finish(module, harness)
    assert session.on and not np.array_equal(pixels_of(frame_of(session)), before)


def test_ten_times_on_and_off_does_not_grow(module, shown, harness):
    def resident() -> float:
        gc.collect()
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * resource.getpagesize() / 2**20

    sizes = []
    for _ in range(10):
        session = start(module, harness, VIEWS)
        engine = session._engine
        session.stop()
        assert engine.close(20) and engine.nbytes == 0
        del session, engine
        harness.process_events()
        sizes.append(resident())
    print(f"resident MiB after each cycle: {[round(s) for s in sizes]}")
    assert sizes[-1] - sizes[1] < 50 and threading.active_count() < 10 and our_nodes() == []


# ---------------------------------------------------------------------- the panel


def test_the_panel_switches_and_chooses(module, shown, harness):
    ui = module.ui
    ui.liveSectionButton.collapsed = False
    harness.choose(ui.liveViewsSelector, "Yellow")
    harness.click(ui.liveButton)
    finish(module, harness)
    session = module.logic.liveZoom
    assert list(session.views) == ["Yellow"] and "Yellow: Guided" in ui.liveStatus.text
    harness.choose(ui.liveShowSelector, "Lens at the pointer")
    ui.liveLensSlider.value = 60.0
    assert session is module.logic.liveZoom and pixels_of(frame_of(session, "Yellow")).shape[2] == 60
    harness.click(ui.liveFlipButton)
    assert session.choices.original and ui.liveFlipButton.checked
    harness.choose(ui.methodSelector, "Cubic B-spline")  # another method in the middle of it
    finish(module, harness)
    assert module.logic.liveZoom is not session and not session.on
    assert module.logic.liveZoom.views["Yellow"].marks.text.startswith("Cubic B-spline")
    harness.click(ui.liveKeepButton)
    assert "T2 bspline view Yellow" in volume_names(harness)
    module.ui.targetSelector.setCurrentNode(shown[1])
    finish(module, harness)
    assert module.logic.liveZoom.target is shown[1]


def test_keys_work_while_it_is_on(module, shown, harness):
    from PySide6 import QtTest
    from PySide6.QtCore import Qt

    module.ui.liveSectionButton.collapsed = False
    harness.click(module.ui.liveButton)
    finish(module, harness)
    session = module.logic.liveZoom
    module.panel.activateWindow()
    harness.process_events()
    flip, add = Qt.Key.Key_F7, Qt.Key.Key_F8
    for key, expected in ((flip, (True, False)), (add, (False, True)), (add, (False, False))):
        QtTest.QTest.keyClick(module.panel, key)
        assert (session.choices.original, session.choices.difference) == expected
    finish(module, harness)
    QtTest.QTest.keyClick(module.panel, Qt.Key.Key_F9)
    assert any(" view " in name for name in volume_names(harness))


def test_an_error_ends_it_and_is_said(module, shown, harness):
    slicer.util.arrayFromVolume(shown[0])[0, 0, 0] = np.nan
    module.ui.liveSectionButton.collapsed = False
    harness.click(module.ui.liveButton)
    finish(module, harness)
    assert module.logic.liveZoom is None and "NaN" in module.ui.liveStatus.text and not module.ui.liveButton.checked
    assert our_nodes() == []


def test_warnings_stand_out_and_the_result_line_leaves_with_the_scene(module, pair, harness):
    from panel_fixtures import run_to_end

    far = np.eye(4)
    far[:3, 3] = 900, 900, 900
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "Far")
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(far))
    pair[1].SetAndObserveTransformNodeID(transform.GetID())
    run_to_end(module, harness)
    warning = module.ui.warningLabel
    assert "covers 0 % of the target" in warning.text and warning.isVisibleTo(module.panel)
    assert "covers 0 %" not in module.ui.resultLabel.text and "b26a00" in warning.styleSheet
    harness.new_scene()
    assert state(module) == "idle" and module.ui.resultLabel.text == warning.text == ""


# ---------------------------------------------------------------------- a session


@pytest.mark.parametrize("lock", ["released", "held"])
def test_a_scripted_session(module, shown, harness, lock):
    """Pan, zoom 1× to 12×, scroll, oblique turn, window drag, resize, another method, target deleted, scene closed."""
    import contextlib

    with harness.hold_gil() if lock == "held" else contextlib.nullcontext():
        module.ui.liveSectionButton.collapsed = False
        harness.click(module.ui.liveButton)
        finish(module, harness)
        session, red = module.logic.liveZoom, harness.view("Red")
        for _ in range(6):
            pan(red, 2.0, -1.5)
            harness.run_for(0.02)
        for _ in range(8):
            zoom(red, 12 ** (1 / 8))
            harness.run_for(0.02)
        finish(module, harness)
        width = red.node.GetFieldOfView()[0] / 200  # mm a screen pixel
        assert session.views["Red"].shown.scale == pytest.approx(2.0 / width, rel=1e-3) and 2.0 / width > 12
        for step in (1, 1, 1, -2, -1):
            red.node.SetSliceOffset(red.node.GetSliceOffset() + 3 * step)
            harness.run_for(0.02)
        for angle in (5, 10, 25):
            red.node.SetOrientation("Axial")
            cosine, sine = np.cos(np.radians(angle)), np.sin(np.radians(angle))
            turn = np.array([[1, 0, 0, 0], [0, cosine, -sine, 0], [0, sine, cosine, 0], [0, 0, 0, 1]])
            now = slicer.util.arrayFromVTKMatrix(red.node.GetSliceToRAS())
            red.node.GetSliceToRAS().DeepCopy(slicer.util.vtkMatrixFromArray(
                np.block([[(turn @ now)[:3, :3], now[:3, 3:]], [0, 0, 0, 1]])
            ))  # fmt: skip
            red.node.UpdateMatrices()
            harness.run_for(0.02)
        finish(module, harness)
        assert session.views["Red"].layers.visible
        display = shown[0].GetDisplayNode()
        display.SetAutoWindowLevel(False)
        for window in range(60, 200, 20):
            display.SetWindowLevel(window, window / 2)
            harness.run_for(0.005)
        assert frame_of(session).GetDisplayNode().GetWindow() == 180
        for size in ((260, 190), (120, 240), (200, 160)):
            red.resize(*size)
            harness.run_for(0.02)
        module.ui.optionValues.text = json.dumps({"guided": {"strength": 0.9}, "swift": trained("swift")})
        harness.choose(module.ui.methodSelector, "Swift")
        for _ in range(4):  # while it is being prepared
            pan(red, 1, 1)
            harness.run_for(0.02)
        finish(module, harness)
        assert module.logic.liveZoom.views["Red"].marks.text.startswith("Swift ×")
        harness.choose(module.ui.methodSelector, "Lanczos")
        pan(red, 1, 1)
        finish(module, harness)
        assert module.logic.liveZoom.views["Red"].marks.text.startswith("Lanczos")
        harness.scene.RemoveNode(shown[0])
        harness.process_events()
        assert module.logic.liveZoom is None and our_nodes() == []
        target, reference = make_pair()
        module.ui.targetSelector.setCurrentNode(target)
        harness.click(module.ui.liveButton)
        harness.run_for(0.05)
        harness.new_scene()
        assert module.logic.liveZoom is None and our_nodes() == []
        harness.wait(lambda: live_threads() == [], 20)


# ---------------------------------------------------------------------- the files


def test_file_scope_of_the_parts_imports_neither_the_library_nor_torch():
    import ast
    import sys

    from panel_fixtures import MODULE

    allowed = {*sys.stdlib_module_names, "slicer", "vtk", "qt", "ctk", "numpy"}
    parts = sorted((MODULE.parent / "MultiContrastSRPanel" / "live").glob("*.py"))
    assert len(parts) > 5
    for path in parts:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module]
            assert {name.split(".")[0] for name in names} <= allowed, path.name


def test_the_open_section_is_readable_and_reachable(module, shown, harness, tmp_path):
    from test_module_looks import SCREENSHOTS, keep, names

    ui = module.ui
    for section in (ui.advancedButton, ui.outputButton, ui.methodButton):
        section.collapsed = True
    ui.liveSectionButton.collapsed = False
    harness.click(ui.liveButton)
    finish(module, harness)
    harness.fit_panel(module)
    assert names(harness.clipped_texts(module.panel)) == [] and names(harness.unlabelled(module.panel)) == []
    keep(SCREENSHOTS / "panel-live-100.png", harness.grab_panel(tmp_path / "live.png"))
    with harness.larger_text(1.5):
        harness.fit_panel(module)
        assert names(harness.clipped_texts(module.panel)) == [], "with larger text"
    reached = names(harness.tab_order(module.panel))
    wanted = ["liveButton", "liveViewsSelector", "liveShowSelector", "liveQualitySelector", "liveKeepButton"]
    assert [name for name in reached if name in wanted] == wanted
