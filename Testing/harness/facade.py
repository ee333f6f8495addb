"""The harness as tests and tools use it: one object with readable verbs."""

import contextlib
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

from . import application, event_loop, inspection, screenshots
from .module_loader import LoadedModule

DOUBLE_CLICK_S = 0.55  # clicks that are farther apart are two clicks
PANEL_WIDTH = 420  # points; Slicer's module panel starts at about this width


class Harness:
    """A running stand-in for the Slicer application. There is one a process; making another gives the same Qt."""

    def __init__(self):
        self.app, self.messages, self.packages = application.start()
        self.modules: list[LoadedModule] = []
        self.slot_errors: list[BaseException] = []
        self._expecting = 0
        self._last_click: tuple[object, float] = (None, 0.0)
        # Qt, VTK and threads have nobody to hand an exception to: they all end in these hooks.
        sys.excepthook = lambda kind, error, trace: self._on_slot_error(error)
        threading.excepthook = lambda args: self._on_slot_error(args.exc_value)
        application.on_qt_warning(lambda text: self._on_slot_error(RuntimeWarning(f"Qt: {text}")))
        application.on_vtk_message(lambda text: self._on_slot_error(RuntimeWarning(f"VTK: {text}")))

    def _on_slot_error(self, error: BaseException) -> None:
        traceback.print_exception(error)
        self.slot_errors.append(error)

    # Modules

    def start_with(self, path: str | Path) -> LoadedModule:
        """What Slicer does with a scripted module's file when it starts: it loads it, and makes no panel yet."""
        module = LoadedModule(path)
        self.modules.append(module)
        return module

    def open(self, module: LoadedModule) -> None:
        """The user opens the module for the first time."""
        module.open()
        module.panel.resize(PANEL_WIDTH, 600)
        module.panel.show()
        self.process_events()

    def load(self, path: str | Path) -> LoadedModule:
        """Load a scripted module's file and open its panel."""
        module = self.start_with(path)
        self.open(module)
        return module

    def unload_all(self) -> None:
        """Close all modules, as Slicer does when it quits."""
        while self.modules:
            self.modules.pop().unload()
        self.process_events()

    # The scene

    @property
    def scene(self):
        import slicer

        return slicer.mrmlScene

    def new_scene(self) -> None:
        """File > Close Scene."""
        self.scene.Clear(False)
        self.process_events()

    def empty_scene(self) -> None:
        """As after a fresh start: closed, and without the parameter nodes that closing keeps."""
        import slicer

        self.new_scene()
        for node in slicer.util.getNodesByClass("vtkMRMLScriptedModuleNode"):
            self.scene.RemoveNode(node)
        self.process_events()

    def save_scene(self, path: str | Path) -> Path:
        """Save as .mrb (everything) or .mrml (the scene alone)."""
        import slicer

        if not slicer.util.saveScene(str(path), {}):
            raise OSError(f"the scene cannot be saved to {path}")
        return Path(path)

    def load_scene(self, path: str | Path) -> None:
        """Close the scene and open this one."""
        import slicer

        self.new_scene()
        slicer.util.loadScene(str(path), {})
        self.process_events()

    # The user

    def click(self, button) -> None:
        """Press a button as a user can: it must be visible and enabled, and two clicks on it are no double-click."""
        self.pause_between_clicks(button)
        self._press(button)

    def double_click(self, button) -> None:
        """Press a button twice in quick succession."""
        self.pause_between_clicks(button)
        self._press(button)
        if button.enabled:
            self._press(button)

    def pause_between_clicks(self, button) -> None:
        """Let time pass until another click on `button` is no double-click."""
        clicked, when = self._last_click
        left = DOUBLE_CLICK_S - (time.monotonic() - when)
        if clicked is button and left > 0:
            self.run_for(left)

    def _press(self, button) -> None:
        if not button.enabled:
            raise AssertionError(f"the button '{button.text}' is disabled: {button.toolTip or 'it has no tooltip'}")
        if not button.isVisibleTo(button.window()):
            raise AssertionError(f"the button '{button.text}' is hidden")
        self._last_click = button, time.monotonic()
        button.click()
        self.process_events()

    def choose(self, combo, text: str) -> None:
        """Pick an item of a combo box or node selector by its text, as a user does: it must be there and enabled."""
        combo = getattr(getattr(combo, "_impl", None), "combo", combo)
        row = combo.findText(text)
        item = combo.model().item(row) if row >= 0 and hasattr(combo.model(), "item") else None
        if row < 0 or (item is not None and not item.isEnabled()):
            texts = [combo.itemText(i) for i in range(combo.count)]
            raise AssertionError(f"'{text}' cannot be chosen in '{combo.objectName}': it has {texts}")
        combo.setCurrentIndex(row)
        combo.activated.emit(row)
        self.process_events()

    # Time

    def process_events(self) -> None:
        event_loop.process_events()

    def wait(self, condition: Callable[[], object], timeout: float = 10.0, why: str = "") -> float:
        """Let Qt run until the condition holds; the seconds it took, or TimeoutError. A slot's error ends the wait."""
        known = len(self.slot_errors)

        def failed() -> bool:
            return len(self.slot_errors) > known and not self._expecting

        took = event_loop.wait(lambda: condition() or failed(), timeout, why)
        if failed() and not condition():
            raise AssertionError(f"a slot failed while waiting: {self.slot_errors[-1]!r}")
        return took

    def run_for(self, seconds: float) -> None:
        event_loop.run_for(seconds)

    def hold_gil(self):
        """`with harness.hold_gil():` Qt idles with Python's lock held, as in the real application."""
        return event_loop.hold_gil()

    # Errors

    @contextlib.contextmanager
    def expect_error(self, kind: type[BaseException], text: str = "") -> Iterator[None]:
        """Within the block slots must raise this error; it then no longer fails the test."""
        known = len(self.slot_errors)
        self._expecting += 1
        try:
            yield
        finally:
            self._expecting -= 1
        new = self.slot_errors[known:]
        expected = [e for e in new if issubclass(type(e), kind) and text in str(e)]
        if not expected:
            raise AssertionError(f"expected {kind.__name__} with '{text}' in a slot, got {new or 'none'}")
        self.slot_errors[known:] = [e for e in new if not any(e is one for one in expected)]

    # What the panel looks like

    clipped_texts = staticmethod(inspection.clipped_texts)
    loose_texts = staticmethod(inspection.loose_texts)
    tab_order = staticmethod(inspection.tab_order)
    unlabelled = staticmethod(inspection.unlabelled)
    inputs = staticmethod(inspection.inputs)
    larger_text = staticmethod(screenshots.larger_text)

    def fit_panel(self, module: LoadedModule | None = None, width: int = PANEL_WIDTH) -> None:
        """Make the panel as high as it wants to be at this width."""
        screenshots.fit_panel((module or self.modules[-1]).panel, width)

    def grab_panel(self, path: str | Path, scale: float = 1.0, module: LoadedModule | None = None) -> Path:
        """Save a picture of the panel; `scale` 1.5 is a screen at 150 %."""
        self.fit_panel(module)
        return screenshots.save(screenshots.render((module or self.modules[-1]).panel, scale), path)

    def grab_views(self, path: str | Path, scale: float = 1.0, module: LoadedModule | None = None) -> Path:
        """Save a picture of the panel beside the three slice views."""
        self.fit_panel(module)
        return screenshots.save(screenshots.with_views((module or self.modules[-1]).panel, scale), path)

    def view(self, name: str = "Red"):
        """One slice view: `.logic`, `.node`, `.image()`, `.grab(path)`."""
        return self.app.layoutManager().sliceWidget(name)
