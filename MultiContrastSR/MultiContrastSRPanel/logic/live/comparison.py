"""A finished result beside its target: two linked views, with the keys of live zoom in the right one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import slicer

from ..library import library
from .annotations import ViewAnnotations
from .compare_layout import LEFT, RIGHT, CompareLayout
from .display_options import DisplayOptions
from .layers import SUPPORTED
from .slice_view import LiveSliceView
from .view_session import ViewSession


@dataclasses.dataclass(frozen=True)
class ResultFrame:
    """The pixels of the right view: the result, and what it adds to the target as Slicer interpolates it."""

    grid: Any
    array: np.ndarray
    difference: np.ndarray


class Comparison(ViewSession):
    """Shows target and result side by side, with frames in the right view. Main thread only.

    Args:
        result: a node that was made by this module, with its target in the scene; the `reference` of the session.
        display: how the right view shows the result.
        on_end: called once with the reason (None when `stop` was called), after everything was put back.

    Raises:
        MultiContrastSRError: it cannot be shown; nothing was changed.
    """

    def __init__(
        self,
        result: Any,
        display: DisplayOptions | None = None,
        on_end: Callable[[BaseException | None], None] | None = None,
    ) -> None:
        super().__init__(_target_of(result), result, display, on_end)
        self._images = _image_of(self.target), _image_of(result)
        self._begin((LEFT, RIGHT))
        self._layout = CompareLayout(self.target, result)
        self._timer.setSingleShot(True)
        self._timer.setInterval(0)  # once for all changes of a view that one action makes
        self._timer.connect("timeout()", self._show_frame)
        view = LiveSliceView(RIGHT, self.target, self._images[1][1], self.display, lambda view: self._timer.start())
        self.views = {RIGHT: view}
        self._label = ViewAnnotations(slicer.app.layoutManager().sliceWidget(LEFT).sliceView())
        self._label.set_text(self.target.GetName())
        self._show_frame()

    # ------------------------------------------------------------------ for the logic, the panel and scripts

    def toggle_line(self) -> None:
        """Switch between the whole view and a line, right of which the result is shown."""
        self.display.show = "view" if self.display.show == "split" else "split"
        self.redraw()

    def redraw(self) -> None:
        """Show the right view as the display options say now."""
        for view in self.views.values():
            view.redraw()
            view.set_text(self._text())

    # ------------------------------------------------------------------ changes of the nodes, see `InputObserver`

    def restart_soon(self) -> None:
        """Take the nodes' present voxels."""
        try:
            self._images = _image_of(self.target), _image_of(self.reference)
        except library().MultiContrastSRError as error:
            self.stop(error)
            return
        for view in self.views.values():
            view.target_grid = self._images[1][1]
            view.layers.follow_target()
        self._timer.start()

    def remove_reference(self) -> None:
        """End: the result left the scene."""
        self.stop()

    def remove_view_of(self, node: Any) -> None:
        """End if the slice node of the right view left the scene."""
        if any(view.node is node for view in self.views.values()):
            self.stop()

    # ------------------------------------------------------------------ details

    def _release(self) -> None:
        self._label.remove()
        self._layout.restore()
        self._images = ()

    def _show_frame(self) -> None:
        for view in self.views.values():
            grid = view.grid
            if grid is None:
                view.clear_frame()
            else:
                before, after = (_sampled(image, grid) for image in self._images)
                view.show(ResultFrame(grid, after, after - before))
            view.set_text(self._text())

    def _text(self) -> str:
        display, name = self.display, self.reference.GetName()
        if display.original:
            return self.target.GetName()
        return f"{name} − {self.target.GetName()}" if display.difference else name


def _target_of(result: Any) -> Any:
    """The scan that `result` was made of."""
    error, mrml = library("core.errors").InputError, library("mrml")
    if not SUPPORTED:
        raise library("core.errors").MethodUnavailableError("Compare needs Slicer 5.10 or newer; update Slicer.")
    if slicer.app.layoutManager() is None:
        raise error("Compare needs slice views; expected Slicer with its main window. Start Slicer with it.")
    if not mrml.is_result(result):
        name = "nothing" if result is None else repr(result.GetName())
        raise error(f"{name} cannot be compared; expected a volume that this module made. Press Apply first.")
    if not slicer.mrmlScene.IsNodePresent(result):
        raise error(f"{result.GetName()!r} has left the scene; expected it there. Press Apply again.")
    target = result.GetNodeReference(mrml.TARGET)
    if target is None:
        raise error(
            f"The scan that {result.GetName()!r} was made of has left the scene; expected it for the comparison. "
            "Load it and press Apply again."
        )
    return target


def _image_of(node: Any) -> tuple[np.ndarray, Any]:
    """The voxels of a node, not copied, and where they lie in the world."""
    return slicer.util.arrayFromVolume(node), library("mrml").grid_from_node(node)


def _sampled(image: tuple[np.ndarray, Any], grid: Any) -> np.ndarray:
    """An image at the pixels of a view, by linear interpolation as Slicer shows it."""
    array, source = image
    linear = library("image.kernels").linear
    return library("image.sampling").sample(array, source, grid, (linear,) * 3)
