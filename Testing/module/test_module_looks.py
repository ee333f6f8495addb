"""What the panel looks like and how the keyboard goes through it: in every state, on 100 %, 150 % and 200 % screens."""

from __future__ import annotations

import numpy as np
import pytest

slicer = pytest.importorskip("slicer")

from panel_fixtures import gate_at, run_to_end, state, wait_idle  # noqa: E402


def names(widgets) -> list[str]:
    return [widget.objectName for widget in widgets]


def look(module, harness, tmp_path, name: str) -> None:
    """No text may be clipped and none stand in too large a place, at 100 % and with text up to twice as large."""
    for percent in (100, 150):
        harness.grab_panel(tmp_path / f"{name}-{percent}.png", scale=percent / 100)
        check_texts(module, harness)
    for factor in (1.5, 2.0):
        with harness.larger_text(factor):
            harness.fit_panel(module)
            check_texts(module, harness)
    harness.fit_panel(module)
    check_texts(module, harness)


def check_texts(module, harness) -> None:
    assert names(harness.clipped_texts(module.panel)) == []
    assert names(harness.loose_texts(module.panel)) == []


def test_idle(module, pair, harness, tmp_path):
    harness.choose(module.ui.methodSelector, "Automatic (recommended)")
    assert state(module) == "idle"
    look(module, harness, tmp_path, "idle")


def test_idle_without_any_scan_and_with_all_sections_open(module, harness, tmp_path):
    module.ui.advancedButton.collapsed = False
    harness.click(module.ui.customButton)
    harness.fit_panel(module)
    check_texts(module, harness)


@pytest.mark.parametrize("method", ["automatic", "guided", "swift", "joint-tv", "subject-inr"])
def test_summaries_and_sizes_have_the_height_of_their_text(module, pair, harness, method):
    module.logic.getParameterNode().method = method
    harness.process_events()
    harness.fit_panel(module)
    check_texts(module, harness)


def test_running(module, pair, harness, monkeypatch, tmp_path):
    run_to_end(module, harness)  # a second run: its first line is not among the pictures
    with gate_at("consistency", monkeypatch) as gate:
        harness.click(module.ui.applyButton)
        harness.wait(gate.reached.is_set, 30)
        harness.wait(lambda: module.ui.progressLabel.text.startswith("Consistency"), 5)
        assert state(module) == "running" and module.ui.applyButton.text == "Cancel"
        assert module.ui.progressBar.isVisibleTo(module.panel) and 0 < module.ui.progressBar.value < 100
        assert not module.ui.targetSelector.isEnabledTo(module.panel)
        look(module, harness, tmp_path, "running")
    wait_idle(module, harness)


def test_error(module, pair, harness, tmp_path):
    slicer.util.arrayFromVolume(pair[0])[0, 0, 0] = np.nan
    run_to_end(module, harness)
    assert state(module) == "error"
    look(module, harness, tmp_path, "error")


def test_warnings(module, pair, harness, tmp_path):
    module.ui.referenceSelector.setCurrentNode(None)
    module.ui.targetSelector.setCurrentNode(pair[1])
    module.ui.referenceSelector.setCurrentNode(pair[0])
    run_to_end(module, harness)
    module.ui.detailsButton.collapsed = False
    labels = module.ui.inputWarningLabel, module.ui.warningLabel, module.ui.detailsLabel
    assert state(module) == "done" and all(label.isVisibleTo(module.panel) for label in labels)
    look(module, harness, tmp_path, "warnings")


def test_done(module, pair, harness, tmp_path):
    run_to_end(module, harness)
    assert state(module) == "done"
    look(module, harness, tmp_path, "done")
    assert harness.grab_views(tmp_path / "views.png").stat().st_size > 10_000


def test_a_box_and_the_comparison(module, pair, harness, tmp_path):
    ui = module.ui
    slicer.util.setSliceViewerLayers(background=pair[0], fit=True)
    harness.choose(ui.regionSelector, "Box (ROI)")
    box = ui.roiSelector.addNode("vtkMRMLMarkupsROINode")
    box.SetName("Lesion")
    harness.run_for(0.3)
    look(module, harness, tmp_path, "region")
    harness.choose(ui.regionSelector, "Whole scan")
    run_to_end(module, harness)
    harness.click(ui.compareButton)
    harness.click(ui.compareLineButton)
    look(module, harness, tmp_path, "compare")
    for section in (ui.inputsButton, ui.methodButton):
        section.collapsed = True
    harness.run_for(0.1)
    assert harness.grab_views(tmp_path / "views.png").stat().st_size > 10_000
    harness.click(ui.compareButton)


@pytest.fixture
def with_options(module, pair, harness, dummy_method):
    """The panel with a method that has one option of each type."""
    from MultiContrastSRLib.methods.contract import Option

    dummy_method(
        name="dummy-options",
        options=(
            Option("strong", False, "Strong", "Whether to be strong."),
            Option("count", 3, "Count", "How many.", 1, 9),
            Option("weight", 0.5, "Weight", "How heavy, in kg.", 0.0, 1.0),
            Option("mode", "soft", "Mode", "Which way.", choices=("soft", "hard")),
            Option("note", "", "Note", "What to remember."),
        ),
    )
    module.logic.getParameterNode().method = "dummy-options"
    harness.process_events()


def test_custom_size_with_warnings_and_larger_text(module, pair, harness, tmp_path):
    ui = module.ui
    harness.choose(ui.methodSelector, "Automatic (recommended)")
    harness.click(ui.customButton)
    ui.scaleSlider.value = 6.0
    ui.referenceSelector.setCurrentNode(None)
    ui.targetSelector.setCurrentNode(pair[1])
    ui.referenceSelector.setCurrentNode(pair[0])
    harness.process_events()
    assert ui.sizeWarningLabel.visible and ui.inputWarningLabel.visible
    look(module, harness, tmp_path, "custom")


def test_every_control_is_labelled(module, with_options, harness):
    module.ui.advancedButton.collapsed = False
    harness.fit_panel(module)
    assert names(harness.unlabelled(module.panel)) == []
    assert all(
        widget.toolTip for widget in harness.inputs(module.panel) if type(widget).__name__ != "ctkCollapsibleButton"
    )


@pytest.mark.parametrize("size", ["Scale factor", "Isotropic spacing"])
def test_tab_reaches_every_control_from_top_to_bottom(module, with_options, harness, size):
    module.ui.advancedButton.collapsed = False
    harness.click(module.ui.customButton)
    harness.choose(module.ui.outputSizeSelector, size)
    harness.fit_panel(module)
    reached = harness.tab_order(module.panel)
    assert set(names(harness.inputs(module.panel))) <= set(names(reached))
    start = names(reached).index("helpButton")
    order = reached[start:] + reached[:start]
    tops = [widget.mapTo(module.panel, widget.rect.topLeft()).y() for widget in order]
    assert tops == sorted(tops), names(order)
    options = [widget.objectName for widget in module.widget.panel._form.widgets]
    assert len(options) == 5 and [name for name in names(order) if name in options] == options
    assert names(order)[-1] == "applyButton"
