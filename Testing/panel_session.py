"""A session at the panel as the tests and `bench_panel.py` play it, the interface's gaps meanwhile, and what it leaves.

Rounds end as they began, so that whatever grows from round to round is a leak.
"""

from __future__ import annotations

import contextlib
import gc
import os
import time
import types
from collections.abc import Iterator
from pathlib import Path

from live_view_fixtures import finish, our_nodes, pan, zoom
from panel_fixtures import resources, run_to_end, state
from PySide6 import QtCore

_TICK_MS = 5
_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


class Gaps:
    """The longest time between two turns of the event loop, by action.

    Attributes:
        longest: action → (milliseconds of the clock, milliseconds of processor time of the main thread). On a machine
            with other work the second is what the interface itself does; waiting for locks counts in the first only.
    """

    def __init__(self) -> None:
        self.longest: dict[str, tuple[float, float]] = {}
        self._action: str | None = None
        self._last = (0.0, 0.0)
        self._timer = QtCore.QTimer()
        self._timer.setInterval(_TICK_MS)
        self._timer.timeout.connect(self._tick)

    @contextlib.contextmanager
    def during(self, action: str) -> Iterator[None]:
        """Measure within the block, and until the loop has turned once after it."""
        self._action, self._last = action, _now()
        self._timer.start()
        try:
            yield
            QtCore.QCoreApplication.processEvents()
        finally:
            self._tick()
            self._timer.stop()
            self._action = None

    def _tick(self) -> None:
        now = _now()
        gap = [1000 * (after - before) for after, before in zip(now, self._last, strict=True)]
        known = self.longest.get(self._action, (0.0, 0.0))
        self.longest[self._action] = max(known[0], gap[0]), max(known[1], gap[1])
        self._last = now


def _now() -> tuple[float, float]:
    return time.perf_counter(), time.thread_time()


def left_behind(harness) -> dict[str, float]:
    """What a round must not make more of, by name. Every observer in Python keeps a function or a method alive."""
    nodes, threads, files, descriptors = resources(harness)
    QtCore.QCoreApplication.sendPostedEvents(None, QtCore.QEvent.Type.DeferredDelete)  # at once, not some time later
    gc.collect()
    kinds = [type(found) for found in gc.get_objects()]
    return {
        "nodes": nodes,
        "observers of the scene": str(harness.scene).count("vtkObserver ("),
        "threads": threads,
        "temporary files": len(files),
        "open files": descriptors,
        "functions": kinds.count(types.FunctionType) + kinds.count(types.MethodType),
        "Python objects": len(kinds),
        "resident, MB": resident_mb(),
    }


def resident_mb() -> float:
    """Resident memory of this process in MB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE / 2**20


def box_of(size: tuple[float, float, float]):
    """A new box for the region of interest, `size` mm, in the corner of the pair of `make_pair`."""
    import slicer

    box = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "Box")
    box.SetCenterWorld((-60.0, -70.0, 15.0))
    box.SetSizeWorld(size)
    return box


def apply_in_a_box(module, harness, box, gaps: Gaps):
    """Sharper in plane, within the box; the result."""
    with gaps.during("presets"):
        harness.click(module.ui.isotropicButton)
        harness.click(module.ui.sharperButton)
    with gaps.during("region of interest"):
        harness.choose(module.ui.regionSelector, "Box (ROI)")
        module.ui.roiSelector.setCurrentNode(box)
        harness.wait(lambda: "40 × 40 × 5 voxels" in module.ui.previewLabel.text, 60, "the size of the box")
    with gaps.during("Apply"):
        run_to_end(module, harness, 600)
    assert state(module) == "done", module.ui.resultLabel.text
    return module.widget.panel.run.node


def compare(module, harness, gaps: Gaps) -> None:
    """Compare with all keys and a zoom, and everything back."""
    ui = module.ui
    with gaps.during("Compare"):
        harness.click(ui.compareButton)
    for name in ("compareFlipButton", "compareDifferenceButton", "compareLineButton"):
        with gaps.during(name):
            for checked in (True, False):
                harness.click(getattr(ui, name))
                assert getattr(ui, name).checked == checked
    red, view = harness.view("Red"), module.logic.comparison.views["Yellow"]
    with gaps.during("zoom while comparing"):
        red.logic.StartSliceNodeInteraction(red.node.FieldOfViewFlag)
        zoom(red, 3.0)
        red.logic.EndSliceNodeInteraction()
        harness.process_events()
    pixel = red.node.GetFieldOfView()[0] / red.node.GetDimensions()[0]
    assert view.layers.visible and abs(view.frame.grid.spacing[2] / pixel - 1) < 1e-6
    with gaps.during("Compare off"):
        harness.click(ui.compareButton)
        zoom(red, 1 / 3)
        harness.process_events()
    assert our_nodes() == []


def live_zoom(module, harness, gaps: Gaps) -> None:
    """Live zoom on, moved and off."""
    ui = module.ui
    ui.liveSectionButton.collapsed = False
    with gaps.during("live zoom on"):
        harness.click(ui.liveButton)
        finish(module, harness, 600)
    with gaps.during("live zoom moved"):
        for way in (1, -1):
            pan(harness.view("Red"), 2.0 * way, -1.5 * way)
            finish(module, harness, 600)
    with gaps.during("live zoom off"):
        harness.click(ui.liveButton)
        harness.process_events()
    assert module.logic.liveZoom is None and our_nodes() == []


def to_the_archive_and_back(module, harness, result, folder: Path, gaps: Gaps):
    """The result saved as a DICOM series in `folder` and loaded again; the node.

    The file dialog must answer `folder`.
    """
    import slicer

    with gaps.during("save as DICOM"):
        harness.click(module.ui.dicomButton)
        harness.wait(lambda: module.ui.dicomButton.enabled, 600, "the series")
    with gaps.during("load DICOM"):
        path = folder / result.GetName() / "0001.dcm"
        node = slicer.modules.volumes.logic().AddArchetypeVolume(str(path), "back", 0)
        harness.process_events()
    return node


def play_round(module, harness, pair, box, folder: Path, gaps: Gaps) -> None:
    """Apply, Compare, live zoom, DICOM out and in again; then the scene is as before."""
    import slicer

    result = apply_in_a_box(module, harness, box, gaps)
    compare(module, harness, gaps)
    slicer.util.setSliceViewerLayers(background=pair[0])
    live_zoom(module, harness, gaps)
    back = to_the_archive_and_back(module, harness, result, folder, gaps)
    with gaps.during("remove the result"):
        for node in (result, back):
            for each in (node.GetStorageNode(), node.GetDisplayNode(), node):
                if each is not None:
                    slicer.mrmlScene.RemoveNode(each)
        harness.process_events()
