"""The harness itself: does it see what a user of a panel sees?"""

import numpy as np
import pytest
from harness_sample import *  # noqa: F403


def test_a_collapsed_section_hides_its_contents_and_its_height(harness, module):
    section, box = module.ui.advancedButton, module.ui.modeBox
    closed = section.height
    assert section.collapsed and not box.visible
    section.collapsed = False
    harness.fit_panel()
    assert box.visible and section.height > closed + 40
    section.checked = False
    module.ui.deviceBox.visible = False
    section.click()
    harness.process_events()
    assert box.visible and not module.ui.deviceBox.visible


def test_tab_reaches_every_control_in_order(harness, module, volume):
    module.ui.inputSelector.setCurrentNode(volume)
    ui = module.ui
    shown = [ui.inputsButton, ui.inputSelector, ui.outputSelector, ui.amountSlider, ui.advancedButton, ui.applyButton]
    assert harness.tab_order(module.panel) == shown == harness.inputs(module.panel)
    ui.advancedButton.collapsed = False
    harness.process_events()
    assert harness.tab_order(module.panel)[5:8] == [ui.modeBox, ui.deviceBox, ui.backgroundBox]
    ui.modeBox.setFocusPolicy(ui.modeBox.focusPolicy.__class__.ClickFocus)
    assert ui.modeBox not in harness.tab_order(module.panel)


def test_unlabelled_controls_are_found(harness, module):
    assert harness.unlabelled(module.panel) == []
    module.ui.amountLabel.setBuddy(None)
    assert harness.unlabelled(module.panel) == [module.ui.amountSlider]
    module.ui.amountSlider.accessibleName = "Amount"
    assert harness.unlabelled(module.panel) == []


@pytest.mark.parametrize("factor", [1.0, 1.5])
def test_clipped_texts_are_found(harness, module, factor):
    ui = module.ui
    ui.advancedButton.collapsed = False
    with harness.larger_text(factor):
        harness.fit_panel()
        assert harness.clipped_texts(module.panel) == []
        ui.amountLabel.setFixedWidth(20)
        ui.applyButton.setFixedWidth(30)
        ui.deviceBox.setFixedWidth(40)
        harness.fit_panel()
        assert set(harness.clipped_texts(module.panel)) == {ui.amountLabel, ui.applyButton, ui.deviceBox}
        ui.inputLabel.wordWrap = True
        ui.inputLabel.text = "a text that takes several lines when the label is narrow"
        ui.inputLabel.setFixedSize(60, 20)
        harness.fit_panel()
        assert ui.inputLabel in harness.clipped_texts(module.panel)


def _pixels(path):
    from PIL import Image

    return np.asarray(Image.open(path).convert("L"), dtype=float)


def test_pictures_show_text_and_scale(harness, module, tmp_path):
    once, scaled = (_pixels(harness.grab_panel(tmp_path / f"{s}.png", s)) for s in (1.0, 1.5))
    assert scaled.shape == tuple(round(n * 1.5) for n in once.shape)
    title = once[:50]  # the head of the first section: dark letters on light ground
    module.ui.inputsButton.text = ""
    assert (title < 100).sum() > (_pixels(harness.grab_panel(tmp_path / "empty.png"))[:50] < 100).sum() + 30


def test_views_show_the_volume_beside_the_panel(harness, module, volume, tmp_path):
    import slicer
    from harness.slice_view import graphics_problem

    if graphics_problem():
        pytest.skip(graphics_problem())
    empty = _pixels(harness.grab_views(tmp_path / "empty.png"))
    slicer.util.setSliceViewerLayers(background=volume, fit=True)
    shown = _pixels(harness.grab_views(tmp_path / "views.png"))
    right = slice(module.panel.width, None)
    assert empty[:, right].std() < shown[:, right].std()
    assert np.array_equal(empty[:, : module.panel.width], shown[:, : module.panel.width])
    red = harness.view("Red").image()
    assert red.shape[:2] == harness.view("Red").size[::-1] and red.std() > 10


def test_a_machine_without_graphics_gets_the_line_to_type(monkeypatch):
    from harness import slice_view

    monkeypatch.delenv("VTK_DEFAULT_OPENGL_WINDOW", raising=False)
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.setattr(slice_view, "_WINDOWS", ("vtkXOpenGLRenderWindow",))  # needs a screen: the probe fails
    slice_view.render_window.cache_clear()
    assert "apt-get install -y libegl1" in slice_view.graphics_problem()
    slice_view.render_window.cache_clear()
