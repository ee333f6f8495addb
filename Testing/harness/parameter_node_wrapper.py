"""A small stand-in for `slicer.parameterNodeWrapper`: typed parameters in a MRML node, bound to widgets.

Same names, same format in the scene file. Left out (they raise): lists, tuples, dicts, unions, colours, packs.
Stricter: a mistyped attribute of a wrapper raises instead of being kept aside, and so do meaningless annotations.
"""

import sys
import types
import typing

import qt
import slicer

from . import gui_connectors, parameter_types
from .parameter_types import Default, Parameter

PARAMETER_PROPERTY = "SlicerParameterName"


class _Wrapper:
    """What the decorator gives a class: properties for the parameters, and the binding to widgets."""

    allParameters: dict[str, Parameter]
    _is_parameter_node_wrapper = True

    def __init__(self, parameterNode):
        if parameterNode is None:
            raise ValueError("a parameter node wrapper needs a vtkMRMLScriptedModuleNode, got None")
        fields = dict(parameterNode=parameterNode, _guis={}, _next_tag=0, _updating=False)
        vars(self).update(fields)
        for parameter in self.allParameters.values():
            if not parameter.is_in(parameterNode):
                parameter.write(parameterNode, parameter.default.value)

    def __setattr__(self, name: str, value) -> None:
        if name not in self.allParameters:
            raise AttributeError(f"{type(self).__name__} has no parameter '{name}': it has {list(self.allParameters)}")
        self.setValue(name, value)

    def _parameter(self, name: str) -> Parameter:
        if name not in self.allParameters:
            raise ValueError(f"Cannot find a param with the given name: {name}, found {list(self.allParameters)}")
        return self.allParameters[name]

    def getValue(self, name: str):
        return self._parameter(name).read(self.parameterNode)

    def setValue(self, name: str, value) -> None:
        self._parameter(name).write(self.parameterNode, value)

    def default(self, name: str) -> Default:
        return self._parameter(name).default

    @classmethod
    def dataType(cls, name: str):
        return cls.allParameters[name].annotation

    def isCached(self, name: str) -> bool:
        self._parameter(name)
        return False

    # Binding to widgets

    def connectGui(self, gui) -> int:
        """Bind every widget with the property SlicerParameterName: children of a widget, or attributes of `ui`."""
        is_widget = getattr(gui, "isWidgetType", lambda: False)()
        widgets = gui.findChildren(qt.QWidget) if is_widget else vars(gui).values()
        named = [(w.property(PARAMETER_PROPERTY), w) for w in widgets if hasattr(w, "property")]
        return self.connectParametersToGui({name: widget for name, widget in named if name})

    def connectParametersToGui(self, mapping: dict) -> int:
        connectors = {n: gui_connectors.make_connector(w, self._parameter(n)) for n, w in mapping.items()}
        for name, connector in connectors.items():
            connector.write(self.getValue(name))
            connector.follow(lambda name=name, connector=connector: self._on_widget(name, connector))
        tag = self._next_tag
        observer = self.AddObserver("ModifiedEvent", lambda caller, event: self._update_widgets())
        vars(self)["_next_tag"] = tag + 1
        self._guis[tag] = (connectors, observer)
        return tag

    def disconnectGui(self, tag: int) -> None:
        connectors, observer = self._guis.pop(tag, ({}, None))
        for connector in connectors.values():
            connector.follow(None)
        if observer is not None:
            self.RemoveObserver(observer)

    def _on_widget(self, name: str, connector) -> None:
        if not self._updating:
            self.setValue(name, connector.read())

    def _update_widgets(self) -> None:
        if self._updating:
            return
        vars(self)["_updating"] = True
        try:
            for connectors, _ in list(self._guis.values()):
                for name, connector in connectors.items():
                    connector.write(self.getValue(name))
        finally:
            vars(self)["_updating"] = False

    # The node itself

    def StartModify(self):
        return self.parameterNode.StartModify()

    def EndModify(self, wasModified):
        return self.parameterNode.EndModify(wasModified)

    def AddObserver(self, event, callback, priority: float = 0.0) -> int:
        return self.parameterNode.AddObserver(event, callback, priority)

    def RemoveObserver(self, tag: int) -> None:
        self.parameterNode.RemoveObserver(tag)

    def Modified(self) -> None:
        self.parameterNode.Modified()


def _member(parameter: Parameter) -> property:
    return property(
        lambda self: self.getValue(parameter.name), lambda self, value: self.setValue(parameter.name, value)
    )


def parameterNodeWrapper(classtype: type | None = None):
    """Class decorator; also usable as `@parameterNodeWrapper()`."""
    if classtype is None:
        return parameterNodeWrapper
    parameters = {}
    for name, annotation in typing.get_type_hints(classtype, include_extras=True).items():
        if hasattr(_Wrapper, name):
            raise ValueError(f"Cannot use reserved name '{name}' in a parameterNodeWrapper")
        given = Default(getattr(classtype, name)) if hasattr(classtype, name) else None
        parameters[name] = Parameter(name, annotation, given)
    own = {k: v for k, v in vars(classtype).items() if k not in ("__dict__", "__weakref__", "__annotations__")}
    members = {name: _member(parameter) for name, parameter in parameters.items()}
    return type(classtype.__name__, (_Wrapper,), own | members | {"allParameters": parameters})


def findChildWidgetForParameter(widget, parameter: str):
    children = widget.findChildren(qt.QWidget)
    return next((child for child in children if child.property(PARAMETER_PROPERTY) == parameter), None)


def isParameterNodeWrapper(obj) -> bool:
    return getattr(obj, "_is_parameter_node_wrapper", False)


def install() -> None:
    """Make `slicer.parameterNodeWrapper` importable."""
    public = {
        "parameterNodeWrapper": parameterNodeWrapper,
        "findChildWidgetForParameter": findChildWidgetForParameter,
        "isParameterNodeWrapper": isParameterNodeWrapper,
        "SlicerParameterNamePropertyName": PARAMETER_PROPERTY,
    }
    for name in ("Choice", "Decimals", "Default", "Exclude", "Maximum", "Minimum", "SingleStep", "Validator",
                 "WithinRange"):  # fmt: skip
        public[name] = getattr(parameter_types, name)
    module = types.ModuleType("slicer.parameterNodeWrapper")
    vars(module).update(public, __all__=list(public))
    sys.modules["slicer.parameterNodeWrapper"] = slicer.parameterNodeWrapper = module
