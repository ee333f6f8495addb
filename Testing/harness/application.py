"""Starts the stand-in application: Qt with looks that do not depend on the machine, then the scene and the modules."""

import atexit
import functools
import tempfile
from collections.abc import Callable

from . import pythonqt

# What MRML reports because no plug-in of the application restores the subject hierarchy of a scene that was loaded.
_HIERARCHY = ("ResolveSubjectHierarchy", "ResolveUnresolvedItems", "Unable to resolve subject hierarchy")
_NOISE = ("propagateSizeHints",)  # said by Qt's off-screen platform whenever a window is sized


@functools.cache
def start():
    """Install everything once; returns (slicer.app, recorded messages, fake package installer)."""
    qt = pythonqt.install()
    application = _qt_application(qt)

    from . import ctk, messages, qmrml

    ctk.install()
    qmrml.install()

    from . import event_loop, packages, parameter_node_wrapper, scripted_module, slicer_app

    app = slicer_app.install(application)
    event_loop.install()
    scripted_module.install()
    parameter_node_wrapper.install()

    from . import module_loader

    module_loader.install()
    recorded = messages.Messages()
    recorded.install()
    return app, recorded, packages.install()


def _qt_application(qt):
    application = qt.QApplication.instance() or qt.QApplication(["Slicer"])
    application.setOrganizationName("harness")
    application.setApplicationName("Slicer")
    qt.QSettings.setDefaultFormat(qt.QSettings.IniFormat)
    qt.QSettings.setPath(qt.QSettings.IniFormat, qt.QSettings.UserScope, tempfile.mkdtemp(prefix="harness-settings-"))
    application.setStyle("Fusion")
    application.setFont(_font(qt))
    return application


def on_qt_warning(report: Callable[[str], None]) -> None:
    """Hand Qt's own warnings (timers in the wrong thread, bad layouts, ...) to `report`."""
    from PySide6 import QtCore

    quiet = (QtCore.QtMsgType.QtDebugMsg, QtCore.QtMsgType.QtInfoMsg)

    def handle(kind, _context, text: str) -> None:
        if kind not in quiet and not any(noise in text for noise in _NOISE):
            report(text)

    QtCore.qInstallMessageHandler(handle)
    atexit.register(QtCore.qInstallMessageHandler, None)


def on_vtk_message(report: Callable[[str], None]) -> None:
    """Hand the errors and warnings of VTK (and so of MRML) to `report`; they are printed as well."""
    import vtk

    @vtk.calldata_type(vtk.VTK_STRING)
    def handle(_window, _event, text) -> None:
        if not any(name in str(text) for name in _HIERARCHY):
            report(str(text).strip())

    window = vtk.vtkOutputWindow.GetInstance()
    for event in ("ErrorEvent", "WarningEvent"):
        window.AddObserver(event, handle)


def _font(qt):
    """DejaVu Sans 9 pt: from the system, else the copy that matplotlib carries; without a font Qt draws no text."""
    if "DejaVu Sans" not in qt.QFontDatabase.families():
        import matplotlib

        path = f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans.ttf"
        if qt.QFontDatabase.addApplicationFont(path) < 0:
            raise RuntimeError("Qt finds no font to draw text with: apt-get install -y fonts-dejavu-core")
    return qt.QFont("DejaVu Sans", 9)
