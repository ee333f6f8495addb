"""PythonQt's way of speaking to Qt, taught to PySide6.

PythonQt shows Qt properties as plain attributes (`label.text = "x"`, `button.enabled`), knows no keyword constructors,
refuses new attributes on C++ objects and has no Python class hierarchy (`isinstance(button, qt.QWidget)` is False).
`install()` patches PySide6's classes so, for the whole process, and registers the module `qt`.

Stricter than PythonQt: a property of the wrong type raises at once, modal dialogs raise instead of waiting for a user
who is not there, and widgets touched from another thread than the main one raise.
"""

import ctypes
import inspect
import os
import sys
import threading
import types

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

try:
    from PySide6 import QtCore, QtGui, QtUiTools, QtWidgets
except ImportError as error:
    packages = "libegl1 libgl1 libxkbcommon0 libdbus-1-3 libfontconfig1 libglib2.0-0 fonts-dejavu-core"
    raise ImportError(f"Qt cannot start: {error}. Install what it needs: apt-get install -y {packages}") from error

from . import signals

_QT_MODULES = (QtUiTools, QtWidgets, QtGui, QtCore)
_QObject = QtCore.QObject
_ObjectType = type(_QObject)
_ShibokenObject = next(c for c in _QObject.__mro__ if c.__name__ == "Object" and c.__module__ == "Shiboken")

# The originals, kept before anything is patched. CPython forbids QObject's own slot once it is patched: use the base's.
_get_plain = _QObject.__getattribute__
_read_property = _QObject.property
_write_property = _QObject.setProperty
_meta_object = _QObject.metaObject
_call_plain = _ObjectType.__call__

_METHODS = {"connect": signals.connect, "disconnect": signals.disconnect}
_property_cache: dict[tuple[type, str], bool | None] = {}
_accessors: dict[int, tuple] = {}  # PySide6's Property hides its functions from us: id -> (property, read, write)
_loading_ui = 0  # QUiLoader hangs the children on the loaded root as attributes; only then is that allowed


def is_cpp(cls: type) -> bool:
    """Whether the class counts as C++: Qt's own and the stand-ins marked by `cpp_class`."""
    return "_stands_for_cpp_" in cls.__dict__ or (cls.__module__ or "").startswith(("PySide6", "Shiboken"))


def cpp_class(cls: type) -> type:
    """Mark a stand-in written in Python as a C++ class: strict attributes, its state lives in `_impl`."""
    cls._stands_for_cpp_ = True
    return cls


def typed_property(kind: type, read, write=None) -> QtCore.Property:
    """A Qt property that refuses values of another type, as C++ would."""
    accepted = {float: (int, float), int: int, str: str, bool: bool, list: (list, tuple)}[kind]

    def write_checked(self, value):
        if not isinstance(value, accepted) or (kind in (int, float) and isinstance(value, bool)):
            raise TypeError(f"a property of {type(self).__name__} takes {kind.__name__}, got {value!r}")
        write(self, kind(value))

    made = QtCore.Property("QStringList" if kind is list else kind, read, write_checked if write else None)
    _accessors[id(made)] = (made, read, write_checked if write else None)
    return made


def _writable(obj: QtCore.QObject, name: str) -> bool | None:
    """Whether the Qt property can be written; None when there is no such property."""
    key = (type(obj), name)
    if key not in _property_cache:
        meta = _meta_object(obj)
        index = meta.indexOfProperty(name)
        _property_cache[key] = meta.property(index).isWritable() if index >= 0 else None
    return _property_cache[key]


def _static(cls: type, name: str):
    return inspect.getattr_static(cls, name, None)


def check_thread(what: str) -> None:
    """Raise unless this is the main thread, the only one that may touch Qt and MRML."""
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError(f"{what} from the thread '{threading.current_thread().name}': only the main thread may")


def _get(self, name: str):
    """Attribute access: a Qt property gives its value, anything else the method."""
    if name.startswith("_"):
        return _get_plain(self, name)
    check_thread(f"{type(self).__name__}.{name} used")
    if name in _METHODS:
        return types.MethodType(_METHODS[name], self)
    if name == "name" and _static(type(self), "name") is None:
        name = "objectName"
    try:
        is_property = _writable(self, name) is not None
    except RuntimeError:  # not initialised yet, or deleted in C++: let Qt's own message come
        return _get_plain(self, name)
    if not is_property:
        return _get_plain(self, name)
    if name == "toolTip":
        return _wrapped_tooltip(_read_property(self, name))
    attribute = _static(type(self), name)
    if id(attribute) in _accessors:
        return _accessors[id(attribute)][1](self)
    if attribute is None or isinstance(attribute, staticmethod) or name == "singleShot":
        return _read_property(self, name)
    value = _get_plain(self, name)
    return value() if callable(value) else value


def _wrapped_tooltip(text: str) -> str:
    """The application makes plain tooltips rich text, so that Qt wraps their lines, and hands them back like that."""
    return text if not text or text.startswith("<") else f"<p>{text}</p>"


def _set(self, name: str, value) -> None:
    """Attribute assignment: writes a Qt property; on C++ objects nothing else exists."""
    cls = type(self)
    check_thread(f"{cls.__name__}.{name} set")
    if name == "name" and _static(cls, "name") is None:
        name = "objectName"
    try:
        writable = None if name.startswith("_") else _writable(self, name)
    except RuntimeError:
        writable = None
    if writable is not None:
        if not writable:
            raise AttributeError(f"property '{name}' of {cls.__name__} is read-only")
        attribute = _static(cls, name)
        if id(attribute) in _accessors:
            _accessors[id(attribute)][2](self, value)
            return
        setter = getattr(cls, "set" + name[0].upper() + name[1:], None)
        if setter is not None:
            setter(self, value)
        elif not _write_property(self, name, value):
            raise TypeError(f"property '{name}' of {cls.__name__} does not take {value!r}")
        return
    internal = _loading_ui or name.startswith("__") or isinstance(value, QtCore.SignalInstance)
    if is_cpp(cls) and not internal and not (name == "_impl" and not cls.__module__.startswith("PySide6")):
        raise AttributeError(
            f"'{name}' does not exist on {cls.__name__} and new attributes on C++ objects are not allowed"
        )
    _ShibokenObject.__setattr__(self, name, value)


def _isinstance(cls: type, obj) -> bool:
    """PythonQt's classes do not inherit from one another: only the object's own C++ class answers True."""
    for base in type(obj).__mro__:
        if base is cls:
            return True
        if is_cpp(base):
            return False
    return False


def _construct(cls: type, *args, **keywords):
    if keywords and is_cpp(cls):
        raise TypeError(f"{cls.__name__}() takes no keyword arguments in PythonQt: got {', '.join(keywords)}")
    return _call_plain(cls, *args, **keywords)


def _refuse_modal(self, *_args):
    raise AssertionError(
        f"{type(self).__name__}.exec would wait for a user: use slicer.util's displays, or show() the dialog"
    )


class _LoadingUi:
    """While a .ui file is read, PySide6 may hang attributes on the widgets that it makes."""

    def __enter__(self):
        global _loading_ui
        _loading_ui += 1

    def __exit__(self, *_error):
        global _loading_ui
        _loading_ui -= 1


loading_ui = _LoadingUi()


def _patch_classes() -> None:
    for module in _QT_MODULES:
        for name in dir(module):
            cls = getattr(module, name)  # asking makes PySide6 create its lazy classes
            if not isinstance(cls, type) or not issubclass(cls, _QObject) or cls is _QObject:
                continue
            if "__setattr__" in cls.__dict__:  # each PySide6 class carries a slot of its own
                cls.__setattr__ = _set
    _QObject.__getattribute__, _QObject.__setattr__ = _get, _set
    QtCore.QProcess.__getattribute__ = _get  # which has a slot of its own, for methods that are also static
    _QObject.className = lambda self: _meta_object(self).className()
    QtWidgets.QDialog.exec = QtWidgets.QDialog.exec_ = _refuse_modal
    _ObjectType.__instancecheck__, _ObjectType.__call__ = _isinstance, _construct


def _keep_singletons_alive() -> None:
    """PySide6 6.12.0 gives None, True and False one reference too few back at each call, and before Python 3.12, where
    they became immortal, the interpreter aborts when none is left (6.11.3 is sound). Give them more than can be lost.
    """
    if sys.version_info < (3, 12):
        for singleton in (None, True, False):
            ctypes.c_ssize_t.from_address(id(singleton)).value += 1 << 40


def _qt_module() -> types.ModuleType:
    from .ui_loader import UiLoader

    qt = types.ModuleType("qt", "Qt as PythonQt shows it: one flat module.")
    for module in _QT_MODULES:
        for name in dir(module):
            if name.startswith("Q"):  # Signal, Slot, Property and the like are PySide6's, not PythonQt's
                setattr(qt, name, getattr(module, name))
    qt.QUiLoader = UiLoader
    return qt


def install() -> types.ModuleType:
    """Patch PySide6 once and return the module `qt`, which is then importable."""
    if "qt" not in sys.modules:
        _keep_singletons_alive()
        _patch_classes()
        sys.modules["qt"] = _qt_module()
    return sys.modules["qt"]
