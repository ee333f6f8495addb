"""Apply on the real module: what a result is, panel = console = library, scenes that change during a run."""

from __future__ import annotations

import gc
import threading

import numpy as np
import pytest

slicer = pytest.importorskip("slicer")

from panel_fixtures import gate_at, make_pair, node_state, run_to_end, scene_text, state, volume_names, wait_idle  # noqa: E402

pytestmark = pytest.mark.slow


def result_of(name="T2 guided 2x"):
    return slicer.util.getNode(name)


# ---------------------------------------------------------------------- Apply


def test_apply_makes_a_new_volume_and_leaves_the_inputs_alone(module, pair, harness):
    before = [node_state(node) for node in pair]
    run_to_end(module, harness)
    assert state(module) == "done" and volume_names(harness) == ["T2", "T1", "T2 guided 2x"]
    assert [node_state(node) for node in pair] == before
    result = result_of()
    assert slicer.util.arrayFromVolume(result).shape == (12, 128, 128)
    np.testing.assert_allclose(result.GetSpacing(), (1, 1, 3))
    assert result.GetNodeReference("MultiContrastSR.Target") is pair[0]
    assert result.GetNodeReference("MultiContrastSR.Reference") is pair[1]
    headline, agreement = module.ui.resultLabel.text.splitlines()
    assert headline == "Guided (local regression) with T1, ×2 in plane: 128 × 128 × 12 voxels of 1 × 1 × 3 mm."
    assert agreement.startswith("Agrees with the scan") and "2e7d32" in module.ui.resultLabel.styleSheet
    assert module.ui.detailsButton.isVisibleTo(module.panel) and module.ui.detailsButton.collapsed
    details = module.ui.detailsLabel.text
    assert details.startswith("Made T2 guided 2x.\n") and " s on cpu." in details
    assert "Effective resolution: 2 × 2 × 3 mm in the scan, at best 1 × 1 × 3 mm in the result." in details
    assert harness.messages.of("status") == ["Made T2 guided 2x."] and not harness.messages.of("error")
    for name in ("Red", "Yellow", "Green"):
        assert harness.view(name).mrmlSliceCompositeNode().GetBackgroundVolumeID() == result.GetID()


def test_the_result_is_converted_on_the_worker_and_its_window_is_not_computed(module, pair, harness, monkeypatch):
    """Both take long for large volumes: the window of a default display node looks at every voxel."""
    import vtk

    from MultiContrastSRLib import mrml

    threads, added, convert = [], [], mrml.image_from_array

    def watched(array):
        threads.append(threading.current_thread().name)
        return convert(array)

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def on_added(caller, event, node):
        if node.IsA("vtkMRMLVolumeDisplayNode"):
            added.append((node.GetAutoWindowLevel(), node.GetWindow(), node.GetVolumeNode()))

    monkeypatch.setattr(mrml, "image_from_array", watched)
    display = pair[0].GetDisplayNode()
    display.SetAutoWindowLevel(False)
    display.SetWindowLevel(123, 45)
    tag = harness.scene.AddObserver(harness.scene.NodeAddedEvent, on_added)
    run_to_end(module, harness)
    harness.scene.RemoveObserver(tag)
    assert threads == ["MultiContrastSR worker"] and added == [(0, 123, None)]
    shown = result_of().GetDisplayNode()
    assert (shown.GetWindow(), shown.GetLevel(), shown.GetColorNodeID()) == (123, 45, display.GetColorNodeID())


def test_every_apply_makes_another_node_unless_a_result_is_chosen(module, pair, harness):
    run_to_end(module, harness)
    run_to_end(module, harness)
    assert len(volume_names(harness)) == 4
    module.ui.outputSelector.setCurrentNode(result_of())
    module.ui.methodName.text = "sinc"
    run_to_end(module, harness)
    assert len(volume_names(harness)) == 4 and "T2 sinc 2x" in volume_names(harness)


def test_output_offers_earlier_results_only(module, pair, harness):
    assert module.ui.outputSelector.nodeCount() == 0
    run_to_end(module, harness)
    assert module.ui.outputSelector.nodeCount() == 1


def test_acquired_volume_as_output_is_refused(module, pair, harness):
    before = scene_text(harness), node_state(pair[1])
    with pytest.raises(Exception, match="for an acquired volume is never overwritten") as caught:
        module.logic.process(pair[0], outputNode=pair[1], method="linear")
    assert type(caught.value).__name__ == "InputError"
    assert (scene_text(harness), node_state(pair[1])) == before


def test_panel_console_and_library_agree_bitwise(module, pair, harness):
    import MultiContrastSRLib as mc
    from MultiContrastSRLib import mrml

    run_to_end(module, harness)
    target, reference = pair
    console = module.logic.process(target, reference, method="guided", scale=2.0)
    library = mc.super_resolve(
        mrml.volume_from_node(target), mrml.volume_from_node(reference), method="guided", scale=2.0
    )
    panel = slicer.util.arrayFromVolume(result_of())
    np.testing.assert_array_equal(panel, slicer.util.arrayFromVolume(console))
    np.testing.assert_array_equal(panel, library.volume.array)


def test_process_reports_progress_and_can_be_cancelled(module, pair, harness):
    from MultiContrastSRLib.core.errors import CancelledError

    seen = []
    module.logic.process(*pair, method="sinc", scale=(1, 2, 1.5), progress=lambda f, s: seen.append((f, s)))
    fractions = [fraction for fraction, _ in seen]
    assert fractions == sorted(fractions) and fractions[-1] == 1.0 and ("render" in dict(map(reversed, seen)))
    before = scene_text(harness)
    with pytest.raises(CancelledError):
        module.logic.process(*pair, method="sinc", cancel=lambda: True)
    assert scene_text(harness) == before


def test_process_async_from_the_console(module, pair, harness):
    nodes, errors, progress = [], [], []
    run = module.logic.processAsync(
        *pair, method="bspline", scale=1.5, onDone=nodes.append, onError=errors.append,
        onProgress=lambda fraction, stage, left: progress.append((threading.current_thread(), fraction)),
    )  # fmt: skip
    assert run.active
    harness.wait(lambda: not run.active, 30)
    assert [node.GetName() for node in nodes] == ["T2 bspline 1.5x"] and not errors and run.node is nodes[0]
    assert progress and {thread for thread, _ in progress} == {threading.main_thread()}
    failing = module.logic.processAsync(*pair, method="bspline", scale=-1, onError=errors.append)
    harness.wait(lambda: not failing.active, 30)
    assert failing.state.value == "error" and "Scale is -1" in str(errors[0]) and failing.error is errors[0]


def test_parent_transforms_of_both_inputs_count(module, pair, harness):
    """Moving both inputs by unhardened transforms gives the same voxels, at the moved place."""
    plain = module.logic.process(*pair, method="guided", register="off")
    matrix = np.array([[0.0, -1, 0, 12], [0.8, 0, -0.6, 3], [0.6, 0, 0.8, -7], [0, 0, 0, 1]])
    for node in pair:
        transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", f"Move {node.GetName()}")
        transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
        node.SetAndObserveTransformNodeID(transform.GetID())
    moved = module.logic.process(*pair, method="guided", register="off")
    assert moved.GetParentTransformNode().GetName() == "Move T2"
    scale = np.abs(slicer.util.arrayFromVolume(plain)).max()
    np.testing.assert_allclose(
        slicer.util.arrayFromVolume(moved), slicer.util.arrayFromVolume(plain), atol=1e-3 * scale
    )


# ---------------------------------------------------------------------- several logics


def test_each_logic_stops_its_own_jobs_only(module, pair, harness, monkeypatch):
    other = module.python.MultiContrastSRLogic()
    with gate_at("prepare", monkeypatch) as gate:
        harness.click(module.ui.applyButton)
        harness.wait(gate.reached.is_set, 30)
        errors = []
        run = other.processAsync(*pair, method="linear", onError=errors.append)
        other.cleanup()
        assert not run.active or run.state.value == "cancelling"
        assert state(module) == "running" and module.logic.worker is not other.worker
    wait_idle(module, harness)
    assert state(module) == "done" and volume_names(harness) == ["T2", "T1", "T2 guided 2x"] and errors == []


def test_a_worker_that_nobody_stopped_ends_with_its_logic(module, harness):
    def threads() -> int:
        return sum(thread.name == "MultiContrastSR worker" for thread in threading.enumerate())

    before, logic = threads(), module.python.MultiContrastSRLogic()
    job = logic.worker.submit(lambda progress, cancel: 7)
    assert job.finished.wait(5) and job.result == 7 and threads() == before + 1
    del logic
    gc.collect()
    harness.wait(lambda: threads() == before, 5, "the end of the worker's thread")


def test_a_worker_can_be_stopped_and_used_again(module):
    from MultiContrastSRPanel.logic.worker import Worker

    worker, go_on = Worker(), threading.Event()
    first = worker.submit(lambda progress, cancel: go_on.wait(20))
    assert not worker.stop(0.01)  # it does not end within that time
    second = worker.submit(lambda progress, cancel: 2)
    assert second.finished.wait(5) and not first.finished.is_set()
    go_on.set()
    assert first.finished.wait(5) and worker.stop() and worker.stop()


# ---------------------------------------------------------------------- the scene changes during a run


def test_closing_the_scene_cancels_the_run(module, pair, harness, monkeypatch):
    with gate_at("prepare", monkeypatch) as gate:
        harness.click(module.ui.applyButton)
        harness.wait(gate.reached.is_set, 30)
        harness.new_scene()
    wait_idle(module, harness)
    assert state(module) == "idle" and volume_names(harness) == []
    target, _ = make_pair()
    module.ui.targetSelector.setCurrentNode(target)
    run_to_end(module, harness)
    assert state(module) == "done"


def deletions(*objects) -> list[str]:
    """The threads in which the objects are deleted, one after the other."""
    threads: list[str] = []
    for each in objects:
        each.AddObserver("DeleteEvent", lambda caller, event: threads.append(threading.current_thread().name))
    return threads


def choose_pair(module, harness) -> tuple:
    pair = make_pair()
    module.ui.targetSelector.setCurrentNode(pair[0])
    module.ui.referenceSelector.setCurrentNode(pair[1])
    harness.process_events()
    return pair


def test_no_node_ends_on_the_worker(module, harness, monkeypatch):
    threads = deletions(*choose_pair(module, harness))
    with gate_at("prepare", monkeypatch) as gate:
        harness.click(module.ui.applyButton)
        harness.wait(gate.reached.is_set, 30)
        job = module.widget.panel.run._job
        harness.new_scene()
        wait_idle(module, harness)  # which does not wait for the work
        assert not job.finished.is_set()
    harness.wait(job.finished.is_set, 30)
    harness.run_for(0.1)
    gc.collect()
    assert threads == 2 * [threading.main_thread().name]


def test_what_left_the_scene_is_freed(module, harness):
    pair = choose_pair(module, harness)
    inputs = deletions(*(node.GetImageData() for node in pair))
    run_to_end(module, harness)
    result, others = result_of(), deletions(result_of(), result_of().GetImageData())
    harness.scene.RemoveNode(result)
    slicer.util.setSliceViewerLayers(background=None)  # else the views hold what they showed last
    del result, pair
    harness.process_events()
    gc.collect()
    assert len(others) == 2
    harness.new_scene()
    harness.run_for(0.1)
    gc.collect()
    assert len(inputs) == 2


def test_a_result_that_was_deleted_is_not_offered_any_more(module, pair, harness, tmp_path):
    run_to_end(module, harness)
    result = result_of()
    harness.scene.RemoveNode(result)
    harness.process_events()
    assert state(module) == "idle" and module.ui.resultLabel.text == ""
    assert not module.ui.resultButtons.visible and module.widget.panel.run is None
    for use in (module.logic.startComparison, lambda node: module.logic.saveDicom(node, tmp_path / "series")):
        with pytest.raises(Exception, match=r"'T2 guided 2x' has left the scene.* Press Apply again"):
            use(result)
    run_to_end(module, harness)
    assert state(module) == "done" and module.ui.resultButtons.visible


@pytest.mark.parametrize("which", ["target", "reference", "both"])
def test_deleting_an_input_keeps_the_result(module, pair, harness, monkeypatch, which):
    target, reference = pair
    with gate_at("prepare", monkeypatch) as gate:
        harness.click(module.ui.applyButton)
        harness.wait(gate.reached.is_set, 30)
        for node, gone in ((target, which != "reference"), (reference, which != "target")):
            if gone:
                harness.scene.RemoveNode(node)
    wait_idle(module, harness)
    result = result_of()
    assert state(module) == "done" and slicer.util.arrayFromVolume(result).shape == (12, 128, 128)
    kept = (result.GetNodeReference("MultiContrastSR.Target"), result.GetNodeReference("MultiContrastSR.Reference"))
    assert kept == (target if which == "reference" else None, reference if which == "target" else None)


def test_deleting_the_output_makes_a_new_one(module, pair, harness, monkeypatch):
    run_to_end(module, harness)
    earlier = result_of()
    module.ui.outputSelector.setCurrentNode(earlier)
    with gate_at("prepare", monkeypatch) as gate:
        harness.click(module.ui.applyButton)
        harness.wait(gate.reached.is_set, 30)
        harness.scene.RemoveNode(earlier)
    wait_idle(module, harness)
    assert state(module) == "done" and module.widget.panel.run.node is not earlier
    assert len([name for name in volume_names(harness) if name.startswith("T2 guided 2x")]) == 1


def test_changing_the_input_during_a_run_does_not_reach_it(module, pair, harness, monkeypatch):
    expected = slicer.util.arrayFromVolume(module.logic.process(*pair)).copy()
    with gate_at("prepare", monkeypatch) as gate:
        harness.click(module.ui.applyButton)
        harness.wait(gate.reached.is_set, 30)
        slicer.util.arrayFromVolume(pair[0])[:] = 0
        slicer.util.arrayFromVolumeModified(pair[0])
    wait_idle(module, harness)
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(module.widget.panel.run.node), expected)


def test_leaving_the_module_lets_the_run_go_on(module, pair, harness, monkeypatch):
    with gate_at("prepare", monkeypatch) as gate:
        harness.click(module.ui.applyButton)
        harness.wait(gate.reached.is_set, 30)
        module.exit()
    wait_idle(module, harness)
    module.enter()
    assert state(module) == "done" and "T2 guided 2x" in volume_names(harness)


def test_warnings_stand_out_and_the_result_line_leaves_with_the_scene(module, pair, harness):
    far = np.eye(4)
    far[:3, 3] = 900, 900, 900
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "Far")
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(far))
    pair[1].SetAndObserveTransformNodeID(transform.GetID())
    run_to_end(module, harness)
    warning = module.ui.warningLabel
    assert "covers 0 % of the target" in warning.text and warning.isVisibleTo(module.panel)
    assert "covers 0 %" not in module.ui.resultLabel.text and "b26a00" in warning.styleSheet
    harness.new_scene()
    assert state(module) == "idle" and module.ui.resultLabel.text == warning.text == ""
    assert not module.ui.detailsButton.visible


def test_a_result_that_fell_back_is_called_by_what_was_done(module, pair, harness):
    module.ui.targetSelector.setCurrentNode(pair[1])
    module.ui.referenceSelector.setCurrentNode(pair[0])  # coarser: it has nothing to add
    harness.choose(module.ui.registrationSelector, "Off")
    run_to_end(module, harness)
    assert module.ui.resultLabel.text.startswith(
        "Sinc (zero-filled k-space) in place of Guided (local regression), ×2 in plane: "
    )
    # of the sentences that say the same of swapped scans, one is shown
    assert module.ui.warningLabel.text.endswith("(2 mm, the target 1 mm). Were they swapped?")
    assert volume_names(harness) == ["T2", "T1", "T1 sinc 2x"]


def test_a_missing_gpu_is_a_note_and_no_warning(module, pair, harness, dummy_method):
    method = dummy_method(devices=("cpu", "cuda"))
    module.ui.methodName.text = method.name
    run_to_end(module, harness)
    assert state(module) == "done" and not module.ui.warningLabel.visible
    assert "No usable GPU was found; it ran on the CPU." in module.ui.detailsLabel.text
    assert "808080" in module.ui.detailsLabel.styleSheet


def test_a_result_coarser_in_plane_or_beyond_four_times_is_warned_of_before_and_after(module, pair, harness):
    harness.choose(module.ui.outputSizeSelector, "Isotropic spacing")
    module.ui.spacingSlider.value = 2.5
    warning = module.ui.sizeWarningLabel
    assert warning.text.startswith("The result is coarser in plane than the scan (2.51 mm, the scan 2 mm)")
    assert warning.isVisibleTo(module.panel) and "b26a00" in warning.styleSheet
    sentence = warning.text
    run_to_end(module, harness)
    assert sentence in module.ui.warningLabel.text
    module.ui.spacingSlider.value = 2.0
    assert not warning.isVisibleTo(module.panel)
    harness.choose(module.ui.outputSizeSelector, "Scale factor")
    module.ui.scaleSlider.value = 5
    assert warning.text.startswith("The result is up to 5 times as fine as the scan.")


def test_the_headline_states_sizes_in_slicers_order_and_the_agreement(module):
    from MultiContrastSRPanel.ui.result_text import headline

    from MultiContrastSRLib.pipeline.report import Report

    report = Report(
        "sinc", "1", "T2", scale=(3.0, 2.0, 1.5), spacing=(1.0, 0.46875, 0.5), shape=(36, 20, 10),
        consistency={"mode": "support", "residual_after": 0.0123},
    )  # fmt: skip
    assert headline(report) == (
        "Sinc (zero-filled k-space), ×1.5 × 2 × 3: 10 × 20 × 36 voxels of 0.5 × 0.469 × 1 mm.\n"
        "Agrees with the scan up to 1.2 %."
    )
    unchecked = headline(Report("sinc", "1", "T2", scale=(2.0, 2.0, 2.0), consistency={"mode": "off"}))
    assert "space), ×2: " in unchecked and unchecked.endswith("\nAgreement with the scan was not enforced.")
