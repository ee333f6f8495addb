"""The panel's section "Batch": a whole study in a process of its own, its states, Stop, loading, errors in words."""

from __future__ import annotations

import gc
import json
import threading
import weakref
from pathlib import Path

import pytest

slicer = pytest.importorskip("slicer")

from batch_fixtures import results_of, rows_of, write_subject  # noqa: E402
from panel_batch_fixtures import PLAIN, choose, run_batch, select, states, wait_end  # noqa: E402
from panel_fixtures import make_pair, volume_names  # noqa: E402

SLOW = (24, 120, 112)  # shape of a subject that takes some seconds


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A folder of three small subjects."""
    for seed, label in enumerate(("01", "02", "03")):
        write_subject(tmp_path / "study", label, seed)
    return tmp_path / "study"


def partial_files(folder: Path) -> list[Path]:
    """Hidden files that writers replace later, beside the records and locks."""
    return [path for path in folder.rglob(".*") if path.is_file() and ".multicontrastsr" not in path.parts]


# ---------------------------------------------------------------------- start, states, results


def test_a_study_is_made_in_the_background(module, harness, study, tmp_path):
    seen, threads = set(), threading.active_count()
    choose(module, harness, study, tmp_path / "out")
    harness.click(module.ui.batchStartButton)
    assert module.ui.batchStartButton.text == "Stop" and not module.ui.batchInput.enabled
    assert threading.active_count() <= threads  # another process, no thread

    def ended() -> bool:
        seen.update(text if text[-1] != "%" else "%" for _, text in states(module))
        return not module.logic.batch.active

    harness.wait(ended, 90, "the end of the batch")
    assert states(module) == [("sub-01", "done"), ("sub-02", "done"), ("sub-03", "done")]
    assert {"waiting", "%", "done"} <= seen
    assert module.ui.batchLabel.text == "3 done." and not module.ui.batchProgressBar.visible
    assert module.ui.batchStartButton.text == "Start" and module.ui.batchInput.enabled
    assert {row["state"] for row in rows_of(tmp_path / "out").values()} == {"done"}
    before = results_of(tmp_path / "out")
    run_batch(module, harness)
    assert {text for _, text in states(module)} == {"done earlier"} and results_of(tmp_path / "out") == before


def test_the_panels_settings_arrive(module, harness, study, tmp_path):
    choose(module, harness, study, tmp_path / "out")
    module.ui.consistencyCheckBox.checked = False
    module.ui.methodName.text = "guided"
    option = module.widget.panel._method.options[0]
    value = option.type(option.minimum) if option.minimum is not None else option.default
    module.ui.optionValues.text = json.dumps({"guided": {option.name: value}})
    harness.click(module.ui.customButton)
    module.ui.scaleSlider.value = 1.5
    run_batch(module, harness)
    (sidecar,) = (tmp_path / "out" / "sub-01").glob("*sr.json")
    recipe = json.loads(sidecar.read_text(encoding="utf-8"))["MultiContrastSR"]["Recipe"]
    assert (recipe["scale"], recipe["register"], recipe["consistency"]) == ([1.5], "off", False)
    assert recipe["options"] == {option.name: value}


@pytest.mark.slow
def test_a_bids_dataset(module, harness, dataset, tmp_path):
    pytest.importorskip("ancpbids", reason="BIDS datasets need ancpbids, which is not installed here.")
    choose(module, harness, dataset, tmp_path / "out", scans="")
    run_batch(module, harness)
    assert {text for _, text in states(module)} == {"done"}
    assert (tmp_path / "out/sub-01/anat/sub-01_res-2x_desc-sr_T2w.nii.gz").is_file()


def test_a_reader_of_bids_is_asked_for(module, harness, study, tmp_path, monkeypatch):
    from MultiContrastSRPanel.logic import dependencies

    monkeypatch.setattr(dependencies, "is_installed", lambda name: name != "ancpbids")
    harness.packages.error = RuntimeError("User declined package installation")
    choose(module, harness, study, tmp_path / "out", scans="")
    harness.click(module.ui.batchStartButton)
    assert "'ancpbids' was not installed because the installation was declined" in module.ui.batchLabel.text
    assert module.logic.batch is None and module.ui.batchStartButton.text == "Start"


# ---------------------------------------------------------------------- loading


def test_a_result_is_loaded_with_a_click(module, harness, study, tmp_path):
    from MultiContrastSRLib.mrml import is_result

    choose(module, harness, study, tmp_path / "out")
    make_pair()
    harness.process_events()
    chosen = module.ui.targetSelector.currentNode(), module.ui.referenceSelector.currentNode()
    run_batch(module, harness)
    assert not module.ui.batchLoadButton.enabled
    item = select(module, harness, 1)
    harness.click(module.ui.batchLoadButton)
    assert volume_names(harness)[-1] == "sub-02 T2w_res-2x_sr"
    node = slicer.util.getNode("sub-02 T2w_res-2x_sr")
    assert node.GetImageData().GetDimensions() == (36, 40, 4) and is_result(node)
    harness.run_for(0.05)
    assert (module.ui.targetSelector.currentNode(), module.ui.referenceSelector.currentNode()) == chosen
    module.ui.batchSubjects.itemActivated.emit(item, 0)  # Enter, or a double click
    assert len(volume_names(harness)) == 4


def test_a_result_that_is_gone_is_said(module, harness, study, tmp_path):
    choose(module, harness, study, tmp_path / "out")
    run_batch(module, harness)
    module.logic.batch.status.subjects["sub-01"].outputs[0].unlink()
    select(module, harness, 0)
    harness.click(module.ui.batchLoadButton)
    assert volume_names(harness) == [] and "is not complete; expected a volume" in harness.messages.of("error")[-1]


def test_the_page_opens_in_the_browser(module, harness, study, tmp_path, monkeypatch):
    import qt

    opened = []
    monkeypatch.setattr(qt.QDesktopServices, "openUrl", lambda url: opened.append(url.toLocalFile()))
    choose(module, harness, study, tmp_path / "out")
    run_batch(module, harness)
    harness.click(module.ui.batchReportButton)
    assert [Path(path) for path in opened] == [tmp_path / "out" / "batch.html"] and Path(opened[0]).is_file()


# ---------------------------------------------------------------------- errors in words


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"batchScans": "{subject}.nii.gz"}, "expected one with {subject} and {contrast}"),
        ({"batchInput": "/not/there"}, "Folder /not/there does not exist"),
        ({"batchTargets": "a/b"}, "expected names of contrasts"),
    ],
)
def test_what_cannot_be_used_is_said(module, harness, study, tmp_path, change, said):
    choose(module, harness, study, tmp_path / "out")
    for name, text in change.items():
        getattr(module.ui, name).text = text
    harness.click(module.ui.batchStartButton)
    if module.logic.batch is not None:
        wait_end(module, harness)
    assert said in module.ui.batchLabel.text and "error:" not in module.ui.batchLabel.text
    assert module.ui.batchStartButton.text == "Start" and module.ui.batchStartButton.enabled
    assert not module.ui.batchSubjects.visible and not module.ui.batchProgressBar.visible


def test_a_program_that_does_not_start_is_said(module, harness, study, tmp_path, monkeypatch):
    from MultiContrastSRPanel.logic.batch import process

    choose(module, harness, study, tmp_path / "out")
    monkeypatch.setattr(process, "_python", lambda: str(tmp_path / "no-python"))
    run_batch(module, harness)
    assert module.ui.batchLabel.text.startswith("The batch could not be started: ")


def test_a_command_that_breaks_is_said(module, harness, study, tmp_path, monkeypatch):
    from MultiContrastSRPanel.logic.batch import process

    choose(module, harness, study, tmp_path / "out")
    monkeypatch.setattr(process, "NAME", "no_library")
    run_batch(module, harness)
    assert "No module named" in module.ui.batchLabel.text and "Press Start to go on" in module.ui.batchLabel.text


# ---------------------------------------------------------------------- stop, scene, cleanup


@pytest.fixture
def under_way(module, harness, tmp_path):
    """A batch of subjects that take some seconds, one of which is being worked on; its output folder."""
    for seed, label in enumerate(("01", "02", "03")):
        write_subject(tmp_path / "study", label, seed, SLOW)
    choose(module, harness, tmp_path / "study", tmp_path / "out")
    harness.click(module.ui.batchStartButton)
    harness.wait(lambda: any(text[-1] == "%" for _, text in states(module)), 60, "a subject in work")
    return tmp_path / "out"


def pid_of(module) -> int:
    return int(module.logic.batch._process.processId())


def is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


@pytest.mark.slow
def test_stop_ends_the_process_and_start_goes_on(module, harness, under_way):
    pid = pid_of(module)
    harness.click(module.ui.batchStartButton)
    assert module.ui.batchLabel.text == "Stopping…" and not module.ui.batchStartButton.enabled
    wait_end(module, harness)
    assert not is_alive(pid) and partial_files(under_way) == []
    assert module.ui.batchLabel.text.endswith("not started; Start goes on.")
    assert states(module)[-1] == ("sub-03", "not started") and module.ui.batchStartButton.enabled
    assert all(len(list(folder.glob("*.json"))) >= 1 for folder in under_way.glob("sub-*") if any(folder.glob("*.gz")))
    run_batch(module, harness)
    assert module.ui.batchLabel.text == "3 done."


@pytest.mark.slow
@pytest.mark.parametrize("how", ["close scene", "reload", "quit"])
def test_what_ends_the_session_ends_the_process(module, harness, under_way, how):
    pid = pid_of(module)
    if how == "close scene":
        harness.new_scene()
        wait_end(module, harness)
        assert module.ui.batchStartButton.text == "Start"
    elif how == "reload":
        module.reload()
        assert module.logic.batch is None and not module.ui.batchSubjects.visible
    else:
        harness.unload_all()
    assert not is_alive(pid) and partial_files(under_way) == []


@pytest.mark.slow
def test_a_process_that_does_not_stop_is_killed(module, harness, under_way, monkeypatch):
    from MultiContrastSRPanel.logic.batch import process

    monkeypatch.setattr(process, "STOP_GRACE_MS", 50)
    monkeypatch.setattr(type(module.logic.batch._process), "closeWriteChannel", lambda self: None)
    pid = pid_of(module)
    harness.click(module.ui.batchStartButton)
    wait_end(module, harness)
    assert not is_alive(pid) and module.ui.batchLabel.text.endswith("Start goes on.")


def test_the_batch_goes_on_in_another_module(module, harness, study, tmp_path):
    choose(module, harness, study, tmp_path / "out")
    harness.click(module.ui.batchStartButton)
    module.exit()
    wait_end(module, harness)
    module.enter()
    assert module.ui.batchLabel.text == "3 done." and module.ui.batchStartButton.text == "Start"


# ---------------------------------------------------------------------- scripts


def test_the_logic_runs_a_batch_too(module, harness, study, tmp_path):
    ended = []
    changed = []
    run = module.logic.startBatch(
        study, tmp_path / "out", ["T2w"], ["T1w"], scans=PLAIN, scale=2, register="off", method="lanczos",
        onChange=changed.extend, onEnd=ended.append,
    )  # fmt: skip
    with pytest.raises(ValueError, match="A batch is under way"):
        module.logic.startBatch(study, tmp_path / "two", ["T2w"], scans=PLAIN)
    harness.wait(lambda: ended, 90, "the end of the batch")
    assert ended == [None] and run.state.value == "done" and {subject.name for subject in changed} == {
        "sub-01", "sub-02", "sub-03",
    }  # fmt: skip
    node = module.logic.loadBatchResult(run.status.subjects["sub-03"].outputs[0])
    freed, module.logic.batch = weakref.ref(run), None
    del run
    harness.run_for(0.05)
    gc.collect()
    assert freed() is None
    assert node.GetAttribute("MultiContrastSR.Method") == "lanczos"
