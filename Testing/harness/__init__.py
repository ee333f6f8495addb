"""A small Slicer application made of PySide6 and slicer-core, to run scripted modules for real without the desktop.

The MRML scene, the logics, storage and slice rendering are Slicer's own (the `slicer-core` wheel). What only the
application has (PythonQt, CTK and qMRML widgets, `slicer.app`, parameter node wrappers) is stood in for here, written
to be at least as strict as the real thing, so that what passes here has a fair chance to pass there.

    from harness import Harness

    harness = Harness()
    module = harness.load("MultiContrastSR/MultiContrastSR.py")
    harness.click(module.ui.applyButton)
    harness.wait(lambda: module.ui.applyButton.text == "Apply", timeout=10)
    harness.grab_views("panel-and-views.png")

Where it is stricter than the application: signal signatures, property types, attributes and .ui properties must exist;
modal dialogs, scoped enums, Qt or MRML from a worker thread, errors and warnings of Qt and VTK, and unhandled errors
fail the test.
Where it knows less: no 3-D view, no menus or toolbars, no CLI modules, no translation; subject hierarchy items are made
and removed but no plug-in owns them; a saved hierarchy is not always restored; looks are Fusion's, not Slicer's.
"""


def __getattr__(name: str):
    # Importing the facade starts to change PySide6; tools that only ask about the machine must not trigger that.
    if name == "Harness":
        from .facade import Harness

        return Harness
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
