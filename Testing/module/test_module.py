"""The Slicer module outside of runs: loading, parameters and scenes, menus and options, errors, reload."""

from __future__ import annotations

import ast
import sys
import threading

import numpy as np
import pytest

slicer = pytest.importorskip("slicer")

from panel_fixtures import MODULE, gate_at, make_pair, run_to_end, scene_text, state, volume_names, wait_idle  # noqa: E402

PANEL = MODULE.parent / "MultiContrastSRPanel"
LIBRARY = MODULE.parent.parent / "MultiContrastSRLib"


# ---------------------------------------------------------------------- the module


@pytest.mark.parametrize(
    "path", [MODULE, *sorted(PANEL.rglob("*.py"))], ids=lambda path: str(path.relative_to(MODULE.parent))
)
def test_file_scope_imports_nothing_that_pulls_torch(path):
    allowed = {*sys.stdlib_module_names, "slicer", "vtk", "qt", "ctk", "numpy", "MultiContrastSRPanel"}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module]
        assert {name.split(".")[0] for name in names} <= allowed


def test_the_logic_imports_nothing_of_the_panel():
    paths = sorted((PANEL / "logic").rglob("*.py"))
    assert len(paths) > 10
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                assert "ui" not in (node.module or "").split("."), path.name


def test_module_says_what_it_is(module):
    info = module.info
    assert info.title == "Multi-contrast Super-resolution" and info.categories == ["Filtering"]
    assert "Research use only" in info.helpText and "CC BY" in info.acknowledgementText and info.contributors


def test_opening_the_module_imports_no_torch_and_nothing_else_that_takes_long(module):
    """Nor do scans that arrive: what only computing needs is imported on the worker."""
    import subprocess

    heavy = "torch", "SimpleITK", "nibabel", "scipy.ndimage", "scipy.interpolate", "scipy.optimize", "scipy.special"
    code = (
        "import sys; sys.path.insert(0, 'Testing'); from harness import Harness; from panel_fixtures import make_pair; "
        f"h = Harness(); m = h.load({str(MODULE)!r}); make_pair(); h.process_events(); "
        "assert m.ui.applyButton.enabled; "
        f"bad = [m for m in {heavy} if m in sys.modules]; print('imported', bad); h.unload_all()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=MODULE.parent.parent, timeout=120
    )
    assert "imported []" in done.stdout, done.stdout + done.stderr


def test_every_parameter_is_bound_in_the_ui_file():
    import xml.etree.ElementTree as ElementTree

    tree = ElementTree.parse(MODULE.parent / "Resources" / "UI" / "MultiContrastSR.ui")
    bound = [entry.findtext("string") for entry in tree.iter("property") if entry.get("name") == "SlicerParameterName"]
    source = ast.parse((PANEL / "logic" / "parameters.py").read_text(encoding="utf-8"))
    cls = next(n for n in source.body if isinstance(n, ast.ClassDef) and n.name == "MultiContrastSRParameterNode")
    parameters = [node.target.id for node in cls.body if isinstance(node, ast.AnnAssign)]
    assert sorted(bound) == sorted(parameters)


def test_cmake_lists_every_file_of_the_module():
    import re

    text = (MODULE.parent / "CMakeLists.txt").read_text(encoding="utf-8").replace("${MODULE_NAME}", "MultiContrastSR")
    lists = re.findall(r"set\(MODULE_PYTHON_(?:SCRIPTS|RESOURCES)([^)]*)\)", text)
    listed = [name for part in lists for name in part.split()]
    files = [
        p.relative_to(MODULE.parent) for p in MODULE.parent.rglob("*") if p.is_file() and "__pycache__" not in p.parts
    ]
    assert sorted(listed) == sorted(str(path) for path in files if path.name != "CMakeLists.txt")


def test_self_test_of_the_module_passes(module, harness):
    module.instance.runTest(msec=0)
    assert "T2 guided 2x" in volume_names(harness)


def test_library_is_found_from_source_and_installed(tmp_path, monkeypatch, module):
    from MultiContrastSRPanel.logic import library as finder

    assert finder.library_folder() == LIBRARY
    (tmp_path / "MultiContrastSRLib").mkdir()
    (tmp_path / "MultiContrastSRLib" / "__init__.py").touch()
    monkeypatch.setattr(finder, "FOLDERS", (tmp_path, LIBRARY.parent))
    assert finder.library_folder() == tmp_path / "MultiContrastSRLib"
    monkeypatch.setattr(finder, "FOLDERS", (tmp_path / "no", tmp_path / "where"))
    with pytest.raises(
        ImportError, match=r"MultiContrastSRLib was not found in .*Install the MultiContrastSR extension again"
    ):
        finder.library_folder()


# ---------------------------------------------------------------------- parameters and scenes


def chosen(module):
    return module.ui.targetSelector.currentNode(), module.ui.referenceSelector.currentNode()


def open_again(module):
    """The module as it opens in a scene whose target and reference nobody has chosen yet."""
    module.exit()
    parameters = module.logic.getParameterNode()
    parameters.target = parameters.reference = None
    module.enter()


def test_target_and_reference_are_guessed_when_the_module_opens(module, harness):
    slicer.util.addVolumeFromArray(
        np.zeros((2, 3, 4), np.uint8), name="Labels", nodeClassName="vtkMRMLLabelMapVolumeNode"
    )
    module.exit()
    target, reference = make_pair()
    open_again(module)
    assert chosen(module) == (target, reference) and module.ui.applyButton.enabled
    finest = module.logic.process(target, reference, scale=4)  # finer than the reference, but a result
    open_again(module)
    assert chosen(module) == (target, reference) and finest not in chosen(module)
    thin = np.diag([-1.0, -1.0, 1.0, 1.0])
    isotropic = slicer.util.addVolumeFromArray(np.ones((36, 128, 128), np.float32), ijkToRAS=thin, name="FLAIR")
    open_again(module)
    assert chosen(module) == (target, isotropic)


def test_what_was_chosen_is_not_guessed_again(module, harness):
    reference = make_pair()[1]
    module.ui.targetSelector.setCurrentNode(reference)
    module.exit()
    module.enter()
    assert chosen(module) == (reference, None)


def test_scans_of_one_resolution_are_no_references(module, harness):
    module.exit()
    target, reference = make_pair()
    harness.scene.RemoveNode(reference)
    slicer.util.addVolumeFromArray(
        slicer.util.arrayFromVolume(target), ijkToRAS=np.diag([-2.0, -2.0, 3.01, 1.0]), name="FLAIR"
    )
    open_again(module)
    assert module.ui.referenceSelector.currentNode() is None and module.ui.targetSelector.currentNode() is not None


def test_preview_says_size_and_spacing(module, pair, harness):
    text = module.ui.previewLabel
    assert text.text == "64 × 64 × 12 → 128 × 128 × 12 voxels; spacing 2 × 2 × 3 → 1 × 1 × 3 mm; 1 MB"
    module.ui.scaleSlider.value = 1.25
    assert text.text == "64 × 64 × 12 → 80 × 80 × 12 voxels; spacing 2 × 2 × 3 → 1.6 × 1.6 × 3 mm; 1 MB"
    harness.choose(module.ui.outputSizeSelector, "Isotropic spacing")
    assert "→ 128 × 128 × 36 voxels; spacing 2 × 2 × 3 → 1 × 1 × 1 mm" in text.text
    module.ui.spacingSlider.value = 0.5
    assert "→ 256 × 256 × 72 voxels" in text.text and text.text.endswith("18 MB")
    assert module.ui.sizeLabel.text == "Spacing:"
    run_to_end(module, harness)
    np.testing.assert_allclose(module.widget.panel.run.node.GetSpacing(), (0.5, 0.5, 0.5))


def test_the_sliders_inexact_values_are_rounded(module, pair, harness):
    module.ui.scaleSlider.value = 3.3
    assert module.ui.scaleSlider.value == 3.2999999999999994
    run_to_end(module, harness)
    assert volume_names(harness)[-1] == "T2 guided 3.3x" and module.widget.panel.settings()["scale"] == 3.3
    assert "Guided (local regression) with T1, ×3.3 in plane:" in module.ui.resultLabel.text


def test_target_and_reference_must_differ(module, pair, harness):
    """Slicer's selector takes another volume when the chosen one is deleted: perhaps the reference."""
    harness.scene.RemoveNode(pair[0])
    harness.process_events()
    assert module.ui.targetSelector.currentNode() is module.ui.referenceSelector.currentNode() is pair[1]
    assert not module.ui.applyButton.enabled
    assert "'T1' is both target and reference" in module.ui.applyButton.toolTip
    assert module.ui.previewLabel.text in module.ui.applyButton.toolTip
    module.ui.referenceSelector.setCurrentNode(None)
    assert module.ui.applyButton.enabled


def test_a_double_click_starts_one_run_and_does_not_cancel_it(module, pair, harness, monkeypatch):
    harness.double_click(module.ui.applyButton)
    wait_idle(module, harness)
    assert state(module) == "done" and volume_names(harness) == ["T2", "T1", "T2 guided 2x"]
    with gate_at("prepare", monkeypatch) as gate:
        harness.click(module.ui.applyButton)
        harness.wait(gate.reached.is_set, 30)
        harness.click(module.ui.applyButton)  # some time later
        assert state(module) == "cancelling"
    wait_idle(module, harness)


def test_apply_waits_for_a_target(module, harness):
    assert not module.ui.applyButton.enabled and module.ui.applyButton.toolTip == "<p>Choose a target volume first.</p>"
    make_pair()
    harness.process_events()
    assert module.ui.applyButton.enabled  # Slicer's selector takes the first volume by itself


def test_a_non_linear_transform_blocks_apply_with_the_reason(module, pair, harness):
    import vtk

    warp = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTransformNode", "Warp")
    warp.SetAndObserveTransformToParent(vtk.vtkThinPlateSplineTransform())
    pair[0].SetAndObserveTransformNodeID(warp.GetID())
    assert not module.ui.applyButton.enabled and "non-linear transform 'Warp'" in module.ui.previewLabel.text
    pair[0].SetAndObserveTransformNodeID(None)
    assert module.ui.applyButton.enabled


def label_of(method):
    from MultiContrastSRLib.methods import get

    return get(method).label


def choose_everything(module, harness, pair):
    """Every parameter off its default."""
    ui = module.ui
    harness.choose(ui.methodSelector, label_of("lanczos"))
    harness.choose(ui.outputSizeSelector, "Isotropic spacing")
    ui.scaleSlider.value, ui.spacingSlider.value = 3.3, 0.75
    harness.choose(ui.registrationSelector, "Off")
    ui.consistencyCheckBox.checked = False
    harness.choose(ui.deviceSelector, "CPU")
    ui.optionValues.text = '{"lanczos": {"anything": 1}}'
    harness.process_events()


def shown(module):
    ui = module.ui
    node = ui.targetSelector.currentNode(), ui.referenceSelector.currentNode()
    combos = ui.methodSelector, ui.outputSizeSelector, ui.registrationSelector, ui.deviceSelector
    others = ui.scaleSlider.value, ui.spacingSlider.value, ui.consistencyCheckBox.checked, ui.optionValues.text
    return [n.GetName() if n else None for n in node], [combo.currentText for combo in combos], others


@pytest.mark.parametrize("suffix", [".mrml", ".mrb"])
def test_saving_and_loading_the_scene_restores_the_panel(module, pair, harness, tmp_path, suffix):
    choose_everything(module, harness, pair)
    before = shown(module)
    assert before[1] == [label_of("lanczos"), "Isotropic spacing", "Off", "CPU"]
    assert before[2][:3] == (pytest.approx(3.3), 0.75, False)
    path = harness.save_scene(tmp_path / f"scene{suffix}")
    harness.new_scene()
    defaults = ["Automatic (recommended)", "Scale factor", "Automatic, when it helps"]
    assert (shown(module)[1][:3], shown(module)[2]) == (defaults, (2.0, 1.0, True, ""))
    harness.load_scene(path)
    harness.process_events()
    assert module.ui.applyButton.enabled == (suffix == ".mrb")
    if suffix == ".mrb":
        assert shown(module) == before
    else:  # voxels that were never saved are not in a .mrml
        assert shown(module)[1:] == before[1:]


def test_names_not_indices_are_saved(module, pair, harness):
    choose_everything(module, harness, pair)
    node = module.logic.getParameterNode().parameterNode
    saved = {name: node.GetParameter(name) for name in ("method", "outputSize", "registration", "device")}
    assert saved == {"method": "lanczos", "outputSize": "spacing", "registration": "off", "device": "cpu"}


def test_a_method_that_is_not_here_is_shown_and_blocks_apply(module, pair, harness):
    module.logic.getParameterNode().method = "from-the-future"
    harness.process_events()
    assert module.ui.methodSelector.currentText == "from-the-future (unavailable)"
    assert not module.ui.applyButton.enabled
    assert module.ui.applyButton.toolTip == "<p>Method 'from-the-future' is not available here; choose another.</p>"
    harness.choose(module.ui.methodSelector, label_of("linear"))
    assert module.ui.applyButton.enabled


def test_reload_keeps_the_choices_and_works(module, pair, harness):
    choose_everything(module, harness, pair)
    module.ui.optionValues.text = ""
    before, threads = shown(module), threading.active_count()
    module.reload()
    harness.process_events()
    assert shown(module) == before
    run_to_end(module, harness)
    assert state(module) == "done" and threading.active_count() <= threads + 1


def test_reload_during_a_run_ends_it(module, pair, harness, monkeypatch):
    with gate_at("prepare", monkeypatch) as gate:
        harness.click(module.ui.applyButton)
        harness.wait(gate.reached.is_set, 30)
        threading.Timer(0.2, gate.open).start()
        before = scene_text(harness)
        module.reload()
    harness.run_for(0.1)
    assert state(module) == "idle" and scene_text(harness) == before
    run_to_end(module, harness)
    assert state(module) == "done"


def test_reload_button_reloads_the_parts_too(module, pair, harness):
    own = {
        name: part
        for name, part in sys.modules.items()
        if name.startswith(("MultiContrastSRPanel", "MultiContrastSRLib"))
    }
    try:
        module.widget.onReload()
        harness.process_events()
        assert sys.modules["MultiContrastSRPanel.ui.panel"] is not own["MultiContrastSRPanel.ui.panel"]
        run_to_end(module, harness)
        assert state(module) == "done"
    finally:
        module.widget.logic.cleanup()
        for name in [name for name in sys.modules if name.startswith(("MultiContrastSRPanel", "MultiContrastSRLib"))]:
            del sys.modules[name]
        sys.modules.update(own)


def test_closing_the_application_ends_the_worker(harness):
    names = lambda: [t.name for t in threading.enumerate() if t.name.startswith("MultiContrastSR")]  # noqa: E731
    loaded = harness.load(MODULE)
    make_pair()
    run_to_end(loaded, harness)
    assert names() == ["MultiContrastSR worker"]
    harness.unload_all()
    assert names() == []


def test_cleaning_up_clears_the_caches_of_the_methods(module, dummy_method):
    cleared = []
    dummy_method(clear_cache=lambda self: cleared.append(self.name))
    module.logic.cleanup()
    assert cleared == ["dummy"]


def test_cleaning_up_does_not_import_the_library(module, monkeypatch):
    from MultiContrastSRPanel.logic.library import clear_method_caches

    for name in [name for name in sys.modules if name.startswith("MultiContrastSRLib")]:
        monkeypatch.delitem(sys.modules, name)
    clear_method_caches()
    assert not any(name.startswith("MultiContrastSRLib") for name in sys.modules)
