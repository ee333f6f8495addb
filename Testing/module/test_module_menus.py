"""The panel's menus and options come from the registry; its errors say what to do; sample scans are offered."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import threading
import types
from pathlib import Path

import numpy as np
import pytest

slicer = pytest.importorskip("slicer")

from panel_fixtures import run_to_end, scene_text, state  # noqa: E402


def menu(combo):
    """Rows of a menu: (text, name, tooltip, can be chosen)."""
    import qt

    rows = range(combo.count)
    return [
        (combo.itemText(i), combo.itemData(i), combo.itemData(i, qt.Qt.ToolTipRole), combo.model().item(i).isEnabled())
        for i in rows
    ]


# ---------------------------------------------------------------------- menus and options


def test_method_menu_is_grouped_and_explained(module, dummy_method):
    from MultiContrastSRPanel.ui.menus import method_items

    from MultiContrastSRLib.methods import all_methods

    dummy_method(name="dummy-net", label="Dummy network", unavailable=lambda self: "needs weights, which are not there")
    dummy_method(
        name="dummy-torch", label="Dummy torch", requires=("torch_that_is_not_there",), group="subject-specific"
    )
    module.widget.panel._methods.fill(method_items())
    rows = [row for row in menu(module.ui.methodSelector) if row[0]]
    titles = [text for text, name, _, _ in rows if not name]
    assert titles == ["All methods", "Classical", "Trained networks", "Fitted to this patient"]
    assert rows[0][:2] == ("Automatic (recommended)", "automatic")
    assert [name for _, name, _, _ in rows if name] == ["automatic", *(method.name for method in all_methods())]
    chosen = {name: (text, tip, enabled) for text, name, tip, enabled in rows if name}
    assert all("\n" not in tip and tip for _, tip, _ in chosen.values())
    assert not any(enabled for text, name, _, enabled in rows if not name)
    assert chosen["dummy-net"] == ("Dummy network (unavailable)", "needs weights, which are not there", False)
    _, tip, enabled = chosen["dummy-torch"]
    assert enabled and tip.endswith("Needs torch_that_is_not_there, which Apply offers to install.")


def test_needed_packages_are_installed_at_apply(module, pair, harness, dummy_method):
    method = dummy_method(name="dummy-needy", requires=("package_that_is_not_there",))
    harness.packages.error = RuntimeError("User declined package installation")
    module.logic.getParameterNode().method = method.name
    harness.process_events()
    harness.click(module.ui.applyButton)
    assert state(module) == "error" and "because the installation was declined" in module.ui.resultLabel.text


def test_packages_are_imported_on_the_worker_when_a_method_is_chosen(
    module, pair, harness, dummy_method, slow_package, monkeypatch
):
    """GPUs are listed once the package is there; until then the menu says what it waits for."""
    from MultiContrastSRPanel.logic.dependencies import are_loaded

    from MultiContrastSRLib.core import devices

    found = [devices.Device("cpu", "CPU"), devices.Device("cuda:0", "GPU 0: H200")]
    monkeypatch.setattr(devices, "list_devices", lambda kinds: [each for each in found if each.type in kinds])
    method = dummy_method(requires=(slow_package,), devices=("cpu", "cuda"))
    module.ui.methodName.text = method.name
    harness.process_events()
    assert not are_loaded([slow_package])
    assert [text for text, *_ in menu(module.ui.deviceSelector)] == [f"Starting {slow_package}…", "CPU"]
    harness.wait(lambda: module.ui.deviceSelector.count == 3, 10, "the GPU in the menu")
    assert module.ui.deviceSelector.currentText == "Automatic: GPU 0: H200"
    assert sys.modules[slow_package].imported_by is not threading.main_thread()


def test_closing_while_packages_are_imported_calls_nobody(module, pair, harness, dummy_method, slow_package):
    method = dummy_method(requires=(slow_package,), devices=("cpu", "cuda"))
    module.ui.methodName.text = method.name
    panel, filled = module.widget.panel, []
    panel._devices.fill = filled.append
    module.logic.cleanup()
    harness.run_for(0.1)
    assert sys.modules[slow_package].imported_by is not threading.main_thread() and filled == []


def test_packages_that_do_not_import_leave_the_cpu(module, pair, harness, dummy_method, slow_package, tmp_path):
    (tmp_path / "packages" / f"{slow_package}.py").write_text("raise OSError('no such symbol')\n")
    method = dummy_method(requires=(slow_package,), devices=("cpu", "cuda"))
    module.ui.methodName.text = method.name
    harness.wait(lambda: module.ui.deviceSelector.currentText == "Automatic: CPU", 10)
    run_to_end(module, harness)
    assert state(module) == "error" and "does not work (no such symbol)" in module.ui.resultLabel.text


def test_packages_are_imported_on_the_worker_by_apply(module, pair, harness, dummy_method, slow_package):
    from MultiContrastSRPanel.logic.dependencies import are_loaded

    method = dummy_method(requires=(slow_package,))  # on the CPU only, so that no list of devices needs the package
    module.ui.methodName.text = method.name
    labels = []
    harness.click(module.ui.applyButton)
    harness.wait(lambda: labels.append(module.ui.progressLabel.text) or are_loaded([slow_package]), 10)
    harness.wait(lambda: labels.append(module.ui.progressLabel.text) or not module.widget.panel.state.busy, 30)
    assert state(module) == "done" and f"Starting {slow_package}…" in labels
    assert sys.modules[slow_package].imported_by is not threading.main_thread()


def test_device_menu_says_what_auto_means(module, dummy_method, monkeypatch):
    from MultiContrastSRPanel.ui.menus import device_items

    from MultiContrastSRLib.core import devices

    found = [devices.Device("cpu", "CPU"), devices.Device("cuda:0", "GPU 0: H200")]
    monkeypatch.setattr(devices, "list_devices", lambda kinds: [each for each in found if each.type in kinds])
    assert [(i.label, i.name) for i in device_items(dummy_method(devices=("cpu", "cuda")))] == [
        ("Automatic: GPU 0: H200", "auto"),
        ("CPU", "cpu"),
        ("GPU 0: H200", "cuda:0"),
    ]
    assert [(i.label, i.name) for i in device_items(dummy_method(name="dummy-cpu"))] == [
        ("Automatic: CPU", "auto"),
        ("CPU", "cpu"),
    ]


def test_advanced_section_is_made_from_the_methods_options(module, pair, harness, dummy_method):
    from MultiContrastSRLib.methods.contract import Option

    got = []
    linear = type(next(m for m in __import__("MultiContrastSRLib").methods() if m.name == "linear"))

    def prepare(self, target, reference=None, **keywords):
        got.append({name: keywords.pop(name) for name in ("strong", "count", "weight", "mode", "note")})
        return linear.prepare(self, target, reference, **keywords)

    dummy_method(
        name="dummy-options", prepare=prepare,
        options=(
            Option("strong", False, "Strong", "Whether to be strong."),
            Option("count", 3, "Count", "How many.", 1, 9),
            Option("weight", 0.001, "Weight", "How heavy, in kg.", 0.0, 1.0),
            Option("mode", "soft", "Mode", "Which way.", choices=("soft", "hard")),
            Option("note", "", "Note", "What to remember."),
        ),
    )  # fmt: skip
    module.logic.getParameterNode().method = "dummy-options"
    module.ui.advancedButton.collapsed = False
    harness.process_events()
    strong, count, weight, mode, note = module.widget.panel._form.widgets
    assert count.toolTip == "<p>How many. (a whole number from 1 to 9)</p>"
    assert (count.minimum, count.maximum, weight.value, mode.currentText) == (1, 9, 0.001, "soft")
    assert module.ui.optionValues.text == ""
    strong.checked, count.value, weight.value, note.text = True, 4, 0.25, "x"
    mode.setCurrentIndex(1)
    saved = {"strong": True, "count": 4, "weight": 0.25, "mode": "hard", "note": "x"}
    assert json.loads(module.logic.getParameterNode().optionValues) == {"dummy-options": saved}
    run_to_end(module, harness)
    assert got == [saved] and state(module) == "done"
    count.value, weight.value = 3, 0.001
    assert set(json.loads(module.ui.optionValues.text)["dummy-options"]) == {
        "strong",
        "mode",
        "note",
    }  # defaults are not kept
    module.logic.getParameterNode().method = "linear"
    assert module.widget.panel._form.widgets == []
    module.logic.getParameterNode().method = "dummy-options"
    strong, count, weight, mode, note = module.widget.panel._form.widgets
    assert (strong.checked, count.value, mode.currentText, note.text) == (True, 3, "hard", "x")


def test_a_zero_that_is_no_number_is_shown_as_what_it_means(module, pair, harness, dummy_method):
    from MultiContrastSRLib.methods.contract import Option

    dummy_method(options=(Option("limit", 0.0, "Limit", "Seconds; 0 is no limit.", 0, zero="no limit"),))
    module.ui.methodName.text = "dummy"
    harness.process_events()
    (limit,) = module.widget.panel._form.widgets
    assert limit.text == "no limit"
    limit.value = 2.5
    assert limit.text == "2.50" and json.loads(module.ui.optionValues.text) == {"dummy": {"limit": 2.5}}


# ---------------------------------------------------------------------- help and reset


def test_reset_sets_everything_but_the_volumes_to_its_default(module, pair, harness):
    import ast

    from MultiContrastSRPanel.ui.panel import _CHOICES
    from panel_fixtures import PARAMETERS

    source = ast.parse(PARAMETERS.read_text(encoding="utf-8"))
    cls = next(n for n in source.body if isinstance(n, ast.ClassDef) and n.name == "MultiContrastSRParameterNode")
    stated = [node.target.id for node in cls.body if isinstance(node, ast.AnnAssign) and node.value is not None]
    assert sorted(_CHOICES) == sorted(stated)
    harness.click(module.ui.customButton)
    module.ui.scaleSlider.value, module.ui.consistencyCheckBox.checked = 3.0, False
    module.ui.methodName.text, module.ui.optionValues.text = "lanczos", '{"lanczos": {"anything": 1}}'
    nodes = harness.scene.GetNumberOfNodes()
    harness.click(module.ui.resetButton)
    parameters, defaults = module.logic.getParameterNode(), module.logic.defaultParameters()
    assert [getattr(parameters, name) for name in _CHOICES] == [getattr(defaults, name) for name in _CHOICES]
    assert (parameters.scale, parameters.dataConsistency, parameters.method) == (2.0, True, "automatic")
    assert (parameters.target, parameters.reference) == pair and harness.scene.GetNumberOfNodes() == nodes
    assert module.ui.sharperButton.checked and module.ui.scaleSlider.value == 2.0


def test_help_opens_the_page_about_the_panel(module, harness, monkeypatch):
    import qt
    from MultiContrastSRPanel.ui import panel
    from panel_fixtures import MODULE

    opened = []
    services = types.SimpleNamespace(openUrl=lambda url: opened.append(url.toString()))
    monkeypatch.setattr(qt, "QDesktopServices", services)
    harness.click(module.ui.helpButton)
    assert opened == [panel.HELP_URL] and panel.HELP_URL.endswith("/docs/panel.md")
    assert (MODULE.parent.parent / "docs" / "panel.md").is_file()


# ---------------------------------------------------------------------- errors


def test_an_error_is_shown_twice_and_nothing_is_lost(module, pair, harness):
    slicer.util.arrayFromVolume(pair[0])[0, 0, 0] = np.nan
    before = scene_text(harness)
    run_to_end(module, harness)
    text = module.ui.resultLabel.text
    assert state(module) == "error" and "NaN" in text and harness.messages.of("error") == [text]
    assert scene_text(harness) == before and module.ui.applyButton.text == "Apply" and module.ui.applyButton.enabled
    slicer.util.arrayFromVolume(pair[0])[0, 0, 0] = 0
    run_to_end(module, harness)
    assert state(module) == "done"


def test_an_unexpected_error_is_shown_with_its_traceback(module, pair, harness, monkeypatch):
    from MultiContrastSRLib import pipeline

    def broken(*arguments, **keywords):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(pipeline, "super_resolve", broken)
    run_to_end(module, harness)
    assert state(module) == "error" and module.ui.resultLabel.text == "Unexpected error: ZeroDivisionError: a bug"
    (shown_message,) = [m for m in harness.messages if m.kind == "error"]
    assert "Traceback" in shown_message.detail and "in broken" in shown_message.detail


def test_not_enough_memory_is_known_before_work_starts(module, pair, harness, monkeypatch):
    from MultiContrastSRLib.core import memory

    monkeypatch.setattr(memory, "available_memory", lambda: 2**20)
    run_to_end(module, harness)
    assert state(module) == "error" and type(module.widget.panel.run.error).__name__ == "NotEnoughMemoryError"


# ---------------------------------------------------------------------- sample data


def test_sample_scans_are_registered_with_url_and_checksum(module, monkeypatch):
    from MultiContrastSRPanel.logic import sample_data

    registered = []
    logic = types.SimpleNamespace(registerCustomSampleDataSource=lambda **keywords: registered.append(keywords))
    monkeypatch.setitem(sys.modules, "SampleData", types.SimpleNamespace(SampleDataLogic=logic))
    sample_data.register()
    assert [source["sampleName"] for source in registered] == [
        "MSPatient12-T1W",
        "MSPatient12-T2W",
        "MSPatient12-FLAIR",
    ]
    for source in registered:
        assert source["uris"].startswith(
            "https://github.com/muschellij2/open_ms_data/raw/65704901f60650824565aa5a4818611aa89716f4/"
        )
        assert Path(source["thumbnailFileName"]).is_file()
        assert source["checksums"].startswith("SHA256:") and len(source["checksums"]) == 7 + 64
        data = os.environ.get("MULTICONTRASTSR_DATA")
        if data:
            path = Path(data) / "open_ms_data" / source["uris"].split("65704901f60650824565aa5a4818611aa89716f4/")[1]
            assert hashlib.sha256(path.read_bytes()).hexdigest() == source["checksums"][7:]


def test_files_of_options_are_browsed_and_numbers_have_units(module, pair, harness, dummy_method, monkeypatch):
    import qt

    from MultiContrastSRLib.methods.contract import Option

    dummy_method(
        options=(
            Option("weights", "", "Weights", "A file.", file=".safetensors"),
            Option("limit", 0.0, "Limit", "When it ends.", 0, zero="no limit", unit="s"),
        )
    )
    module.logic.getParameterNode().method = "dummy"
    harness.process_events()
    module.ui.advancedButton.collapsed = False
    line, browse, limit = module.widget.panel._form.widgets
    assert limit.text == "no limit"
    limit.value = 30.0
    assert limit.text == "30.00 s"
    asked = []

    def choose(parent, title, start, names):
        asked.append((title, start, names))
        return ("/data/mine.safetensors", names) if len(asked) == 1 else ("", "")

    monkeypatch.setattr(qt.QFileDialog, "getOpenFileName", choose)
    harness.click(browse)
    assert asked[0][0] == "Weights" and "*.safetensors" in asked[0][2]
    assert module.widget.panel.method_settings()["weights"] == line.text == "/data/mine.safetensors"
    harness.click(browse)  # the user closed the dialog
    assert line.text == "/data/mine.safetensors"
