"""The panel's section "Batch" without a process: when it can start, what it says of subjects, what it looks like."""

from __future__ import annotations

from pathlib import Path

import pytest

slicer = pytest.importorskip("slicer")

from panel_batch_fixtures import choose, end, result, select, states, tell  # noqa: E402
from panel_fixtures import make_pair  # noqa: E402


def test_start_waits_for_folders_and_contrasts(module, harness, tmp_path):
    ui = module.ui
    assert ui.batchSectionButton.collapsed
    ui.batchSectionButton.collapsed = False
    assert not ui.batchStartButton.enabled and "folder of the study" in ui.batchStartButton.toolTip
    ui.batchInput.text = str(tmp_path)
    assert not ui.batchStartButton.enabled and "folder of the results" in ui.batchStartButton.toolTip
    ui.batchOutput.text = str(tmp_path / "out")
    assert ui.batchStartButton.enabled and not ui.batchSubjects.visible
    ui.batchTargets.text = " "
    assert not ui.batchStartButton.enabled and "Name the contrasts" in ui.batchStartButton.toolTip


def test_the_recipe_is_what_the_panel_says(module, harness):
    ui = module.ui
    assert ui.batchRecipeLabel.text == "Guided (local regression), scale ×2"
    harness.click(ui.customButton)
    harness.choose(ui.outputSizeSelector, "Isotropic spacing")
    ui.spacingSlider.value = 0.8
    harness.choose(ui.methodSelector, "Lanczos")
    assert ui.batchRecipeLabel.text == "Lanczos, voxels of 0.8 mm"


def test_a_subject_says_why_it_failed_and_what_to_weigh(module, harness):
    module.ui.batchSectionButton.collapsed = False
    names = ["sub-01", "sub-02", "sub-03", "sub-04"]
    tell(module, {"event": "plan", "subjects": names})
    assert [text for _, text in states(module)] == ["waiting"] * 4
    tell(
        module,
        result("sub-01", outputs=["sub-01/anat/x.nii.gz"]),
        result("sub-02", "failed", "T2w: No reference was found.", "Add the scan."),
        result("sub-03", "unchanged", warnings=["T2w: The reference is coarser."], outputs=["x.nii.gz"]),
        {"event": "start", "subject": "sub-04", "remaining": 61.0},
        {"event": "progress", "subject": "sub-04", "fraction": 0.425, "stage": "prepare", "remaining": 60.0},
    )
    assert [text for _, text in states(module)] == ["done", "failed", "done earlier, with warnings", "42 %"]
    assert module.ui.batchLabel.text == "3 of 4 subjects – about 60 s left" and module.ui.batchProgressBar.value == 86
    for row, (said, loads) in enumerate(
        [("", True), ("T2w: No reference was found. Add the scan.", False), ("T2w: The reference is coarser.", True)]
    ):
        item = select(module, harness, row)
        assert (
            module.ui.batchSubjectLabel.text == item.toolTip(1) == said and module.ui.batchLoadButton.enabled == loads
        )
        assert module.ui.batchSubjectLabel.visible == bool(said)
    tell(module, {"event": "retry", "subject": "sub-04", "remaining": 60.0}, result("sub-04"), {"event": "end"})
    end(module)
    assert module.ui.batchLabel.text == "3 done; 1 failed: select one to see why."


def test_lines_that_arrive_in_pieces(module, harness):
    module.ui.batchSectionButton.collapsed = False
    tell(module)
    module.logic.batch._take(b'{"event": "plan", "subj')
    assert states(module) == []
    module.logic.batch._take(b'ects": ["sub-01"]}\nwhat a package prints\n{"event"')
    assert states(module) == [("sub-01", "waiting")]


def test_the_open_section_is_readable_and_reachable(module, harness, tmp_path):
    from test_module_looks import names

    ui = module.ui
    make_pair()
    choose(module, harness, Path("/data/bids"), Path("/data/bids-finer"), scans="")
    ui.batchTargets.text = "T2w FLAIR"
    for section in (ui.inputsButton, ui.methodButton, ui.outputButton):
        section.collapsed = True
    tell(module, {"event": "plan", "subjects": [f"sub-0{number}" for number in range(1, 6)]})
    failed = "FLAIR: File sub-02_FLAIR.nii.gz is truncated: it ends early.", "Copy or download it again."
    tell(
        module,
        result("sub-01", outputs=["x.nii.gz"]),
        result("sub-02", "failed", *failed),
        result("sub-03", warnings=["T2w: The reference was not used."], outputs=["x.nii.gz"]),
        {"event": "progress", "subject": "sub-04", "fraction": 0.43, "stage": "prepare", "remaining": 260.0},
    )
    module.widget.panel.batch.refresh()
    ui.batchProgressBar.visible = True
    select(module, harness, 1)
    for scale in (1.0, 1.5):
        harness.grab_panel(tmp_path / f"batch-{scale}.png", scale=scale)
        assert names(harness.clipped_texts(module.panel)) == [] and names(harness.unlabelled(module.panel)) == []
    with harness.larger_text(1.5):
        harness.fit_panel(module)
        assert names(harness.clipped_texts(module.panel)) == [], "with larger text"
    assert all(w.toolTip for w in harness.inputs(module.panel) if type(w).__name__ != "ctkCollapsibleButton")
    reached = names(harness.tab_order(module.panel))
    assert reached[reached.index("batchSectionButton") :][:4] == [
        "batchSectionButton", "batchStartButton", "batchSubjects", "applyButton",
    ]  # fmt: skip
    module.logic.abandonBatch()
    tell(module, {"event": "plan", "subjects": ["sub-01"]}, result("sub-01", outputs=["x.nii.gz"]), {"event": "end"})
    end(module)
    module.ui.batchReportButton.enabled = True
    select(module, harness, 0)
    harness.fit_panel(module)
    reached = harness.tab_order(module.panel)
    start = names(reached).index("batchSectionButton")
    order = reached[start : names(reached).index("applyButton") + 1]
    assert {"batchInput", "batchOutputBrowse", "batchProcesses", "batchLoadButton", "batchReportButton"} <= set(
        names(order)
    )
    tops = [widget.mapTo(module.panel, widget.rect.topLeft()).y() for widget in order]
    assert tops == sorted(tops), names(order)
