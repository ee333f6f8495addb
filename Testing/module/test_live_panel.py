"""Live zoom's section of the panel: its switches, keys and errors, and a whole session."""

from __future__ import annotations

import json

import numpy as np
import pytest

slicer = pytest.importorskip("slicer")

from live_fixtures import live_threads, trained  # noqa: E402
from live_view_fixtures import finish, frame_of, our_nodes, pan, pixels_of, zoom  # noqa: E402
from panel_fixtures import make_pair, volume_names  # noqa: E402


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
    assert session.display.original and ui.liveFlipButton.checked
    harness.choose(ui.methodSelector, "Cubic B-spline")  # another method in the middle of it
    finish(module, harness)
    assert module.logic.liveZoom is not session and not session.on
    assert module.logic.liveZoom.views["Yellow"].annotations.text.startswith("Cubic B-spline")
    harness.click(ui.liveKeepButton)
    assert "T2 bspline view Yellow" in volume_names(harness)
    module.ui.targetSelector.setCurrentNode(shown[1])
    finish(module, harness)
    assert module.logic.liveZoom.target is shown[1]


def test_views_are_offered_in_the_scenes_order_with_their_tooltip(module, shown, harness):
    combo = module.ui.liveViewsSelector
    nodes = slicer.util.getNodesByClass("vtkMRMLSliceNode")
    names = [node.GetLayoutName() for node in nodes]
    assert [combo.itemText(row) for row in range(combo.count)] == ["All slice views", *names]
    assert "every slice view" in combo.toolTip
    harness.choose(combo, "Green")
    assert "slice view Green only" in combo.toolTip
    module.ui.liveSectionButton.collapsed = False
    harness.choose(combo, "All slice views")
    harness.click(module.ui.liveButton)
    finish(module, harness)
    harness.click(module.ui.liveKeepButton)
    assert list(module.logic.liveZoom.views) == names and volume_names(harness)[-1] == f"T2 guided view {names[0]}"


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
        assert (session.display.original, session.display.difference) == expected
    for where in ("split", "view"):
        QtTest.QTest.keyClick(module.panel, Qt.Key.Key_F6)
        assert session.display.show == where and session is module.logic.liveZoom
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


def test_a_bug_in_the_engine_ends_it_and_is_said(module, shown, harness, monkeypatch):
    from MultiContrastSRLib.live.renderer import ViewRenderer

    def broken(self, grid):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(ViewRenderer, "ready", broken)
    module.ui.liveSectionButton.collapsed = False
    harness.click(module.ui.liveButton)
    finish(module, harness)
    assert module.logic.liveZoom is None and module.ui.liveStatus.text == "a bug" and our_nodes() == []


def test_packages_are_imported_by_another_thread(module, shown, harness, slow_slices, slow_package):
    import sys
    import threading

    from MultiContrastSRPanel.logic.dependencies import are_loaded

    slow_slices.requires = (slow_package,)
    module.ui.methodName.text = slow_slices.name
    module.ui.liveSectionButton.collapsed = False
    harness.click(module.ui.liveButton)
    session = module.logic.liveZoom
    assert session.views["Red"].annotations.text.startswith(f"Slow slices · Starting {slow_package}…")
    assert not are_loaded([slow_package]) and session.busy
    finish(module, harness)
    assert session.on and session.views["Red"].layers.visible
    assert sys.modules[slow_package].imported_by is not threading.main_thread()


# ---------------------------------------------------------------------- a session


@pytest.mark.slow
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
        assert session.views["Red"].frame.scale == pytest.approx(2.0 / width, rel=1e-3) and 2.0 / width > 12
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
        assert module.logic.liveZoom.views["Red"].annotations.text.startswith("Swift ×")
        harness.choose(module.ui.methodSelector, "Lanczos")
        pan(red, 1, 1)
        finish(module, harness)
        assert module.logic.liveZoom.views["Red"].annotations.text.startswith("Lanczos")
        harness.scene.RemoveNode(shown[0])
        harness.process_events()
        assert module.logic.liveZoom is None and our_nodes() == []
        target, _ = make_pair()
        module.ui.targetSelector.setCurrentNode(target)
        harness.click(module.ui.liveButton)
        harness.run_for(0.05)
        harness.new_scene()
        assert module.logic.liveZoom is None and our_nodes() == []
        harness.wait(lambda: live_threads() == [], 20)


# ---------------------------------------------------------------------- looks


def test_the_open_section_is_readable_and_reachable(module, shown, harness):
    from test_module_looks import names

    ui = module.ui
    for section in (ui.advancedButton, ui.outputButton, ui.methodButton):
        section.collapsed = True
    ui.liveSectionButton.collapsed = False
    harness.click(ui.liveButton)
    finish(module, harness)
    harness.fit_panel(module)
    assert names(harness.clipped_texts(module.panel)) == [] and names(harness.unlabelled(module.panel)) == []
    with harness.larger_text(1.5):
        harness.fit_panel(module)
        assert names(harness.clipped_texts(module.panel)) == [], "with larger text"
    reached = names(harness.tab_order(module.panel))
    wanted = ["liveButton", "liveViewsSelector", "liveShowSelector", "liveQualitySelector", "liveKeepButton"]
    assert [name for name in reached if name in wanted] == wanted
