"""Methods that fit, in the panel: a preview that sharpens, stop and keep, cancel; the reference as a second volume."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest

slicer = pytest.importorskip("slicer")

from panel_fixtures import run_to_end, scene_text, state, volume_names, wait_idle  # noqa: E402


def prepare_slowly(self, target, reference=None, *, refine=None, device="cpu", monitor=None, **options):
    """Fits until it is told to stop: its images are as bright as the number of the look."""
    from MultiContrastSRLib.inr.callbacks import CurvePoint, current_callbacks
    from MultiContrastSRLib.methods import get

    callbacks = current_callbacks()
    for look in itertools.count():
        point = CurvePoint(look, 1.0, 1 / (look + 1), 0.5, look)
        callbacks.on_point(point, lambda grid, look=look: [np.full(grid.shape, look, np.float32)])
        monitor.part(0.0, 1.0, str(point)).update(1 - 1 / (look + 2))
        if callbacks.should_stop():
            return get("linear").prepare(target, refine=refine)
        time.sleep(0.005)


@pytest.fixture
def fitting(module, pair, harness, dummy_method):
    """A run under way whose preview is to be seen; yields the module."""
    dummy_method(name="dummy-fit", group="subject-specific", reference="optional", prepare=prepare_slowly)
    module.ui.methodName.text = "dummy-fit"
    for name in ("Red", "Yellow"):
        harness.view(name).mrmlSliceCompositeNode().SetBackgroundVolumeID(pair[0].GetID())
    harness.view("Green").mrmlSliceCompositeNode().SetBackgroundVolumeID(pair[1].GetID())
    harness.process_events()
    harness.click(module.ui.applyButton)
    harness.wait(lambda: "T2 preview" in volume_names(harness), 30)
    return module


def shown(harness, name):
    """The name of the volume in the background of a view."""
    node = harness.scene.GetNodeByID(harness.view(name).mrmlSliceCompositeNode().GetBackgroundVolumeID())
    return node and node.GetName()


def test_a_fit_is_seen_while_it_runs_and_kept_early(fitting, pair, harness):
    preview = slicer.util.getNode("T2 preview")
    assert [shown(harness, name) for name in ("Red", "Yellow", "Green")] == ["T2 preview", "T2 preview", "T1"]
    assert preview.GetHideFromEditors() and not preview.GetSaveWithScene()
    bounds, whole = np.zeros(6), np.zeros(6)
    preview.GetRASBounds(bounds), pair[0].GetRASBounds(whole)
    assert np.abs(bounds - whole).max() < 1e-3
    first = slicer.util.arrayFromVolume(preview).max()
    harness.wait(lambda: slicer.util.arrayFromVolume(preview).max() > first, 30)
    assert "mutual information 0.500" in fitting.ui.progressLabel.text and fitting.ui.keepButton.visible
    harness.click(fitting.ui.keepButton)
    wait_idle(fitting, harness)
    assert state(fitting) == "done" and not fitting.ui.keepButton.visible
    assert volume_names(harness) == ["T2", "T1", "T2 dummy-fit 2x"]
    assert shown(harness, "Red") == "T2 dummy-fit 2x"


def test_cancelling_a_fit_leaves_the_scene_as_it_was(fitting, pair, harness):
    harness.click(fitting.ui.applyButton)
    wait_idle(fitting, harness)
    assert state(fitting) == "idle" and volume_names(harness) == ["T2", "T1"]
    assert [shown(harness, name) for name in ("Red", "Yellow", "Green")] == ["T2", "T2", "T1"]
    before = scene_text(harness)
    harness.process_events()
    assert scene_text(harness) == before and "preview" not in before


def test_a_scene_that_is_saved_meanwhile_shows_the_target(fitting, harness, tmp_path):
    saved = harness.save_scene(tmp_path / "during.mrb")
    assert [shown(harness, name) for name in ("Red", "Yellow", "Green")] == ["T2 preview", "T2 preview", "T1"]
    harness.click(fitting.ui.applyButton)
    wait_idle(fitting, harness)
    harness.load_scene(saved)
    assert volume_names(harness) == ["T2", "T1"]
    assert [shown(harness, name) for name in ("Red", "Yellow", "Green")] == ["T2", "T2", "T1"]


def test_a_target_that_was_deleted_leaves_no_preview_behind(fitting, pair, harness):
    harness.scene.RemoveNode(pair[0])
    harness.click(fitting.ui.keepButton)
    wait_idle(fitting, harness)
    assert state(fitting) == "done" and volume_names(harness) == ["T1", "T2 dummy-fit 2x"]


def test_the_reference_comes_as_a_second_volume_if_wanted(module, pair, harness, dummy_method):
    def prepare_both(self, target, reference=None, *, refine=None, **others):
        from MultiContrastSRLib import Volume
        from MultiContrastSRLib.methods import get

        made = get("linear").prepare(target, refine=refine)
        if reference is not None:
            inverted = Volume(300 - target.array, target.affine, reference.name, target.metadata)
            made.companion = get("linear").prepare(inverted, refine=refine)
        return made

    dummy_method(
        name="dummy-both", group="subject-specific", reference="optional", makes_companion=True, prepare=prepare_both
    )
    harness.wait(lambda: not module.ui.companionCheckBox.visible, 5)  # guided makes the target only
    module.ui.methodName.text = "dummy-both"
    harness.process_events()
    run_to_end(module, harness)
    assert volume_names(harness) == ["T2", "T1", "T2 dummy-both 2x"]
    assert module.ui.companionCheckBox.visible
    module.ui.companionCheckBox.checked = True
    run_to_end(module, harness)
    again, other = volume_names(harness)[3:]
    assert again.startswith("T2 dummy-both 2x") and other == "T1 dummy-both 2x"
    assert module.ui.detailsLabel.text.startswith(f"Made {again} and T1 dummy-both 2x.")
    other = slicer.util.getNode("T1 dummy-both 2x")
    assert other.GetNodeReference("MultiContrastSR.Target") is pair[1]
    assert other.GetNodeReference("MultiContrastSR.Reference") is pair[0]
    made = slicer.util.arrayFromVolume(slicer.util.getNode("T2 dummy-both 2x"))
    rest = np.abs(slicer.util.arrayFromVolume(other) + made - 300)
    assert np.median(rest) < 3  # data consistency changes the T2 only
    module.ui.referenceSelector.setCurrentNode(None)
    harness.process_events()
    assert not module.ui.companionCheckBox.visible
    run_to_end(module, harness)
    assert len(volume_names(harness)) == 6
