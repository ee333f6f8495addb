"""Live zoom leaves nothing behind: switched off, saved, closed, its nodes deleted, on and off ten times."""

from __future__ import annotations

import gc
import resource
import threading
import weakref

import numpy as np
import pytest

slicer = pytest.importorskip("slicer")

from live_fixtures import live_threads  # noqa: E402
from live_view_fixtures import VIEWS, finish, frame_of, our_nodes, pixels_of, start  # noqa: E402
from panel_fixtures import scene_text, volume_names  # noqa: E402

pytestmark = pytest.mark.slow


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


def test_live_zoom_that_ended_is_freed(module, shown, harness):
    ended = weakref.ref(start(module, harness, ["Red"]))
    finish(module, harness)
    engine = module.logic.liveZoom._engine
    module.logic.stopLiveZoom()
    assert engine.close(20)
    harness.run_for(0.05)
    gc.collect()
    assert ended() is None


def test_closing_the_scene_ends_it(module, shown, harness):
    start(module, harness, VIEWS)
    harness.new_scene()
    assert module.logic.liveZoom is None and our_nodes() == [] and not module.ui.liveButton.checked
    harness.wait(lambda: live_threads() == [], 20)


def test_another_logic_takes_over_a_view(module, shown, harness, another_logic):
    module.ui.liveSectionButton.collapsed = False
    harness.click(module.ui.liveButton)
    finish(module, harness)
    session = another_logic.startLiveZoom(["Red"], *shown, register="off")
    assert module.logic.liveZoom is None and not module.ui.liveButton.checked
    assert module.ui.liveStatus.text == (
        "Another live zoom or comparison was started in slice view Red; this one has ended."
    )
    harness.wait(lambda: not session.busy, 20)
    assert session.views["Red"].layers.visible and our_nodes() == ["Live zoom RedFrame"] * 2  # and its display
    harness.click(module.ui.liveButton)
    finish(module, harness)
    assert another_logic.liveZoom is None and not session.on
    assert all(view.layers.visible for view in module.logic.liveZoom.views.values())
    module.logic.stopLiveZoom()
    assert our_nodes() == []


def test_another_logic_has_other_views(module, shown, harness, another_logic):
    first = start(module, harness, ["Red"])
    second = another_logic.startLiveZoom(["Green"], *shown, register="off")
    for session in (first, second):
        session.toggle_difference()
    harness.wait(lambda: not first.busy and not second.busy, 20)
    second.stop()
    assert first.on and first.views["Red"].layers.visible
    assert frame_of(first).GetDisplayNode().GetColorNode() is not None  # both used it
    first.stop()
    assert our_nodes() == []


def test_deleting_the_target_ends_it_with_the_reason(module, shown, harness):
    reasons = []
    module.logic.startLiveZoom(["Red"], *shown, onEnd=reasons.append, register="off")
    finish(module, harness)
    harness.scene.RemoveNode(shown[0])
    assert module.logic.liveZoom is None and our_nodes() == []
    assert [str(reason) for reason in reasons] == ["The target 'T2' was deleted; live zoom is off."]


@pytest.mark.parametrize("shows", ["image", "difference", "original"])
@pytest.mark.parametrize("removed", ["frame", "its display", "base", "all"])
def test_a_layer_that_somebody_removes_is_made_anew(module, shown, harness, removed, shows):
    composite = harness.view("Red").mrmlSliceCompositeNode()
    composite.SetBackgroundVolumeID(shown[1].GetID())
    session = start(module, harness)
    if shows == "difference":
        session.toggle_difference()
        finish(module, harness)
    layers = session.views["Red"].layers
    before, names = pixels_of(layers.frame).copy(), sorted(our_nodes())
    if shows == "original":
        session.flip()
    frame, base = layers.frame, composite.GetNthLayerVolume(3)
    nodes = {"frame": [frame], "its display": [frame.GetDisplayNode()], "base": [base], "all": [frame, base]}[removed]
    for node in nodes:
        harness.scene.RemoveNode(node)
    assert "×" not in session.views["Red"].annotations.text.splitlines()[0]  # the scale of a frame
    assert composite.GetNumberOfAdditionalLayers() == 0
    harness.process_events()
    finish(module, harness)
    if shows == "original":
        session.flip()
    assert session.on and layers.visible and sorted(our_nodes()) == names
    np.testing.assert_array_equal(pixels_of(layers.frame), before)
    assert composite.GetNumberOfAdditionalLayers() == 2
    session.stop()
    assert our_nodes() == [] and composite.GetNthLayerOpacity(3) == composite.GetNthLayerOpacity(4) == 1


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
