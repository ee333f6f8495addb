"""Cancel in every stage: within a second, without a trace, also while the event loop holds Python's lock."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

slicer = pytest.importorskip("slicer")

from panel_fixtures import gate_at, node_state, resources, run_to_end, scene_text, state, wait_idle  # noqa: E402

STAGES = ("load", "register", "prepare", "consistency", "render")
CANCEL_LIMIT_S = 1.0


@pytest.mark.parametrize("stage", STAGES)
def test_cancel_works_within_a_second_and_leaves_no_trace(module, pair, harness, monkeypatch, stage, record_property):
    run_to_end(module, harness)  # the worker thread and all lazy imports are there from now on
    harness.run_for(0.05)
    before = scene_text(harness), resources(harness), [node_state(node) for node in pair]
    with gate_at(stage, monkeypatch) as gate:
        harness.click(module.ui.applyButton)
        harness.wait(gate.reached.is_set, 30, f"the stage {stage}")
        assert state(module) == "running" and module.ui.applyButton.text == "Cancel"
        harness.pause_between_clicks(module.ui.applyButton)
        start = time.perf_counter()
        harness.click(module.ui.applyButton)
        assert state(module) == "cancelling" and not module.ui.applyButton.enabled
    wait_idle(module, harness)
    assert module.widget.panel.run._job.finished.wait(CANCEL_LIMIT_S)  # the work itself, not only the panel
    latency = time.perf_counter() - start
    print(f"cancel in {stage}: {1000 * latency:.0f} ms")
    record_property(f"cancel_latency_{stage}_s", latency)
    assert latency < CANCEL_LIMIT_S
    assert state(module) == "idle" and module.ui.resultLabel.text == f"Cancelled during {stage}; nothing was changed."
    assert (scene_text(harness), resources(harness), [node_state(node) for node in pair]) == before
    run_to_end(module, harness)  # and the next run works
    assert state(module) == "done"


def test_cancel_while_saving_leaves_no_file(module, harness, tmp_path, monkeypatch):
    from MultiContrastSRPanel.logic.pump import Pump

    from MultiContrastSRLib import Volume, super_resolve

    result = super_resolve(Volume(np.random.default_rng(0).random((8, 128, 128)), np.eye(4), "T2"), method="linear")
    folder = tmp_path / "out"
    folder.mkdir()
    ended, pump = [], Pump()
    with gate_at("save", monkeypatch) as gate:
        job = module.logic.worker.submit(
            lambda progress, cancel: result.save(folder / "x.nii.gz", progress=progress, cancel=cancel)
        )
        pump.watch(job, lambda fraction, stage: None, lambda: ended.append(time.perf_counter()))
        harness.wait(lambda: gate.reached.is_set() or job.finished.is_set(), 10, "the stage save")
        assert gate.reached.is_set(), job.error
        start = time.perf_counter()
        job.cancel()
    harness.wait(lambda: ended, 10)
    print(f"cancel in save: {1000 * (ended[0] - start):.0f} ms")
    assert ended[0] - start < CANCEL_LIMIT_S and type(job.error).__name__ == "CancelledError"
    assert not list(folder.iterdir())


def test_the_work_is_asked_to_stop_often_enough(module, pair, harness):
    """The longest stretch in which a cancel would not be noticed, in a whole uncancelled run."""
    polls = []

    def cancel():
        polls.append(time.perf_counter())
        return False

    module.logic.process(*pair, method="guided", register="on", cancel=cancel)
    longest = np.diff(polls).max()
    print(f"longest stretch without a look at cancel: {1000 * longest:.0f} ms in {len(polls)} looks")
    assert longest < CANCEL_LIMIT_S


def test_work_that_does_not_listen_is_left_behind(module, pair, harness, monkeypatch):
    """A long call into some library cannot be stopped; the user goes on all the same, and its result never arrives."""
    from MultiContrastSRLib import pipeline

    entered, leave, original = threading.Event(), threading.Event(), pipeline.super_resolve

    def deaf(*arguments, **keywords):
        result = original(*arguments, **{**keywords, "cancel": None})
        entered.set()
        assert leave.wait(20)
        return result

    run_to_end(module, harness)
    before = scene_text(harness)
    monkeypatch.setattr(pipeline, "super_resolve", deaf)
    harness.click(module.ui.applyButton)
    harness.wait(entered.is_set, 30)
    harness.pause_between_clicks(module.ui.applyButton)
    start = time.perf_counter()
    harness.click(module.ui.applyButton)
    wait_idle(module, harness)
    assert time.perf_counter() - start < CANCEL_LIMIT_S and scene_text(harness) == before
    monkeypatch.setattr(pipeline, "super_resolve", original)
    deaf_job = module.widget.panel.run._job
    harness.click(module.ui.applyButton)  # the next run waits its turn
    leave.set()
    wait_idle(module, harness)
    assert state(module) == "done" and deaf_job.finished.is_set() and deaf_job.result is None


def test_a_cancelled_run_that_finished_meanwhile_is_dropped(module, pair, harness, monkeypatch):
    """Cancel pressed after the last check of the work: the user's word counts."""
    from MultiContrastSRLib import pipeline

    pressed, finish, original = threading.Event(), threading.Event(), pipeline.super_resolve

    def slow_end(*arguments, **keywords):
        result = original(*arguments, **keywords)
        pressed.set()
        assert finish.wait(20)
        return result

    monkeypatch.setattr(pipeline, "super_resolve", slow_end)
    before = scene_text(harness)
    harness.click(module.ui.applyButton)
    harness.wait(pressed.is_set, 30)
    harness.click(module.ui.applyButton)
    finish.set()
    wait_idle(module, harness)
    assert state(module) == "idle" and scene_text(harness) == before


# ---------------------------------------------------------------------- as in the application: the loop holds the GIL


def test_run_and_progress_with_the_gil_held(module, pair, harness):
    shown = set()
    with harness.hold_gil():
        module.ui.progressBar.valueChanged.connect(shown.add)
        run_to_end(module, harness)
    assert state(module) == "done" and len(shown) >= 3, shown


def test_cancel_with_the_gil_held(module, pair, harness, monkeypatch):
    run_to_end(module, harness)
    before = scene_text(harness)
    with harness.hold_gil(), gate_at("prepare", monkeypatch) as gate:
        harness.click(module.ui.applyButton)
        harness.wait(gate.reached.is_set, 30)
        harness.pause_between_clicks(module.ui.applyButton)
        start = time.perf_counter()
        harness.click(module.ui.applyButton)
        gate.open()
        wait_idle(module, harness)
        latency = time.perf_counter() - start
    print(f"cancel with the GIL held: {1000 * latency:.0f} ms")
    assert latency < CANCEL_LIMIT_S and state(module) == "idle" and scene_text(harness) == before


def test_the_pump_feeds_the_worker_while_the_loop_holds_the_gil(module, harness):
    """Turns of a pure Python loop on the worker in half a second: starved without the pump, fed with it."""
    from MultiContrastSRPanel.logic.pump import Pump

    def turns(watched: bool) -> int:
        count, pump = [0], Pump()

        def work(progress, cancel):
            while not cancel():
                count[0] += 1
                time.sleep(0.001)

        job = module.logic.worker.submit(work)
        if watched:
            pump.watch(job, lambda fraction, stage: None, lambda: None)
        with harness.hold_gil():
            harness.run_for(0.5)
        job.cancel()
        assert job.finished.wait(5)
        harness.run_for(0.05)
        return count[0]

    starved, fed = turns(False), turns(True)
    print(f"turns in 0.5 s with the GIL held: {starved} without the pump, {fed} with it")
    assert fed > 100 and fed > 5 * max(starved, 1)
