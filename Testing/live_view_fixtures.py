"""What the tests of live zoom in slice views share: views of the pair, live zoom in them, the mouse, what is shown."""

from __future__ import annotations

import numpy as np
import pytest

ORIENTATIONS = {"Red": "Axial", "Yellow": "Sagittal", "Green": "Coronal"}
VIEWS = tuple(ORIENTATIONS)


@pytest.fixture
def shown(module, pair, harness):
    """(target, reference): the target is the background of all views."""
    import slicer

    slicer.util.setSliceViewerLayers(background=pair[0], fit=True)
    for name in VIEWS:
        harness.view(name).node.SetOrientation(ORIENTATIONS[name])
        harness.view(name).resize(200, 160)
        harness.view(name).fitSliceToBackground()
    harness.process_events()
    yield pair
    module.logic.stopLiveZoom()
    for name in VIEWS:
        harness.view(name).resize(400, 400)


@pytest.fixture
def another_logic(module):
    """A logic beside the panel's, as the Python console makes one."""
    logic = type(module.logic)()
    yield logic
    logic.cleanup()


def start(module, harness, views=("Red",), **settings):
    """Live zoom from the console, its first frames shown."""
    module.logic.startLiveZoom(list(views) if views else None, register="off", **settings)
    finish(module, harness)
    return module.logic.liveZoom


def finish(module, harness, timeout: float = 60.0) -> float:
    """Wait until every view shows its final frame and the neighbours are there."""
    return harness.wait(lambda: module.logic.liveZoom is None or not module.logic.liveZoom.busy, timeout, "the frames")


def frame_of(session, name="Red"):
    """The node that live zoom shows in a view."""
    return session.views[name].layers.frame


def our_nodes() -> list[str]:
    """Names of all nodes of the scene that are ours."""
    import slicer

    nodes = slicer.util.getNodesByClass("vtkMRMLNode")
    return [n.GetName() for n in nodes if (n.GetName() or "").startswith(("Live zoom", "MultiContrastSR signed"))]


def zoom(view, factor: float) -> None:
    """The mouse wheel with Ctrl, `factor` times closer."""
    width, height, depth = view.node.GetFieldOfView()
    view.node.SetFieldOfView(width / factor, height / factor, depth)


def pan(view, right: float, up: float) -> None:
    """The middle button dragged, mm."""
    x, y, z = view.node.GetXYZOrigin()
    view.node.SetXYZOrigin(x + right, y + up, z)


def pixels_of(node) -> np.ndarray:
    """The voxels of a node [k, j, i], not copied."""
    import slicer

    return slicer.util.arrayFromVolume(node)
