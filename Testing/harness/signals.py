"""PythonQt's `object.connect("clicked(bool)", callable)`: the C++ signature must exist, letter by letter.

A callable gets as many of the signal's arguments as it takes, as in PythonQt. Signals of the stand-ins that carry MRML
objects are declared by the class attribute `_signatures_`: C++ signature -> (Python signal, conversion of arguments).
"""

import types

import shiboken6
from PySide6 import QtCore

_meta_object = QtCore.QObject.metaObject
_get_plain = QtCore.QObject.__getattribute__
_Signal = QtCore.QMetaMethod.MethodType.Signal
_connections: dict[int, list[tuple[str, object, object]]] = {}  # C++ address -> (signature, callable, what Qt calls)


def signatures(obj: QtCore.QObject) -> list[str]:
    """All signals of an object as C++ writes them, default arguments left out included."""
    meta = _meta_object(obj)
    methods = (meta.method(i) for i in range(meta.methodCount()))
    found = [bytes(m.methodSignature().data()).decode() for m in methods if m.methodType() == _Signal]
    return [s for s in found if "PyObject" not in s] + list(getattr(type(obj), "_signatures_", {}))


def _arguments(signature: str) -> list[str]:
    inside = signature.partition("(")[2].rstrip(")")
    return inside.split(",") if inside else []


def _arity(function) -> int | None:
    """Positional parameters a Python function takes, or None when it takes any number or does not say."""
    code = getattr(getattr(function, "__func__", function), "__code__", None)
    if code is None or code.co_flags & 0x04:
        return None
    return code.co_argcount - isinstance(function, types.MethodType)


def _signal(obj: QtCore.QObject, signature: str):
    """The bound signal for an exact signature and the conversion of its arguments."""
    if not isinstance(signature, str) or signature not in signatures(obj):
        name = str(signature).partition("(")[0]
        alike = [s for s in signatures(obj) if s.partition("(")[0].lower() == name.lower()]
        hint = f"did you mean {' or '.join(alike)}?" if alike else "it has no signal of that name"
        raise ValueError(f"{type(obj).__name__} has no signal '{signature}': {hint}")
    declared = getattr(type(obj), "_signatures_", {})
    if signature in declared:
        name, convert = declared[signature]
        return _get_plain(obj, name), convert
    bound = _get_plain(obj, signature.partition("(")[0])
    overloads = [s for s in signatures(obj) if s.partition("(")[0] == signature.partition("(")[0] and _arguments(s)]
    if len(overloads) > 1 and _arguments(signature):
        bound = bound[",".join(_arguments(signature))]
    return bound, None


def _adapter(function, count: int, convert):
    arity = _arity(function)
    count = count if arity is None else min(count, arity)
    convert = convert or (lambda argument: argument)
    if count == 0:  # PySide6 looks at the parameters that a slot names, so they are spelled out
        return lambda: function()
    if count == 1:
        return lambda a: function(convert(a))
    return lambda a, b, *more: function(*map(convert, (a, b, *more)))


def connect(self, signature, target, slot=None) -> bool:
    """`obj.connect("signal(type)", callable)` or `obj.connect("signal(type)", receiver, "slot(type)")`."""
    if not isinstance(signature, str) or signature[:1] == "2":  # PySide6's own machinery calling back
        rest = (target,) if slot is None else (target, slot)
        return _get_plain(self, "connect")(signature, *rest)
    if slot is not None:
        target = getattr(target, slot.partition("(")[0])
    if not callable(target):
        raise TypeError(f"connect('{signature}') needs a callable, got {target!r}")
    bound, convert = _signal(self, signature)
    called = _adapter(target, len(_arguments(signature)), convert)
    bound.connect(called)
    address = shiboken6.getCppPointer(self)[0]
    if address not in _connections:
        _get_plain(self, "destroyed").connect(lambda *_: _connections.pop(address, None))
    _connections.setdefault(address, []).append((signature, target, called))
    return True


def disconnect(self, signature=None, target=None) -> bool:
    """Undo `connect`; False when there was no such connection."""
    if not isinstance(signature, str) or signature[:1] == "2":
        rest = tuple(a for a in (signature, target) if a is not None)
        return _get_plain(self, "disconnect")(*rest)
    bound, _ = _signal(self, signature)
    held = _connections.get(shiboken6.getCppPointer(self)[0], [])
    gone = [c for c in held if c[0] == signature and (target is None or c[1] == target)]
    for connection in gone:
        bound.disconnect(connection[2])
        held.remove(connection)
    return bool(gone)
