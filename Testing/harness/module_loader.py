"""Loads a scripted module's file as Slicer does: module, logic, panel, and all of it away again."""

import importlib.util
import sys
import types
from pathlib import Path

import shiboken6
import slicer
from PySide6 import QtGui, QtWidgets

from . import signals
from .idioms import check_idioms
from .pythonqt import cpp_class, typed_property
from .qmrml import qMRMLWidget

_FIELDS = {
    "title": str, "categories": list, "dependencies": list, "contributors": list, "helpText": str,
    "acknowledgementText": str, "icon": QtGui.QIcon, "hidden": bool, "index": int, "associatedNodeTypes": list,
}  # fmt: skip


class ScriptedModule:
    """The C++ side of a module (`slicer.modules.multicontrastsr`): fields of fixed names and types."""

    def __init__(self, path: Path):
        vars(self).update(path=str(path), name=path.stem, icon=QtGui.QIcon(), _panel=None)

    def __setattr__(self, field: str, value) -> None:
        kind = _FIELDS.get(field)
        if kind is None:
            raise AttributeError(f"a module has no field '{field}': it has {', '.join(_FIELDS)}")
        if not isinstance(value, kind):
            raise TypeError(f"the module's field '{field}' is a {kind.__name__}, got {value!r}")
        vars(self)[field] = value

    def widgetRepresentation(self) -> "qSlicerScriptedLoadableModuleWidget":
        return self._panel

    def logic(self):
        return getattr(self._panel.self(), "logic", None)


@cpp_class
class qSlicerScriptedLoadableModuleWidget(qMRMLWidget):
    """The frame that holds a module's panel and calls its Python methods."""

    isEntered = typed_property(bool, lambda self: self._impl.entered)

    def self(self):
        return self._impl.python

    def reload(self) -> None:
        """Make the Python widget anew from the module in sys.modules, as Slicer's Reload button does."""
        entered = self._impl.entered
        _make_widget(self, self._impl.module_name)
        if entered:
            self._enter()

    def _enter(self) -> None:
        self._impl.entered = True
        if hasattr(self._impl.python, "enter"):
            self._impl.python.enter()

    def _exit(self) -> None:
        if hasattr(self._impl.python, "exit"):
            self._impl.python.exit()
        self._impl.entered = False


def _make_widget(panel: qSlicerScriptedLoadableModuleWidget, name: str) -> None:
    widget = getattr(sys.modules[name], f"{name}Widget")(panel)
    panel._impl.python = widget
    setattr(slicer.modules, f"{name}Widget", widget)
    widget.setup()


def _import(name: str, path: Path) -> types.ModuleType:
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location(name, path)
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class LoadedModule:
    """A module that the application knows, and, once opened, `widget` (its Python panel), `ui`, `logic`, `panel` (Qt's
    frame); `info` has title, help, ...
    """

    def __init__(self, path: str | Path):
        path = Path(path).resolve()
        self.path, self.name = path, path.stem
        check_idioms(path.parent)
        python = _import(self.name, path)
        self.info = ScriptedModule(path)
        setattr(slicer.modules, self.name.lower(), self.info)
        self.instance = getattr(python, self.name)(self.info)
        setattr(slicer.modules, f"{self.name}Instance", self.instance)
        slicer.app.startupCompleted.emit()  # Slicer says so once, when all modules are there
        signals.disconnect(slicer.app, "startupCompleted()")

    def open(self) -> None:
        """The user opens the module for the first time: Slicer makes its panel."""
        panel = qSlicerScriptedLoadableModuleWidget()
        vars(panel._impl).update(entered=False, python=None, module_name=self.name)
        panel.setLayout(QtWidgets.QVBoxLayout())
        panel.setMRMLScene(slicer.mrmlScene)
        vars(self.info)["_panel"] = panel
        _make_widget(panel, self.name)
        self.enter()

    @property
    def python(self) -> types.ModuleType:
        """The imported module file; after a reload the new one."""
        return sys.modules[self.name]

    @property
    def panel(self) -> qSlicerScriptedLoadableModuleWidget:
        return self.info.widgetRepresentation()

    @property
    def widget(self):
        return self.panel.self()

    @property
    def ui(self):
        return self.widget.ui

    @property
    def logic(self):
        return self.widget.logic

    def enter(self) -> None:
        """The user comes back to the module."""
        self.panel._enter()

    def exit(self) -> None:
        """The user goes to another module."""
        self.panel._exit()

    def reload(self) -> None:
        """The developer's Reload button: Slicer's own `reloadScriptedModule`."""
        slicer.util.reloadScriptedModule(self.name)

    def unload(self) -> None:
        """Slicer closes: cleanup is called and the panel destroyed."""
        panel = self.panel
        if panel is not None and panel.isEntered:
            self.exit()
        slicer.app.moduleManager().moduleAboutToBeUnloaded.emit(self.name)
        if panel is not None:
            shiboken6.delete(panel)
        for name in (self.name.lower(), f"{self.name}Widget", f"{self.name}Instance"):
            vars(slicer.modules).pop(name, None)
        vars(slicer.modules).pop("sampleDataSources", None)
        del sys.modules[self.name]


def install() -> None:
    slicer.qSlicerScriptedLoadableModuleWidget = qSlicerScriptedLoadableModuleWidget
    slicer.qSlicerScriptedLoadableModule = ScriptedModule
