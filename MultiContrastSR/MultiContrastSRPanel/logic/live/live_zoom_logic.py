"""The calls of the module's logic for live zoom and comparisons, for the Python console, scripts and the panel."""

from __future__ import annotations

from slicer import vtkMRMLScalarVolumeNode

from .comparison import Comparison
from .display_options import DisplayOptions
from .live_zoom import LiveZoom
from .view_volume import render_view


class LiveZoomLogic:
    """Mixin for a logic with a `getParameterNode()`: shows slice views super-resolved, makes volumes of them, compares.

    A logic has one of the two at a time, and a slice view one among all logics: starting one ends those before, and
    `onEnd` of another logic's says why.
    """

    liveZoom: LiveZoom | None = None  # while it is on
    comparison: Comparison | None = None  # while it is shown

    def startLiveZoom(
        self,
        viewNames=None,
        targetNode=None,
        referenceNode=None,
        *,
        show="view",
        lensSize=240,
        split=0.5,
        quality="auto",
        cacheMegabytes=256,
        onStatus=None,
        onEnd=None,
        **settings,
    ) -> LiveZoom:
        """Show slice views super-resolved while the user pans, zooms and scrolls; returns at once.

        :param viewNames: slice views, such as ["Red"]; None for all.
        :param targetNode: scalar volume; None takes those that the panel has chosen (with the reference).
        :param referenceNode: scalar volume of another contrast, or None.
        :param show: "view", "lens" (around the pointer, lensSize pixels wide) or "split" (right of the line at `split`,
            0 to 1).
        :param quality: "auto" (coarse first where it takes long), "full" or "draft".
        :param cacheMegabytes: bound of the memory in which frames and slices are kept.
        :param onStatus: called with a line of text about each frame. onEnd: called with the reason (an error, or None).
        :param settings: as for `process`, without scale and spacing.
        :returns: handle with `flip()`, `toggle_difference()`, `keep(viewName)`, `stop()`, `display` and `redraw()`.
        :raises MultiContrastSRError: it cannot be switched on; nothing was changed.
        """
        targetNode, referenceNode = self._chosen(targetNode, referenceNode)
        self.stopLiveZoom()
        self.stopComparison()

        def ended(reason):
            self.liveZoom = None
            if onEnd is not None:
                onEnd(reason)

        self.liveZoom = LiveZoom(
            targetNode,
            referenceNode,
            viewNames,
            display=DisplayOptions(show, lensSize, split),
            quality=quality,
            cache_megabytes=cacheMegabytes,
            on_status=onStatus,
            on_end=ended,
            **settings,
        )
        return self.liveZoom

    def stopLiveZoom(self) -> None:
        """Switch live zoom off; views, scene and memory are as they were before."""
        if self.liveZoom is not None:
            self.liveZoom.stop()

    def startComparison(self, resultNode, *, show="view", split=0.5, onEnd=None) -> Comparison:
        """Show a result beside the scan that it was made of, in two linked views; returns at once.

        :param resultNode: a volume that this module made.
        :param show, split: how the right view shows the result, as for `startLiveZoom`.
        :param onEnd: called with the reason (an error, or None).
        :returns: handle with `flip()`, `toggle_difference()`, `toggle_line()`, `stop()`, `display` and `redraw()`.
        :raises MultiContrastSRError: it cannot be shown; nothing was changed.
        """
        self.stopLiveZoom()
        self.stopComparison()

        def ended(reason):
            self.comparison = None
            if onEnd is not None:
                onEnd(reason)

        self.comparison = Comparison(resultNode, DisplayOptions(show, split=split), ended)
        return self.comparison

    def stopComparison(self) -> None:
        """End the comparison; layout and views are as they were before."""
        if self.comparison is not None:
            self.comparison.stop()

    def renderView(self, viewName, targetNode=None, referenceNode=None, **settings) -> vtkMRMLScalarVolumeNode:
        """What a slice view shows of the target, super-resolved at every screen pixel, as a new volume; waits for it.

        While live zoom is on in that view (and no target is named), it is what live zoom shows. Otherwise the nodes
        named, or those that the panel has chosen, with `settings` as for `process` (without scale and spacing).

        :raises MultiContrastSRError: with the cause and what to do; the scene is as it was.
        """
        if targetNode is None and self.liveZoom is not None and viewName in self.liveZoom.views:
            return self.liveZoom.keep(viewName)
        targetNode, referenceNode = self._chosen(targetNode, referenceNode)
        return render_view(viewName, targetNode, referenceNode, **settings)

    def _chosen(self, target, reference) -> tuple:
        """The nodes named, or those that the panel has chosen."""
        if target is not None:
            return target, reference
        parameters = self.getParameterNode()
        return parameters.target, reference or parameters.reference
