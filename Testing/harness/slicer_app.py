"""`slicer.app`, `slicer.mrmlScene`, `slicer.modules` and the managers behind them, on slicer-core's real logics."""

import random
import sys
import tempfile
import types
from pathlib import Path

import slicer
import vtk
from PySide6 import QtCore, QtWidgets
from PySide6.QtCore import Signal

from .pythonqt import check_thread, cpp_class, typed_property
from .slice_view import SliceView

_LOGICS = {
    "volumes": "vtkSlicerVolumesLogic",
    "segmentations": "vtkSlicerSegmentationsModuleLogic",
    "subjecthierarchy": "vtkSlicerSubjectHierarchyModuleLogic",
    "transforms": "vtkSlicerTransformLogic",
}
_VIEWS = {"Red": "Axial", "Yellow": "Sagittal", "Green": "Coronal"}
_VIEW_SIZES = {2: (420, 560), 3: (400, 400)}  # pixels of each view, by the number of slice views in a layout
_folder = tempfile.TemporaryDirectory(prefix="harness-")  # Slicer's temporary folder and cache, gone at exit


class CoreModule:
    """A module that Slicer ships: only its logic is here."""

    def __init__(self, name: str, logic):
        self.name, self.path, self._logic = name, "", logic

    def logic(self):
        return self._logic


@cpp_class
class ModuleManager(QtCore.QObject):
    moduleAboutToBeUnloaded = Signal(str)

    def module(self, name: str):
        return getattr(slicer.modules, name.lower(), None)

    def modulesNames(self) -> list[str]:
        return [m.name for m in vars(slicer.modules).values() if isinstance(getattr(m, "name", None), str)]


class IOManager:
    """Loads and saves volumes, transforms and scenes through Slicer's own logics and storage nodes."""

    def fileType(self, path) -> str:
        suffixes = {".mrml": "SceneFile", ".mrb": "SceneFile", ".h5": "TransformFile", ".tfm": "TransformFile"}
        return suffixes.get(Path(path).suffix.lower(), "VolumeFile")

    def fileWriterFileType(self, node) -> str:
        return node.GetClassName()

    def loadNodes(self, file_type: str, properties: dict, loaded, messages) -> bool:
        path = str(properties["fileName"])
        if file_type == "SceneFile":
            return self._load_scene(path, properties.get("clear", False), messages)
        name = properties.get("name") or Path(path).name.split(".")[0]
        if file_type == "TransformFile":
            node = slicer.modules.transforms.logic().AddTransform(path, slicer.mrmlScene)
        elif Path(path).is_file():
            node = slicer.modules.volumes.logic().AddArchetypeVolume(path, name, 1 if properties.get("labelmap") else 0)
        else:
            node = None
        if node is None:
            return False
        loaded.AddItem(node)
        if file_type == "VolumeFile" and properties.get("show", True):
            slicer.util.setSliceViewerLayers(background=node, fit=True)
        return True

    def _load_scene(self, path: str, clear: bool, messages) -> bool:
        scene = slicer.mrmlScene
        if path.endswith(".mrb"):
            return bool(scene.ReadFromMRB(path, clear, messages))
        scene.SetURL(path)
        return bool(scene.Connect(messages) if clear else scene.Import(messages))

    def saveNodes(self, file_type: str, properties: dict, messages) -> bool:
        path = str(properties["fileName"])
        if file_type == "SceneFile":
            return self._save_scene(path, messages)
        node = slicer.mrmlScene.GetNodeByID(properties["nodeID"])
        if node.GetStorageNode() is None:
            node.AddDefaultStorageNode(path)
        node.GetStorageNode().SetFileName(path)
        return bool(node.GetStorageNode().WriteData(node))

    def _save_scene(self, path: str, messages) -> bool:
        scene = slicer.mrmlScene
        scene.SetRootDirectory(str(Path(path).parent))
        if path.endswith(".mrb"):
            return bool(scene.WriteToMRB(path, None, messages))
        return bool(scene.Commit(path, messages))


def _layout_descriptions():
    """Slicer's layouts: which views each of them shows. In a scene apart, to which the logic adds nodes of its own."""
    scene, logic = slicer.vtkMRMLScene(), slicer.vtkMRMLLayoutLogic()
    slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(scene, True)
    logic.SetMRMLScene(scene)
    return logic.GetLayoutNode()


class LayoutManager:
    """The three slice views of the default layout; there is no 3-D view.

    As in Slicer the views get the sizes of another layout only when the event loop runs.
    """

    def __init__(self, application_logic):
        self.views = {name: SliceView(application_logic, name, plane) for name, plane in _VIEWS.items()}
        self._logic = application_logic
        self._descriptions = _layout_descriptions()
        self.layout = slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView

    def setLayout(self, number: int) -> None:
        self.layout = number
        description = self._descriptions.GetLayoutDescription(number)
        shown = [name for name in self.views if f'singletontag="{name}"' in description]
        for name, view in self.views.items():
            view.node.SetMappedInLayout(int(name in shown))
        size = _VIEW_SIZES.get(len(shown), _VIEW_SIZES[3])
        QtCore.QTimer.singleShot(0, lambda: [self.views[name].resize(*size) for name in shown])

    def sliceViewNames(self) -> tuple[str, ...]:
        return tuple(random.sample(list(self.views), len(self.views)))  # Slicer's order is that of a hash table

    def sliceWidget(self, name: str) -> SliceView | None:
        return self.views.get(name)

    def mrmlSliceLogics(self):
        return self._logic.GetSliceLogics()

    def resetSliceViews(self) -> None:
        for view in self.views.values():
            view.logic.FitSliceToBackground()

    def resetThreeDViews(self) -> None:
        pass


@cpp_class
class Application(QtCore.QObject):
    """What modules ask of `slicer.app`."""

    startupCompleted = Signal()
    applicationName, majorVersion, minorVersion, revision = "Slicer", 5, 13, "harness"
    documentationBaseUrl = "https://slicer.readthedocs.io/en/latest/"

    def __init__(self, qt_application, application_logic):
        super().__init__()
        self._impl = types.SimpleNamespace(
            qt=qt_application,
            logic=application_logic,
            modules=ModuleManager(),
            io=IOManager(),
            layout=LayoutManager(application_logic),
        )

    temporaryPath = typed_property(str, lambda self: _folder.name)

    def applicationLogic(self):
        return self._impl.logic

    def moduleManager(self) -> ModuleManager:
        return self._impl.modules

    def coreIOManager(self) -> IOManager:
        return self._impl.io

    ioManager = coreIOManager

    def layoutManager(self) -> LayoutManager:
        return self._impl.layout

    def mrmlScene(self):
        return slicer.mrmlScene

    def processEvents(self, *flags) -> None:
        QtCore.QCoreApplication.processEvents(*flags)

    def testingEnabled(self) -> bool:
        return False  # displays are recorded, and code that only runs for users runs here too

    def userSettings(self):
        return QtCore.QSettings()

    settings = userSettings

    def topLevelWidgets(self) -> list:
        return QtWidgets.QApplication.topLevelWidgets()

    def setOverrideCursor(self, cursor) -> None:
        QtWidgets.QApplication.setOverrideCursor(cursor)

    def restoreOverrideCursor(self) -> None:
        QtWidgets.QApplication.restoreOverrideCursor()

    def translate(self, _context: str, text: str) -> str:
        return text

    def moduleDocumentationUrl(self, name: str) -> str:
        return f"{self.documentationBaseUrl}user_guide/modules/{name.lower()}.html"

    def pauseRender(self) -> None:
        pass

    def resumeRender(self) -> None:
        pass


def _application_logic(scene):
    """Slicer's application logic with colours, slice logics and the modules' logics attached."""
    logic = slicer.vtkSlicerApplicationLogic()
    logic.SetMRMLScene(scene)
    logic.SetTemporaryPath(_folder.name)
    colors = logic.GetColorLogic()
    colors.SetMRMLScene(scene)
    colors.AddDefaultColorNodes()
    logic.SetModuleLogic("Colors", colors)
    logic.SetSliceLogics(vtk.vtkCollection())
    logic.SetViewLogics(vtk.vtkCollection())
    slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(scene, True)
    scene.AddNode(slicer.vtkMRMLCrosshairNode())
    for name, cls in _LOGICS.items():
        module_logic = getattr(slicer, cls)()
        module_logic.SetMRMLScene(scene)
        module_logic.SetMRMLApplicationLogic(logic)
        logic.SetModuleLogic(name.capitalize(), module_logic)
        setattr(slicer.modules, name, CoreModule(name, module_logic))
    return logic


def _attach_cache(scene):
    """A scene reads .mrb files only when it has a cache for remote files; the caller keeps what is returned."""
    cache, manager, logic = slicer.vtkCacheManager(), slicer.vtkDataIOManager(), slicer.vtkDataIOManagerLogic()
    cache.SetRemoteCacheDirectory(_folder.name)
    manager.SetCacheManager(cache)
    scene.SetCacheManager(cache)
    scene.SetDataIOManager(manager)
    logic.SetAndObserveDataIOManager(manager)
    return logic


def _follow_in_subject_hierarchy(scene) -> None:
    """In Slicer a Qt plug-in gives each displayable node its subject hierarchy item."""

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def on_added(caller, _event, node):
        check_thread("a node was added to the scene")
        if node is not None and node.IsA("vtkMRMLDisplayableNode") and not node.GetHideFromEditors():
            hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(caller)
            if hierarchy is not None and not caller.IsBatchProcessing() and not hierarchy.GetItemByDataNode(node):
                hierarchy.CreateItem(hierarchy.GetSceneItemID(), node)

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def on_removed(caller, _event, node):
        check_thread("a node was removed from the scene")
        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(caller)
        item = hierarchy.GetItemByDataNode(node) if hierarchy is not None and not caller.IsBatchProcessing() else 0
        if item:
            hierarchy.RemoveItem(item, False, False)

    scene.AddObserver(scene.NodeAddedEvent, on_added)
    scene.AddObserver(scene.NodeAboutToBeRemovedEvent, on_removed)


def install(qt_application) -> Application:
    """Make the scene, the logics and `slicer.app`."""
    scene = slicer.mrmlScene = slicer.vtkMRMLScene()
    slicer.modules = sys.modules["slicer.modules"] = types.ModuleType("slicer.modules")
    slicer.app = Application(qt_application, _application_logic(scene))
    slicer.app._impl.cache = _attach_cache(scene)
    _follow_in_subject_hierarchy(scene)
    return slicer.app
