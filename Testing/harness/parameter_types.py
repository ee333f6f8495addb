"""How parameters of a node wrapper are checked and kept in a vtkMRMLScriptedModuleNode, in Slicer's file format."""

import enum
import pathlib
import types
import typing

import slicer


class Validator:
    """Something in a parameter's annotation that checks values."""

    def validate(self, value) -> None:
        raise NotImplementedError


class WithinRange(Validator):
    def __init__(self, minimum, maximum):
        self.minimum, self.maximum = minimum, maximum

    def validate(self, value) -> None:
        if not self.minimum <= value <= self.maximum:
            raise ValueError(f"Value must be within range [{self.minimum}, {self.maximum}], is {value}")


class Minimum(Validator):
    def __init__(self, minimum):
        self.minimum = minimum

    def validate(self, value) -> None:
        if value < self.minimum:
            raise ValueError(f"Value must be at least {self.minimum}, is {value}")


class Maximum(Validator):
    def __init__(self, maximum):
        self.maximum = maximum

    def validate(self, value) -> None:
        if value > self.maximum:
            raise ValueError(f"Value must be at most {self.maximum}, is {value}")


class Choice(Validator):
    def __init__(self, choices):
        self.choices = list(choices)

    def validate(self, value) -> None:
        if value not in self.choices:
            raise ValueError(f"Value is {value}, but must be one of {self.choices}")


class Exclude(Validator):
    def __init__(self, excludedValues):
        self.excludedValues = list(excludedValues)

    def validate(self, value) -> None:
        if value in self.excludedValues:
            raise ValueError(f"Value must not be {value}")


class Default:
    """The value that a parameter has before anybody sets it: `Default(3)` or `Default(generator=make)`."""

    def __init__(self, value=None, *, generator=None):
        self._value, self._generator = value, generator

    @property
    def value(self):
        return self._generator() if self._generator else self._value


class Decimals:
    """Decimals that the bound spin box or slider shows."""

    def __init__(self, value: int):
        self.value = value


class SingleStep:
    """Step of the bound spin box or slider."""

    def __init__(self, value: float):
        self.value = value


class Parameter:
    """One annotated member: its type, its checks, its default and its place in the node."""

    def __init__(self, name: str, annotation, default: Default | None):
        self.name, self.annotation = name, annotation
        inner, *notes = typing.get_args(typing.Annotated[annotation, None])[:-1]
        members = typing.get_args(inner) if typing.get_origin(inner) in (typing.Union, types.UnionType) else (inner,)
        self.optional = type(None) in members
        kinds = [m for m in members if m is not type(None)]
        if len(kinds) != 1:
            raise TypeError(f"parameter '{name}': unions other than Optional are not in this stand-in")
        self.type, self.notes = kinds[0], notes
        self.is_node = isinstance(self.type, type) and issubclass(self.type, slicer.vtkMRMLNode)
        self.is_enum = isinstance(self.type, type) and issubclass(self.type, enum.Enum)
        if not (self.is_node or self.is_enum or self.type in (str, int, float, bool, pathlib.Path)):
            raise TypeError(f"parameter '{name}': type {self.type} is not in this stand-in")
        unused = [n for n in notes if not isinstance(n, (Validator, Default, Decimals, SingleStep))]
        if unused:
            raise TypeError(f"parameter '{name}': annotations {unused} mean nothing")
        self.default = default or self.note(Default) or Default(self._zero())
        self.check(self.default.value)

    def note(self, kind: type):
        """The first annotation of that class, or None."""
        return next((note for note in self.notes if isinstance(note, kind)), None)

    def _zero(self):
        if self.optional or self.is_node:
            return None
        return next(iter(self.type)) if self.is_enum else self.type()

    def check(self, value) -> None:
        """Raise TypeError or ValueError for a value that the parameter cannot take."""
        if value is None:
            if not (self.optional or self.is_node):
                raise ValueError(f"'{self.name}' must not be None")
            return
        allowed = {float: (int, float), pathlib.Path: pathlib.PurePath}.get(self.type, self.type)
        if not isinstance(value, allowed) or (isinstance(value, bool) and self.type is not bool):
            raise TypeError(f"'{self.name}' must be of type '{self.type}', is type '{type(value)}' value '{value}'")
        for note in self.notes:
            if isinstance(note, Validator):
                note.validate(value)

    # Slicer keeps an Optional under "name.0" (a value) or "name.1" (None), anything else under its name.

    def _keys(self) -> list[str]:
        return [f"{self.name}.0", f"{self.name}.1"] if self.optional else [self.name]

    def is_in(self, node) -> bool:
        return any(node.HasParameter(key) for key in self._keys())

    def remove(self, node) -> None:
        for key in self._keys():
            node.UnsetParameter(key)
            if self.is_node:
                node.RemoveNodeReferenceIDs(key)

    def write(self, node, value) -> None:
        self.check(value)
        with slicer.util.NodeModify(node):
            if self.optional:
                self.remove(node)
                if value is None:
                    node.SetParameter(f"{self.name}.1", "True")
                    return
            key = self._keys()[0]
            if self.is_node:
                node.SetParameter(key, "")
                node.SetNodeReferenceID(key, value.GetID() if value is not None else None)
            else:
                node.SetParameter(key, value.name if self.is_enum else str(value))

    def read(self, node):
        if not self.is_in(node):
            self.write(node, self.default.value)
        if self.optional and node.HasParameter(f"{self.name}.1"):
            return None
        key = self._keys()[0]
        if self.is_node:
            return node.GetNodeReference(key)
        text = node.GetParameter(key)
        if self.is_enum:
            if text not in self.type.__members__:
                raise ValueError(f"Found {text!r} in parameter node but it is not a name in {self.type!r}")
            return self.type[text]
        return text == "True" if self.type is bool else self.type(text)
