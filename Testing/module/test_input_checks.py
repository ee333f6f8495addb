"""Sentences below the inputs: scans that were swapped, scans of different patients."""

from __future__ import annotations

import pytest

slicer = pytest.importorskip("slicer")

from panel_fixtures import run_to_end, state  # noqa: E402


def test_swapped_scans_are_said_and_swapped_by_a_button(module, pair, harness):
    ui = module.ui
    assert not ui.inputWarningLabel.visible and not ui.swapButton.visible
    ui.referenceSelector.setCurrentNode(None)
    ui.targetSelector.setCurrentNode(pair[1])
    ui.referenceSelector.setCurrentNode(pair[0])
    harness.process_events()
    assert ui.inputWarningLabel.text == (
        "The reference T2 is coarser than the target T1 (2 mm, the target 1 mm). Were they swapped?"
    )
    assert "b26a00" in ui.inputWarningLabel.styleSheet and ui.applyButton.enabled
    harness.click(ui.swapButton)
    assert (ui.targetSelector.currentNode(), ui.referenceSelector.currentNode()) == pair
    assert not ui.inputWarningLabel.visible and not ui.swapButton.visible


def test_scans_of_different_patients_are_said_before_and_after(module, pair, harness, monkeypatch):
    names = {"1.1": "Doe^Jane", "1.2": "Roe^Jane"}

    class Database:
        def instanceValue(self, uid, tag):
            return names[uid] if tag == "0010,0010" else ""

    monkeypatch.setattr(slicer, "dicomDatabase", Database(), raising=False)
    module.ui.referenceSelector.setCurrentNode(None)
    for node, uid in zip(pair, names, strict=True):
        node.SetAttribute("DICOM.instanceUIDs", uid)
    module.ui.referenceSelector.setCurrentNode(pair[1])
    harness.process_events()
    sentence = module.ui.inputWarningLabel.text
    assert sentence.startswith("The patients' names in the DICOM headers of T2 and T1 differ.")
    assert not module.ui.swapButton.visible
    run_to_end(module, harness)
    assert state(module) == "done" and sentence in module.ui.warningLabel.text


def test_scans_that_were_swapped_are_said_once_after_the_run(module, pair, harness):
    ui = module.ui
    ui.referenceSelector.setCurrentNode(None)
    ui.targetSelector.setCurrentNode(pair[1])
    ui.referenceSelector.setCurrentNode(pair[0])
    harness.process_events()
    run_to_end(module, harness)
    report = module.widget.panel.run.report
    assert len([each for each in report.warnings if "the target" in each]) >= 2  # the report keeps all
    shown = [line for line in ui.warningLabel.text.splitlines() if "the target" in line]
    assert shown == ["The reference T2 is coarser than the target T1 (2 mm, the target 1 mm). Were they swapped?"]


def test_other_images_than_scans_are_said(module, pair, harness):
    import numpy as np

    _, reference = pair
    voxels = slicer.util.arrayFromVolume(reference)
    slicer.util.updateVolumeFromArray(reference, (voxels > 100).astype(np.int16))
    module.ui.referenceSelector.setCurrentNode(None)
    module.ui.referenceSelector.setCurrentNode(reference)
    harness.process_events()
    assert module.ui.inputWarningLabel.text.startswith("T1 looks like a mask: super-resolution would mix its labels.")


def test_nan_voxels_are_replaced_by_a_click(module, pair, harness):
    import numpy as np

    target, _ = pair
    ui = module.ui
    slicer.util.arrayFromVolume(target)[3, 20, 20:24] = np.nan
    slicer.util.arrayFromVolumeModified(target)
    harness.process_events()
    assert ui.inputWarningLabel.text == "T2 has 4 voxels that are NaN or infinite." and ui.replaceNanCheckBox.visible
    run_to_end(module, harness)
    assert state(module) == "error" and "holds 4 NaN or infinite voxels" in ui.resultLabel.text
    harness.click(ui.replaceNanCheckBox)
    harness.run_for(0.6)  # the run ended at once, and a second click on Apply would be a double-click
    run_to_end(module, harness)
    assert state(module) == "done", ui.resultLabel.text
    assert "4 of 49152 voxels of T2 were NaN" in ui.warningLabel.text
    assert np.isnan(slicer.util.arrayFromVolume(target)[3, 20, 20])  # the input stays as it is
    result = module.logic.process(*pair, scale=2, register="off", replace_nan=100.0)
    assert np.isfinite(slicer.util.arrayFromVolume(result)).all()


def test_a_stated_slice_thickness_counts(module, pair, harness):
    ui = module.ui
    assert ui.sliceThicknessSpinBox.text == "as in the file"
    ui.sliceThicknessSpinBox.value = 2.5
    harness.process_events()
    assert module.widget.panel.settings()["slice_thickness"] == 2.5
    run_to_end(module, harness)
    assert state(module) == "done" and "Slice thickness is not stated" not in ui.detailsLabel.text
    harness.click(ui.resetButton)
    assert "slice_thickness" not in module.widget.panel.settings()
    run_to_end(module, harness)
    assert "Slice thickness is not stated" in ui.detailsLabel.text


def test_scans_that_are_loaded_later_are_guessed_too(module, harness):
    from panel_fixtures import make_pair

    parameters = module.logic.getParameterNode()
    target, reference = make_pair()
    harness.process_events()
    assert (parameters.target, parameters.reference) == (target, reference)
    harness.choose(module.ui.referenceSelector, "None")
    third = make_pair()[1]
    harness.process_events()
    assert parameters.reference is None and parameters.target is target and third is not None
    harness.new_scene()
    first = make_pair(64)[1]  # the sharper one alone
    slicer.mrmlScene.RemoveNode(parameters.target)
    harness.process_events()
    assert parameters.target is first and parameters.reference is None
    coarse = make_pair(64)[0]
    slicer.mrmlScene.RemoveNode(slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")[-1])
    harness.process_events()
    assert (parameters.target, parameters.reference) == (coarse, first)
