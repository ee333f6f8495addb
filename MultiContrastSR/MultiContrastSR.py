"""3D Slicer module: super-resolution of an MR scan with the help of a scan of another contrast. Research use only.

At file scope only the standard library, slicer, vtk, qt and ctk are imported (and the panel's own parts, which keep
the same rule). The library arrives when the module is opened or its logic is used, torch when a method needs it.
"""

import sys
import weakref

import qt
import slicer
import vtk
from MultiContrastSRPanel.logic import dependencies, sample_data
from MultiContrastSRPanel.logic.automatic import guess_inputs, guess_later_inputs
from MultiContrastSRPanel.logic.batch.batch_logic import BatchLogic
from MultiContrastSRPanel.logic.dicom_series import DicomSeries
from MultiContrastSRPanel.logic.fit_preview import restore_targets
from MultiContrastSRPanel.logic.library import clear_method_caches, library
from MultiContrastSRPanel.logic.live.layers import remove_stale_layers
from MultiContrastSRPanel.logic.live.live_zoom_logic import LiveZoomLogic
from MultiContrastSRPanel.logic.parameters import MultiContrastSRParameterNode
from MultiContrastSRPanel.logic.pump import Pump
from MultiContrastSRPanel.logic.run import Run
from MultiContrastSRPanel.logic.task import SuperResolutionTask
from MultiContrastSRPanel.logic.worker import Worker
from slicer import vtkMRMLScalarVolumeNode
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin


class MultiContrastSR(ScriptedLoadableModule):
    """What Slicer shows of the module before it is opened."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("Multi-contrast Super-resolution")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Filtering")]
        self.parent.dependencies = []
        self.parent.contributors = ["MultiContrastSR contributors"]
        self.parent.helpText = _(
            "Makes a finer volume from an MR scan: any scale or an isotropic spacing, guided by a scan of another "
            "contrast of the same patient. Choose the target and, if there is one, a sharper reference; press Apply. "
            "The result is a new volume; acquired volumes are never changed.<br>"
            "<b>Research use only. Not for diagnosis.</b> Finer voxels are an estimate, not a measurement."
        )
        self.parent.acknowledgementText = _(
            "Sample scans: 3D MR image database of multiple sclerosis patients, Laboratory of Imaging Technologies, "
            "University of Ljubljana (Lesjak et al., Neuroinformatics 2016 and 2017), CC BY."
        )
        slicer.app.connect("startupCompleted()", self._onStartup)

    def _onStartup(self):
        sample_data.register()
        scene = slicer.mrmlScene
        for event in (scene.EndImportEvent, scene.EndRestoreEvent):
            scene.AddObserver(event, self._mendViews)

    @staticmethod
    def _mendViews(scene, event):
        """Have no view refer to what is never saved, after a scene that was saved with it has been opened."""
        remove_stale_layers(scene)
        restore_targets(scene)


class MultiContrastSRWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """Connects the panel (MultiContrastSRPanel/ui/panel.py) with the application's events."""

    def __init__(self, parent=None) -> None:
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic = None
        self.panel = None
        self._parameterNode = None
        self._parameterNodeGuiTag = None
        self._inputsChosen = False  # by the user, since the scene was opened

    def setup(self) -> None:
        """Called when the user opens the module for the first time: the first need of the library."""
        ScriptedLoadableModuleWidget.setup(self)
        from MultiContrastSRPanel.ui.panel import Panel

        uiWidget = slicer.util.loadUI(self.resourcePath("UI/MultiContrastSR.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        self.logic = MultiContrastSRLogic()
        with slicer.util.tryWithErrorDisplay(_("The panel could not be set up.")):
            self.panel = Panel(self.ui, self.logic)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.onSceneEndClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndImportEvent, self.onSceneEndImport)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.NodeAddedEvent, self.onNodeAdded)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.NodeRemovedEvent, self.onNodeRemoved)
        for selector in (self.ui.targetSelector, self.ui.referenceSelector):
            selector.connect("nodeActivated(vtkMRMLNode*)", self._onInputChosen)
        self.initializeParameterNode()

    def cleanup(self) -> None:
        """Called when the application closes or the module is reloaded."""
        self.setParameterNode(None)
        self.removeObservers()
        if self.logic is not None:
            self.logic.cleanup()

    def enter(self) -> None:
        """Called each time the user opens this module."""
        self.initializeParameterNode()

    def exit(self) -> None:
        """Called each time the user opens another module. A run under way goes on; live zoom and Compare end."""
        self.logic.stopLiveZoom()
        self.logic.stopComparison()
        self.setParameterNode(None)

    def onReload(self) -> None:
        """Reload the panel's parts and the library too, not only this file."""
        self.logic.cleanup()
        for name in list(sys.modules):
            if name.split(".")[0] in ("MultiContrastSRPanel", "MultiContrastSRLib"):
                del sys.modules[name]
        slicer.util.reloadScriptedModule(self.moduleName)

    def onSceneStartClose(self, caller, event) -> None:
        """Called just before the scene is closed. A run under way and live zoom end by themselves."""
        self.setParameterNode(None)
        self._inputsChosen = False
        self.panel.forget_result()

    def onSceneEndClose(self, caller, event) -> None:
        """Called just after the scene is closed."""
        if self.parent.isEntered:
            self.initializeParameterNode()

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def onNodeAdded(self, caller, event, node) -> None:
        """Called for every new node: scans that are loaded while the panel is open are guessed like those before."""
        if node.IsA("vtkMRMLScalarVolumeNode") and self.parent.isEntered and not self._inputsChosen:
            qt.QTimer.singleShot(0, lambda: self._guessLaterInputs(node))  # once it has its voxels

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def onNodeRemoved(self, caller, event, node) -> None:
        """Called for every node that leaves the scene: a result that is gone is not offered any more."""
        if self.panel is not None and node is self.panel.result:
            self.panel.forget_result()

    def _onInputChosen(self, node) -> None:
        self._inputsChosen = True

    def _guessLaterInputs(self, added) -> None:
        if self._parameterNode is not None and not self._inputsChosen and not self.panel.state.busy:
            guess_later_inputs(self._parameterNode, added)

    def onSceneEndImport(self, caller, event) -> None:
        """Called just after a scene was loaded: only now do the parameters' nodes exist."""
        if self.parent.isEntered:
            self.setParameterNode(None)
            self.initializeParameterNode()

    def initializeParameterNode(self) -> None:
        """Have a parameter node; with neither target nor reference yet, choose them among the scans of the scene."""
        parameterNode = self.logic.getParameterNode()
        if parameterNode.target is None and parameterNode.reference is None:
            parameterNode.target, parameterNode.reference = guess_inputs()
        self.setParameterNode(parameterNode)

    def setParameterNode(self, parameterNode: MultiContrastSRParameterNode | None) -> None:
        """Connect the panel with this parameter node, or with none."""
        if self._parameterNode is not None:
            self._parameterNode.disconnectGui(self._parameterNodeGuiTag)
            self.removeObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self._onParametersModified)
        self._parameterNode = parameterNode
        if parameterNode is not None:
            self._parameterNodeGuiTag = parameterNode.connectGui(self.ui)
            self.addObserver(parameterNode, vtk.vtkCommand.ModifiedEvent, self._onParametersModified)
        if self.panel is not None:
            self.panel.set_parameters(parameterNode)

    def _onParametersModified(self, caller=None, event=None) -> None:
        self.panel.refresh()


class MultiContrastSRLogic(ScriptedLoadableModuleLogic, LiveZoomLogic, BatchLogic):
    """Super-resolution of nodes, for the panel, the Python console and scripts.

    For live zoom see `LiveZoomLogic`, for whole studies `BatchLogic`.

    >>> logic = MultiContrastSRLogic()
    >>> node = logic.process(getNode("T2"), getNode("T1"), method="guided", scale=2)
    """

    def __init__(self) -> None:
        ScriptedLoadableModuleLogic.__init__(self)
        self.worker = Worker()
        self._pump = None
        self._runs = weakref.WeakSet()  # the pump holds those under way
        self._jobs = {}

    def getParameterNode(self):
        """The parameter node of the scene, wrapped."""
        return MultiContrastSRParameterNode(super().getParameterNode())

    def defaultParameters(self) -> MultiContrastSRParameterNode:
        """The parameters as they are in a new scene."""
        return MultiContrastSRParameterNode(slicer.vtkMRMLScriptedModuleNode())

    def process(
        self, targetNode, referenceNode=None, *, outputNode=None, progress=None, cancel=None, **settings
    ) -> vtkMRMLScalarVolumeNode:
        """Super-resolve and wait for the result.

        :param targetNode: scalar volume to make finer; parent transforms count, the node is not changed.
        :param referenceNode: scalar volume of another contrast, or None.
        :param outputNode: an earlier result to overwrite; None makes a new node.
        :param progress: called with (fraction, stage) on this thread.
        :param cancel: called often; return True to stop.
        :param settings: method="guided" ("automatic": Swift where PyTorch works, else guided), scale=2.0 (or one per
            axis k, j, i) or spacing=mm, region=None (a markups ROI node, or "views" for what the slice views show),
            slice_thickness=mm of the target and replace_nan=value where the file leaves it out or has NaN voxels,
            register="auto", data_consistency=True, device="auto", and the method's own options; companion=True also
            stores the reference, super-resolved by the same run, for methods that make it (joint-tv, joint-nonlocal,
            subject-inr).
        :raises MultiContrastSRError: with the cause and what to do; the scene is as it was.
        """
        task = SuperResolutionTask.from_nodes(targetNode, referenceNode, outputNode, **settings)
        return task.store(*task.computation.run(progress, cancel))[0]

    def processAsync(
        self, targetNode, referenceNode=None, *, outputNode=None, onDone=None, onError=None, onProgress=None, **settings
    ) -> Run:
        """Super-resolve on the worker thread; returns at once a handle with `cancel()`, `keep()` and `state`.

        :param onDone: called with the result node, on the main thread.
        :param onError: called with the exception, on the main thread; a CancelledError after `cancel()`.
        :param onProgress: called with (fraction, stage, seconds left or None), on the main thread.
        :param settings: as for `process`.
        :raises MultiContrastSRError: when the run cannot even start.
        """
        task = SuperResolutionTask.from_nodes(targetNode, referenceNode, outputNode, **settings)
        self._pump = self._pump or Pump()
        run = Run(task, self.worker, self._pump, onDone, onError, onProgress)
        self._runs.add(run)
        return run

    def saveDicom(self, node, folder, keepPatient=True) -> list[str]:
        """Save a result as a derived DICOM series, and wait for it.

        :param node: a volume that this module made.
        :param folder: a new or an empty folder.
        :param keepPatient: whether it gets the patient and the study of the scan that it was made of, where that came
            from Slicer's DICOM database, and refers to its images.
        :returns: the paths of the files.
        :raises MultiContrastSRError: with the cause and what to do; nothing is left behind.
        """
        return [str(path) for path in DicomSeries.of(node, keepPatient).write(folder)]

    def saveDicomAsync(self, node, folder, keepPatient=True, *, onDone) -> None:
        """Like `saveDicom`, on the worker thread; `onDone(error or None)` is called on the main thread."""
        series = DicomSeries.of(node, keepPatient)
        self._watch(lambda progress, cancel: series.write(folder, progress, cancel), onDone)

    def loadPackages(self, modules, onDone) -> None:
        """Import installed packages on the worker thread; `onDone(error or None)` is called on the main thread."""
        self._watch(lambda progress, cancel: dependencies.load(modules), onDone)

    def _watch(self, work, onDone) -> None:
        """Do `work` on the worker thread, then call `onDone(error or None)` on the main thread."""
        self._pump = self._pump or Pump()
        job = self.worker.submit(work)
        self._jobs[job] = onDone
        self._pump.watch(job, lambda fraction, stage: None, lambda: self._jobs.pop(job, lambda error: None)(job.error))

    def cleanup(self) -> None:
        """Cancel runs and the batch, end live zoom and comparison, end the worker thread, free what methods keep.

        The thread starts again when it is needed.
        """
        self.stopLiveZoom()
        self.stopComparison()
        for run in tuple(self._runs):
            run.abandon()
        for job in self._jobs:
            job.cancel()
        self._jobs.clear()
        self.abandonBatch()
        self.worker.stop()
        clear_method_caches()


class MultiContrastSRTest(ScriptedLoadableModuleTest):
    """Self-test inside Slicer, without network: a built-in phantom through the same logic as the panel."""

    def setUp(self):
        """Begin with an empty scene."""
        slicer.mrmlScene.Clear()

    def runTest(self):
        """Run every test; called by Slicer."""
        self.setUp()
        self.test_guided_doubles_a_phantom()

    def test_guided_doubles_a_phantom(self):
        """Guided super-resolution of a phantom gives twice the pixels, and leaves the input as it is."""
        import numpy as np

        self.delayDisplay("Super-resolving a phantom")
        k, j, i = np.mgrid[0:4, 0:96, 0:96]
        disc = ((j - 48) ** 2 + (i - 48) ** 2 < 1200) * (1 + 0.5 * np.sin(i / 3) * np.cos(j / 4))
        means = (100 * disc + k).reshape(4, 48, 2, 48, 2).mean((2, 4))
        fine, coarse = np.diag([-0.5, -0.5, 3.0, 1.0]), np.diag([-1.0, -1.0, 3.0, 1.0])
        target = slicer.util.addVolumeFromArray(means, ijkToRAS=coarse, name="T2")
        reference = slicer.util.addVolumeFromArray(400 - 200 * disc, ijkToRAS=fine, name="T1")
        result = MultiContrastSRLogic().process(target, reference, method="guided", scale=2, register="off")
        self.assertEqual(slicer.util.arrayFromVolume(result).shape, (4, 96, 96))
        self.assertEqual(slicer.util.arrayFromVolume(target).shape, (4, 48, 48))
        self.assertAlmostEqual(result.GetSpacing()[0], 0.5)
        self.assertEqual(result.GetNodeReference(library("mrml").TARGET), target)
        self.delayDisplay("Test passed")
