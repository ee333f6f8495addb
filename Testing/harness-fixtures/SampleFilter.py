"""A small scripted module that the harness is tested with: it brightens a volume, at once or in a thread."""

import enum
import threading
import time
from typing import Annotated

import qt
import slicer
import vtk
from slicer import vtkMRMLScalarVolumeNode
from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import Choice, Decimals, WithinRange, parameterNodeWrapper
from slicer.ScriptedLoadableModule import *  # noqa: F403
from slicer.util import VTKObservationMixin


class SampleFilter(ScriptedLoadableModule):  # noqa: F405
    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)  # noqa: F405
        self.parent.title = _("Sample Filter")
        self.parent.categories = ["Filtering"]
        self.parent.contributors = ["Nobody"]
        self.parent.helpText = _("Brightens a volume.")
        slicer.app.connect("startupCompleted()", registerSampleData)


def registerSampleData():
    import SampleData

    SampleData.SampleDataLogic.registerCustomSampleDataSource(
        category="SampleFilter", sampleName="One", uris="file:///one", fileNames="one.nrrd", nodeNames="one"
    )


class Mode(enum.Enum):
    ADD = "add"
    MULTIPLY = "multiply"

    def label(self):
        return self.value.capitalize()


@parameterNodeWrapper
class SampleFilterParameterNode:
    inputVolume: vtkMRMLScalarVolumeNode
    outputVolume: vtkMRMLScalarVolumeNode
    amount: Annotated[float, WithinRange(0.5, 8.0), Decimals(2)] = 2.0
    mode: Mode = Mode.MULTIPLY
    device: Annotated[str, Choice(["auto", "cpu"])] = "auto"
    background: bool = False


class SampleFilterWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):  # noqa: F405
    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)  # noqa: F405
        VTKObservationMixin.__init__(self)
        self.logic = None
        self._parameterNode = None
        self._guiTag = None
        self._timer = None

    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)  # noqa: F405
        uiWidget = slicer.util.loadUI(self.resourcePath("UI/SampleFilter.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        self.logic = SampleFilterLogic()
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.onSceneEndClose)
        self.ui.applyButton.connect("clicked(bool)", self.onApply)
        self._timer = qt.QTimer()
        self._timer.setInterval(20)
        self._timer.connect("timeout()", self._poll)

    def cleanup(self):
        self.setParameterNode(None)
        self.removeObservers()
        self._timer.stop()

    def enter(self):
        self.setParameterNode(self.logic.getParameterNode())

    def exit(self):
        self.setParameterNode(None)

    def onSceneStartClose(self, caller, event):
        self.setParameterNode(None)

    def onSceneEndClose(self, caller, event):
        if self.parent.isEntered:
            self.setParameterNode(self.logic.getParameterNode())

    def setParameterNode(self, node):
        if self._parameterNode:
            self._parameterNode.disconnectGui(self._guiTag)
            self.removeObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self._update)
        self._parameterNode = node
        if node:
            self._guiTag = node.connectGui(self.ui)
            self.addObserver(node, vtk.vtkCommand.ModifiedEvent, self._update)
            self._update()

    def _update(self, caller=None, event=None):
        ready = self._parameterNode is not None and self._parameterNode.inputVolume is not None
        self.ui.applyButton.enabled = ready
        self.ui.applyButton.toolTip = _("Brighten the volume") if ready else _("Choose an input volume")

    def onApply(self):
        with slicer.util.tryWithErrorDisplay(_("The filter failed."), waitCursor=True):
            node = self._parameterNode
            if node.background:
                self.logic.start()
                self.ui.applyButton.text = _("Cancel")
                self._timer.start()
            else:
                node.outputVolume = self.logic.process(node.inputVolume, node.amount)

    def _poll(self):
        if not self.logic.thread.is_alive():
            self._timer.stop()
            self.ui.applyButton.text = _("Apply")


class SampleFilterLogic(ScriptedLoadableModuleLogic):  # noqa: F405
    thread = None

    def getParameterNode(self):
        return SampleFilterParameterNode(super().getParameterNode())

    def process(self, volume, amount):
        voxels = slicer.util.arrayFromVolume(volume)
        if voxels.max() == 0:
            raise ValueError("the volume is empty")
        return slicer.util.addVolumeFromArray(voxels * amount, name=f"{volume.GetName()} brighter")

    def start(self):
        self.thread = threading.Thread(target=time.sleep, args=(0.2,), daemon=True)
        self.thread.start()


class SampleFilterTest(ScriptedLoadableModuleTest):  # noqa: F405
    def runTest(self):
        self.delayDisplay("Nothing to test")
