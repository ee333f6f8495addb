"""The harness itself: does a module live in it as in Slicer, from loading to unloading?"""

import numpy as np
import pytest
from harness_sample import *  # noqa: F403
from harness_sample import SAMPLE

# A module from load to unload


def test_a_module_runs_and_shows_its_result(harness, module, volume):
    import slicer

    assert module.info.title == "Sample Filter" and slicer.modules.samplefilter.path == str(SAMPLE)
    assert slicer.modules.sampleDataSources["SampleFilter"][0].sampleName == "One"
    with pytest.raises(AssertionError, match="Choose an input volume"):
        harness.click(module.ui.applyButton)
    module.ui.inputSelector.setCurrentNode(volume)
    module.ui.amountSlider.value = 3
    harness.click(module.ui.applyButton)
    result = module.ui.outputSelector.currentNode()
    assert np.array_equal(slicer.util.arrayFromVolume(result), slicer.util.arrayFromVolume(volume) * 3)
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(harness.scene)
    item = hierarchy.GetItemByDataNode(result)
    assert item != 0
    harness.scene.RemoveNode(result)
    with harness.expect_error(RuntimeWarning, "Failed to find subject hierarchy item"):
        assert hierarchy.GetItemName(item) == ""


def test_a_module_has_no_panel_until_it_is_opened(harness):
    import slicer

    module = harness.start_with(SAMPLE)
    assert slicer.modules.sampleDataSources["SampleFilter"] and module.panel is None
    assert not hasattr(slicer.modules, "SampleFilterWidget")
    harness.open(module)
    assert module.panel.isEntered and module.ui.applyButton.visible
    harness.unload_all()
    harness.start_with(SAMPLE)
    harness.unload_all()
    assert not hasattr(slicer.modules, "samplefilter")


def test_displays_are_recorded_and_questions_answered(harness, module, volume):
    import slicer

    slicer.util.arrayFromVolume(volume)[:] = 0
    module.ui.inputSelector.setCurrentNode(volume)
    with harness.expect_error(ValueError, "the volume is empty"):
        harness.click(module.ui.applyButton)
    assert harness.messages.of("error") == ["The filter failed.\n\nthe volume is empty"]
    assert "Traceback" in harness.messages[-1].detail
    assert slicer.util.confirmOkCancelDisplay("Sure?")
    harness.messages.answer = False
    assert not slicer.util.confirmYesNoDisplay("Really?")
    assert harness.messages.of("question") == ["Sure?", "Really?"]
    slicer.util.showStatusMessage("Working")
    slicer.util.pip_install("torch")
    assert harness.messages.of("status") == ["Working"] and harness.packages.installed == ["torch"]


def test_parameters_survive_saving_and_loading_the_scene(harness, module, volume, tmp_path):
    module.ui.inputSelector.setCurrentNode(volume)
    module.ui.amountSlider.value = 4.25
    harness.choose(module.ui.modeBox, "Add")
    module.ui.backgroundBox.checked = True
    node = module.widget._parameterNode.parameterNode
    assert (node.GetParameter("mode"), node.GetParameter("amount")) == ("ADD", "4.25")
    harness.save_scene(tmp_path / "scene.mrb")
    harness.new_scene()
    assert module.ui.amountSlider.value == 2.0 and not module.ui.backgroundBox.checked
    assert module.ui.inputSelector.currentNode() is None
    harness.load_scene(tmp_path / "scene.mrb")
    assert module.ui.amountSlider.value == 4.25 and module.ui.backgroundBox.checked
    assert module.ui.modeBox.currentText == "Add" and module.ui.inputSelector.currentNode().GetName() == "T2"


def test_reload_and_unload_leave_nothing_behind(harness, module, volume):
    import slicer

    node, first = module.widget._parameterNode.parameterNode, module.widget
    observed = node.HasObserver("ModifiedEvent")
    module.reload()
    assert module.widget is not first and not first.Observations and module.widget._parameterNode is not None
    assert observed and module.ui.modeBox.count == 2
    widget = module.widget
    harness.unload_all()
    assert not widget.Observations and not node.HasObserver("ModifiedEvent")
    assert not hasattr(slicer.modules, "samplefilter")
    harness.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")  # a selector left alive would complain
    assert harness.slot_errors == []


def test_work_in_the_background_ends_in_the_panel(harness, module, volume):
    module.ui.inputSelector.setCurrentNode(volume)
    module.ui.backgroundBox.checked = True
    harness.click(module.ui.applyButton)
    assert module.ui.applyButton.text == "Cancel"
    assert harness.wait(lambda: module.ui.applyButton.text == "Apply", timeout=5) < 2
    with pytest.raises(TimeoutError, match="never so"):
        harness.wait(lambda: False, timeout=0.05, why="never so")


@pytest.mark.parametrize("suffix", [".nrrd", ".nii.gz", ".mha"])
def test_volumes_are_saved_and_loaded_by_slicers_own_storage(harness, volume, tmp_path, suffix):
    import slicer

    path = str(tmp_path / f"saved{suffix}")
    assert slicer.util.saveNode(volume, path)
    loaded = slicer.util.loadVolume(path)
    assert loaded.GetName() == "saved"
    assert np.array_equal(slicer.util.arrayFromVolume(loaded), slicer.util.arrayFromVolume(volume))
    assert harness.view("Red").mrmlSliceCompositeNode().GetBackgroundVolumeID() == loaded.GetID()
    with pytest.raises(RuntimeError, match="Failed to load"):
        slicer.util.loadVolume(str(tmp_path / "absent.nrrd"))


# MRML widgets


def test_the_node_selector_follows_the_scene(harness, module, volume):
    import slicer

    selector, output = module.ui.inputSelector, module.ui.outputSelector
    selector.setCurrentNode(volume)
    volume.SetName("renamed")
    assert selector._impl.combo.currentText == "renamed"
    other = slicer.util.addVolumeFromArray(np.ones((2, 3, 4)), name="other")
    label = harness.scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode")
    assert selector.nodeCount() == 3 and label.GetName()
    selector.showChildNodeTypes = False
    assert selector.nodeCount() == 2
    selector.setCurrentNode(other)
    harness.scene.RemoveNode(other)
    assert selector.currentNode() is volume
    assert output.currentNode() is None and output._impl.combo.currentText == "Create new volume"
    harness.choose(output, "Create new Volume")
    assert module.widget._parameterNode.outputVolume is output.currentNode() is not None


def test_a_selector_without_a_scene_is_disabled(harness):
    import slicer

    assert not slicer.qMRMLNodeComboBox().enabled


# The parameter node wrapper


def test_the_wrapper_checks_what_it_is_given(harness, module, volume):
    parameters = module.widget._parameterNode
    for name, value, error in (
        ("amount", 9.0, ValueError),
        ("amount", "2", TypeError),
        ("mode", "ADD", TypeError),
        ("device", "gpu", ValueError),
        ("background", 1, TypeError),
        ("inputVolume", harness.view().node, TypeError),
        ("amuont", 1.0, AttributeError),
    ):
        with pytest.raises(error):
            setattr(parameters, name, value)
    parameters.parameterNode.SetParameter("mode", "DIVIDE")
    with pytest.raises(ValueError, match="'DIVIDE'"):
        _ = parameters.mode
    assert harness.slot_errors.pop()  # the panel could not show it either


def test_optional_parameters_keep_slicers_format(harness):
    import slicer
    from slicer.parameterNodeWrapper import parameterNodeWrapper

    @parameterNodeWrapper
    class Parameters:
        text: str | None
        count: int = 3

    node = harness.scene.AddNewNodeByClass("vtkMRMLScriptedModuleNode")
    parameters = Parameters(node)
    assert parameters.text is None and node.HasParameter("text.1") and parameters.count == 3
    parameters.text = "set"
    assert node.GetParameter("text.0") == "set" and not node.HasParameter("text.1")
    assert Parameters(node).text == "set" and slicer.parameterNodeWrapper.isParameterNodeWrapper(parameters)


def test_widgets_that_slicer_cannot_bind_are_refused(harness, qt):
    import ctk
    from slicer.parameterNodeWrapper import parameterNodeWrapper

    @parameterNodeWrapper
    class Parameters:
        text: str
        number: float

    parameters = Parameters(harness.scene.AddNewNodeByClass("vtkMRMLScriptedModuleNode"))
    with pytest.raises(RuntimeError, match="Choice"):
        parameters.connectParametersToGui({"text": qt.QComboBox()})
    with pytest.raises(RuntimeError, match="slider needs"):
        parameters.connectParametersToGui({"number": ctk.ctkSliderWidget()})
    with pytest.raises(RuntimeError, match="Unable to create GUI connector"):
        parameters.connectParametersToGui({"text": qt.QCheckBox()})
    with pytest.raises(ValueError, match="Cannot find a param"):
        parameters.connectParametersToGui({"nothing": qt.QLineEdit()})


# .ui files


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('class="ctkSliderWidget" name', 'class="ctkSlider" name'), "widget class ctkSlider"),
        (('name="noneDisplay"', 'name="noneText"'), "no property 'noneText'"),
        (("<signal>mrmlSceneChanged(vtkMRMLScene*)", "<signal>mrmlSceneChanged()"), "no signal"),
    ],
)
def test_mistakes_in_ui_files_are_named(harness, tmp_path, change, message):
    import slicer

    text = (SAMPLE.parent / "Resources" / "UI" / "SampleFilter.ui").read_text().replace(*change)
    (tmp_path / "wrong.ui").write_text(text)
    with pytest.raises(ValueError, match=message):
        slicer.util.loadUI(str(tmp_path / "wrong.ui"))
