"""`slicer.ScriptedLoadableModule`, `slicer.i18n` and `SampleData`: the Python side of a module's frame."""

import os
import sys
import types
import unittest

import slicer


class ScriptedLoadableModule:
    """Base of the module class: fills the parent's fields with Slicer's defaults."""

    def __init__(self, parent):
        super().__init__()
        self.parent, self.moduleName = parent, type(self).__name__
        parent.title, parent.helpText, parent.acknowledgementText = "", "", ""
        parent.categories, parent.dependencies, parent.contributors = [], [], []
        if not hasattr(slicer, "selfTests"):
            slicer.selfTests = {}
        slicer.selfTests[self.moduleName] = self.runTest

    def resourcePath(self, filename: str) -> str:
        return os.path.join(os.path.dirname(self.parent.path), "Resources", filename)

    def getDefaultModuleDocumentationLink(self, docPage: str | None = None) -> str:
        base = slicer.app.documentationBaseUrl
        url = base + docPage if docPage else slicer.app.moduleDocumentationUrl(self.moduleName)
        return f'<p>For more information, see the <a href="{url}">online documentation</a>.</p>'

    def runTest(self, msec: int = 100, **keywords) -> None:
        test = getattr(sys.modules[type(self).__module__], f"{self.moduleName}Test")()
        test.messageDelay = msec
        test.runTest(**keywords)


class ScriptedLoadableModuleWidget:
    """Base of the module's panel."""

    def __init__(self, parent=None):
        super().__init__()
        if parent is None:
            raise TypeError("a module's widget gets its parent from the module manager")
        self.moduleName = type(self).__name__.removesuffix("Widget")
        self.developerMode = False
        self.parent, self.layout = parent, parent.layout()
        slicer.app.moduleManager().connect("moduleAboutToBeUnloaded(QString)", self._onModuleAboutToBeUnloaded)

    def resourcePath(self, filename: str) -> str:
        folder = os.path.dirname(slicer.util.modulePath(self.moduleName))
        return os.path.join(folder, "Resources", filename)

    def setup(self) -> None:
        pass

    def cleanup(self) -> None:
        pass

    def _onModuleAboutToBeUnloaded(self, name: str) -> None:
        if name == self.moduleName:
            self.cleanup()
            slicer.app.moduleManager().disconnect("moduleAboutToBeUnloaded(QString)", self._onModuleAboutToBeUnloaded)


class ScriptedLoadableModuleLogic:
    """Base of the module's logic: finds or makes the parameter node."""

    def __init__(self, parent=None):
        super().__init__()
        self.moduleName = type(self).__name__.removesuffix("Logic")
        self.isSingletonParameterNode = True

    def getParameterNode(self):
        if self.isSingletonParameterNode:
            node = slicer.mrmlScene.GetSingletonNode(self.moduleName, "vtkMRMLScriptedModuleNode")
            if node is not None and node.GetAttribute("ModuleName") != self.moduleName:
                node.SetAttribute("ModuleName", self.moduleName)  # closing a scene may have wiped it
        else:
            node = next(iter(self.getAllParameterNodes()), None)
        return node if node is not None else slicer.mrmlScene.AddNode(self.createParameterNode())

    def getAllParameterNodes(self) -> list:
        nodes = slicer.util.getNodesByClass("vtkMRMLScriptedModuleNode")
        return [node for node in nodes if node.GetAttribute("ModuleName") == self.moduleName]

    def createParameterNode(self):
        node = slicer.mrmlScene.CreateNodeByClass("vtkMRMLScriptedModuleNode")
        node.UnRegister(None)
        if self.isSingletonParameterNode:
            node.SetSingletonTag(self.moduleName)
        node.SetAttribute("ModuleName", self.moduleName)
        node.SetName(slicer.mrmlScene.GenerateUniqueName(self.moduleName))
        return node


class ScriptedLoadableModuleTest(unittest.TestCase):
    """Base of the module's self-test."""

    messageDelay = 100

    def runTest(self) -> None:
        pass

    def delayDisplay(self, message: str, requestedDelay: int | None = None, msec: int | None = None) -> None:
        slicer.util.delayDisplay(message, msec or requestedDelay or self.messageDelay)


class SampleDataLogic:
    """Keeps what modules register where Slicer keeps it, `slicer.modules.sampleDataSources`; downloads nothing."""

    @staticmethod
    def registerCustomSampleDataCategory(category: str, title: str) -> None:
        _attribute(slicer.modules, "sampleDataSourceCategories").setdefault(category, {})["title"] = title

    @staticmethod
    def registerCustomSampleDataSource(
        category="Custom",
        sampleName=None,
        uris=None,
        fileNames=None,
        nodeNames=None,
        customDownloader=None,
        thumbnailFileName=None,
        loadFileTypes=None,
        loadFiles=None,
        loadFileProperties=None,
        checksums=None,
        loadFileType=None,
    ) -> None:
        source = types.SimpleNamespace(**locals())
        files = [getattr(source, name) for name in ("uris", "fileNames", "nodeNames", "checksums")]
        numbers = {len(f) if isinstance(f, (list, tuple)) else 1 for f in files if f is not None}
        if len(numbers) > 1:
            raise ValueError(f"sample '{sampleName}': uris, fileNames, nodeNames and checksums differ in number")
        _attribute(slicer.modules, "sampleDataSources").setdefault(category, []).append(source)


def _attribute(holder, name: str) -> dict:
    if not hasattr(holder, name):
        setattr(holder, name, {})
    return getattr(holder, name)


def _register(name: str, **contents) -> None:
    module = types.ModuleType(name)
    vars(module).update(contents)
    sys.modules[name] = module
    parent, _, child = name.rpartition(".")
    if parent:
        setattr(slicer, child, module)


def install() -> None:
    """Make `slicer.ScriptedLoadableModule`, `slicer.i18n` and `SampleData` importable."""
    classes = {
        cls.__name__: cls
        for cls in (
            ScriptedLoadableModule,
            ScriptedLoadableModuleWidget,
            ScriptedLoadableModuleLogic,
            ScriptedLoadableModuleTest,
        )
    }
    _register("slicer.ScriptedLoadableModule", __all__=list(classes), **classes)
    _register("slicer.i18n", tr=lambda text: text, translate=lambda context, text: text)
    _register("SampleData", SampleDataLogic=SampleDataLogic)
