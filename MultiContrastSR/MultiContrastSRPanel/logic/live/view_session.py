"""What live zoom and Compare have in common: the slice views that they have until they end."""

from __future__ import annotations

import abc
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import qt

from ..library import library
from .display_options import DisplayOptions
from .input_observer import InputObserver
from .layers import remove_difference_colours
from .slice_view import LiveSliceView


class ViewSession(abc.ABC):
    """Shows frames in slice views from `_begin` until `stop`. Main thread only.

    A slice view has one session at a time, whichever logic of this process started it: two would cover each other's
    frames, and the nodes of their layers would have the same identifiers.

    Args:
        target, reference: nodes; the reference may be None.
        display: how the views show the frames.
        on_end: called once with the reason (None when `stop` was called), after everything was put back.

    Attributes:
        on: whether it has begun and was not stopped yet.
        views: the `LiveSliceView` of each name.
    """

    _taken: ClassVar[dict[ViewSession, frozenset[str]]] = {}  # the views of the sessions that are on

    def __init__(
        self,
        target: Any,
        reference: Any,
        display: DisplayOptions | None,
        on_end: Callable[[BaseException | None], None] | None,
    ) -> None:
        self.target, self.reference = target, reference
        self.display = display or DisplayOptions()
        self._on_end = on_end
        self.on = False
        self.views: dict[str, LiveSliceView] = {}
        self._timer = qt.QTimer()

    # ------------------------------------------------------------------ for the logic, the panel and scripts

    @abc.abstractmethod
    def redraw(self) -> None:
        """Show the views as the display options say now."""

    def flip(self) -> None:
        """Switch between the original (the target as Slicer interpolates it) and the frames."""
        self.display.toggle_original()
        self.redraw()

    def toggle_difference(self) -> None:
        """Switch between the frames and what they add to the original."""
        self.display.toggle_difference()
        self.redraw()

    def stop(self, reason: BaseException | None = None) -> None:
        """End: views, scene and memory are as they were before."""
        if not self.on:
            return
        self.on = False
        self._timer.stop()
        self._timer.deleteLater()  # its connection keeps this object alive
        self._observer.remove()
        for view in self.views.values():
            view.remove()
        self.views.clear()
        del self._taken[self]
        if not self._taken:
            remove_difference_colours()  # all sessions share them
        self._release()
        if self._on_end is not None:
            self._on_end(reason)

    # ------------------------------------------------------------------ changes of the nodes, see `InputObserver`

    @abc.abstractmethod
    def restart_soon(self) -> None:
        """Take the present voxels and transforms of target and reference."""

    @abc.abstractmethod
    def remove_reference(self) -> None:
        """Do without the reference, which leaves the scene."""

    @abc.abstractmethod
    def remove_view_of(self, node: Any) -> None:
        """Do without the view of this slice node, which leaves the scene, if it is one of `views`."""

    # ------------------------------------------------------------------ details

    def _begin(self, view_names: Sequence[str]) -> None:
        """Take these views, after ending the sessions that have one of them, and observe the nodes."""
        for session, taken in list(self._taken.items()):
            shared = ", ".join(name for name in view_names if name in taken)
            if shared:
                message = f"Another live zoom or comparison was started in slice view {shared}; this one has ended."
                session.stop(library().MultiContrastSRError(message))
        self._taken[self] = frozenset(view_names)
        self.on = True
        self._observer = InputObserver(self)

    @abc.abstractmethod
    def _release(self) -> None:
        """Put back and free what the views do not."""
