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
