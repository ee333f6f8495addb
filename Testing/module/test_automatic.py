"""The method *Automatic* and the presets of the size."""

from __future__ import annotations

import sys

import numpy as np
import pytest

slicer = pytest.importorskip("slicer")

from live_fixtures import trained  # noqa: E402
from live_view_fixtures import VIEWS, finish  # noqa: E402
from panel_fixtures import run_to_end, state, volume_names  # noqa: E402


@pytest.fixture
def automatic(module, pair, harness):
    """The panel with *Automatic* as the method."""
    harness.choose(module.ui.methodSelector, "Automatic (recommended)")
    return module


@pytest.fixture
def no_torch(monkeypatch):
    """PyTorch as if it were not installed."""
    from MultiContrastSRLib.core import packages

    missing = {"torch": "needs torch, which is not installed"}
    monkeypatch.setattr(packages, "problem", missing.get)


@pytest.fixture
def broken_torch(module, monkeypatch):
    """PyTorch as if it were installed, and its import failed."""
    from MultiContrastSRPanel.logic import dependencies

    def broken(module):
        raise dependencies._unavailable("PyTorch is installed but does not work.")

    monkeypatch.setattr(dependencies, "_load", broken)
    monkeypatch.setattr(dependencies, "is_installed", lambda module: True)
    monkeypatch.setattr(dependencies, "_broken", set())


# ---------------------------------------------------------------------- the method


def test_automatic_is_the_default_and_saved_by_name(harness):
    from panel_fixtures import MODULE

    node = harness.load(MODULE).logic.getParameterNode().parameterNode
    assert node.GetParameter("method") == "automatic"  # written at once, so that scenes keep their method


def test_automatic_is_guided_where_torch_is_not_installed(automatic, harness, no_torch):
    run_to_end(automatic, harness)
    assert state(automatic) == "done" and volume_names(harness)[-1] == "T2 guided 2x"
    assert automatic.ui.resultLabel.text.startswith("Guided (local regression) with T1 (chosen automatically), ×2")
    assert not harness.messages.of("error")


def test_automatic_is_swift_where_torch_works(automatic, harness, monkeypatch):
    pytest.importorskip("torch")
    from MultiContrastSRLib import pipeline

    super_resolve = pipeline.super_resolve
    monkeypatch.setattr(
        pipeline, "super_resolve", lambda *scans, **settings: super_resolve(*scans, **settings, **trained("swift"))
    )
    run_to_end(automatic, harness)
    assert state(automatic) == "done" and volume_names(harness)[-1] == "T2 swift 2x"
    assert "Swift with T1 (chosen automatically)" in automatic.ui.resultLabel.text


def test_automatic_is_guided_where_torch_turns_out_to_be_broken(automatic, harness, broken_torch):
    from MultiContrastSRPanel.logic import automatic as choice

    assert choice.recommended_method() == "swift"
    run_to_end(automatic, harness)
    assert state(automatic) == "done" and volume_names(harness)[-1] == "T2 guided 2x"
    assert choice.recommended_method() == "guided"
    assert automatic.ui.deviceSelector.currentText != "Automatic: GPU or CPU"  # it is known that guided runs
    assert choice.resolve_method({"method": "automatic", "device": "cpu"}) == {"method": "guided", "device": "cpu"}


def test_choosing_automatic_imports_no_torch(automatic, harness, monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "torch"]:
        monkeypatch.delitem(sys.modules, name)
    asked = []
    monkeypatch.setattr(automatic.logic, "loadPackages", lambda *arguments: asked.append(arguments))
    automatic.ui.methodName.text = "guided"
    automatic.ui.methodName.text = "automatic"
    assert asked == [] and "torch" not in sys.modules
    assert automatic.ui.deviceSelector.currentText == "Automatic: GPU or CPU"


def test_the_device_of_automatic_is_named_after_a_run(automatic, harness, dummy_method, slow_package, monkeypatch):
    from MultiContrastSRPanel.logic import automatic as choice

    from MultiContrastSRLib.core import devices

    found = [devices.Device("cpu", "CPU"), devices.Device("cuda:0", "GPU 0: H200")]
    monkeypatch.setattr(devices, "list_devices", lambda kinds: [each for each in found if each.type in kinds])
    dummy_method(requires=(slow_package,), devices=("cpu", "cuda"))
    monkeypatch.setattr(choice, "_PREFERRED", "dummy")
    automatic.ui.methodName.text = "guided"
    automatic.ui.methodName.text = "automatic"
    selector = automatic.ui.deviceSelector
    assert [selector.itemText(n) for n in range(selector.count)] == ["Automatic: GPU or CPU", "CPU"]
    harness.choose(selector, "CPU")
    run_to_end(automatic, harness)
    assert state(automatic) == "done" and volume_names(harness)[-1] == "T2 dummy 2x"
    assert [selector.itemText(n) for n in range(selector.count)] == ["Automatic: GPU 0: H200", "CPU", "GPU 0: H200"]
    assert selector.currentText == "CPU"


def test_live_zoom_and_the_console_know_automatic(automatic, pair, harness, no_torch):
    node = automatic.logic.process(*pair, method="automatic")
    assert node.GetName() == "T2 guided 2x"
    session = automatic.logic.startLiveZoom(["Red"], *pair, method="automatic")
    assert session._method.name == "guided"
    automatic.logic.stopLiveZoom()


@pytest.mark.parametrize("imported", [False, True])
def test_live_zoom_goes_on_with_guided_where_torch_turns_out_to_be_broken(
    automatic, shown, harness, broken_torch, monkeypatch, imported
):
    from MultiContrastSRPanel.logic import dependencies

    monkeypatch.setattr(dependencies, "are_loaded", lambda modules: imported or not modules)
    automatic.ui.liveSectionButton.collapsed = False
    harness.click(automatic.ui.liveButton)
    finish(automatic, harness)
    session = automatic.logic.liveZoom
    assert all(session.views[name].layers.visible for name in VIEWS)
    assert session.views["Red"].annotations.text.startswith("Guided (local regression) ×")
    assert "Guided (local regression) (chosen automatically) ×" in automatic.ui.liveStatus.text


def test_a_view_is_rendered_by_guided_where_torch_turns_out_to_be_broken(automatic, shown, broken_torch):
    kept = automatic.logic.renderView("Red", *shown, method="automatic", register="off")
    assert kept.GetName() == "T2 guided view Red"


def test_a_method_chosen_by_name_is_not_replaced(module, shown, harness, broken_torch, monkeypatch):
    from MultiContrastSRPanel.logic import dependencies

    from MultiContrastSRLib.core.errors import MethodUnavailableError

    with pytest.raises(MethodUnavailableError, match="does not work"):
        module.logic.renderView("Red", *shown, method="swift")
    monkeypatch.setattr(dependencies, "are_loaded", lambda modules: False)
    ended = []
    module.logic.startLiveZoom(["Red"], *shown, method="swift", onEnd=ended.append)
    finish(module, harness)
    assert [str(reason) for reason in ended] == ["PyTorch is installed but does not work."]


# ---------------------------------------------------------------------- presets


def preset(module):
    ui = module.ui
    (pressed,) = [b for b in (ui.sharperButton, ui.isotropicButton, ui.customButton) if b.checked]
    return pressed.text


def test_presets_set_the_size_and_custom_shows_the_controls(module, pair, harness):
    ui = module.ui
    parameters = module.logic.getParameterNode()
    assert preset(module) == "Sharper in plane" and not ui.sizeStack.visible and not ui.outputSizeSelector.visible
    harness.click(ui.isotropicButton)
    assert preset(module) == "Isotropic" and not ui.sizeStack.visible
    assert (parameters.outputSize.name, parameters.spacing) == ("spacing", 2.0)
    assert "→ 64 × 64 × 18 voxels; spacing 2 × 2 × 3 → 2 × 2 × 2 mm" in ui.previewLabel.text
    assert not ui.sizeWarningLabel.visible  # never coarser in plane than the scan
    harness.click(ui.isotropicButton)  # a second click does not release it
    assert preset(module) == "Isotropic"
    harness.click(ui.customButton)
    assert preset(module) == "Custom" and ui.sizeStack.isVisibleTo(module.panel)
    harness.choose(ui.outputSizeSelector, "Scale factor")
    ui.scaleSlider.value = 3.3
    ui.scaleSlider.value = 2.0
    assert preset(module) == "Custom" and ui.sizeStack.isVisibleTo(module.panel)  # it stays under the hand
    ui.scaleSlider.value = 3.3
    harness.click(ui.isotropicButton)
    assert preset(module) == "Isotropic" and parameters.outputSize.name == "spacing"
    harness.click(ui.sharperButton)
    assert preset(module) == "Sharper in plane" and (parameters.outputSize.name, parameters.scale) == ("scale", 2.0)


def test_the_isotropic_preset_follows_the_target(module, pair, harness):
    harness.click(module.ui.isotropicButton)
    module.ui.referenceSelector.setCurrentNode(None)
    module.ui.targetSelector.setCurrentNode(pair[1])
    harness.process_events()
    assert preset(module) == "Isotropic" and module.logic.getParameterNode().spacing == pytest.approx(1.0)
    cubes = slicer.util.addVolumeFromArray(np.ones((20, 20, 20), np.float32), ijkToRAS=np.eye(4), name="Cubes")
    module.ui.targetSelector.setCurrentNode(cubes)
    harness.process_events()
    assert preset(module) == "Isotropic" and module.logic.getParameterNode().spacing == pytest.approx(0.5)


def test_a_loaded_scene_keeps_its_size(module, pair, harness, tmp_path):
    harness.click(module.ui.customButton)
    harness.choose(module.ui.outputSizeSelector, "Isotropic spacing")
    module.ui.spacingSlider.value = 0.75
    path = harness.save_scene(tmp_path / "scene.mrb")
    harness.new_scene()
    assert preset(module) == "Sharper in plane"
    harness.load_scene(path)
    harness.process_events()
    assert preset(module) == "Custom" and module.logic.getParameterNode().spacing == pytest.approx(0.75)
