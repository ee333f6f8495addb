"""What the tests of the Slicer module share: the loaded module, a pair of scans, and a way to stop time in a stage."""

from __future__ import annotations

import contextlib
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

MODULE = Path(__file__).resolve().parent.parent / "MultiContrastSR" / "MultiContrastSR.py"
PARAMETERS = MODULE.parent / "MultiContrastSRPanel" / "logic" / "parameters.py"
THIN = np.diag([-1.0, -1.0, 3.0, 1.0])
THICK = np.diag([-2.0, -2.0, 3.0, 1.0])


@pytest.fixture
def module(harness, monkeypatch, tmp_path):
    """The real module file with its real .ui, opened; temporary files go to a folder of the test."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    loaded = harness.load(MODULE)
    loaded.logic.getParameterNode().method = "guided"  # the automatic choice depends on whether PyTorch is installed
    harness.process_events()
    return loaded


@pytest.fixture
def pair(module, harness):
    """(target, reference) nodes, chosen in the panel: a T2 of 12×64×64 and a sharper T1 of the same phantom."""
    target, reference = make_pair()
    module.ui.targetSelector.setCurrentNode(target)
    module.ui.referenceSelector.setCurrentNode(reference)
    harness.process_events()
    return target, reference


@pytest.fixture
def dummy_method():
    """Registers methods made for one test; forgets them after it."""
    from MultiContrastSRLib.methods import get
    from MultiContrastSRLib.methods.contract import REGISTRY

    names = []

    def add(**stated):
        linear = type(get("linear"))
        body = {
            "name": "dummy",
            "label": "Dummy",
            "summary": "Says what it is told.",
            "group": "trained",
            "citation": "None",
        }
        REGISTRY.register(type("Dummy", (linear,), {**body, **stated}))
        names.append(stated.get("name", "dummy"))
        return REGISTRY[names[-1]]

    yield add
    for name in names:
        REGISTRY.unregister(name)


@pytest.fixture
def slow_package(monkeypatch, tmp_path):
    """Name of an installed package that takes a while to import; it says which thread imported it."""
    name = "slow_package_of_one_test"
    folder = tmp_path / "packages"
    folder.mkdir()
    lines = "import threading, time", "time.sleep(0.3)", "imported_by = threading.current_thread()"
    (folder / f"{name}.py").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(folder)
    yield name
    sys.modules.pop(name, None)


def make_pair(size: int = 128, slices: int = 12):
    """Nodes of one phantom in two contrasts: the target has every second sample in plane."""
    import slicer

    k, j, i = np.mgrid[0:slices, 0:size, 0:size].astype(np.float32)
    radius = np.hypot((j - size / 2) / (0.42 * size), (i - size / 2) / (0.36 * size))
    tissue = np.where(radius < 1, 100 + 50 * np.sin(i / 5) * np.cos(j / 6) + 2 * k, 0).astype(np.float32)
    tissue = (tissue + np.roll(tissue, 1, 1) + np.roll(tissue, 1, 2) + np.roll(tissue, (1, 1), (1, 2))) / 4
    target = slicer.util.addVolumeFromArray(tissue[:, ::2, ::2], ijkToRAS=THICK, name="T2")
    reference = slicer.util.addVolumeFromArray(np.where(tissue > 0, 400 - 2 * tissue, 0), ijkToRAS=THIN, name="T1")
    return target, reference


class Gate:
    """Holds the worker at its first report of a stage until `open()`."""

    def __init__(self) -> None:
        self.reached, self._go = threading.Event(), threading.Event()

    def wait_here(self) -> None:
        if not self.reached.is_set():
            self.reached.set()
            assert self._go.wait(20), "the test never opened the gate"

    def open(self) -> None:
        self._go.set()


@contextlib.contextmanager
def gate_at(stage: str, monkeypatch) -> Iterator[Gate]:
    """Within the block the worker stops when it first reports `stage`; leaving the block lets it go."""
    from MultiContrastSRPanel.logic.worker import Job

    gate, report = Gate(), Job.report

    def gated(self, fraction: float, name: str) -> None:
        report(self, fraction, name)
        if name == stage:
            gate.wait_here()

    with monkeypatch.context() as patch:
        patch.setattr(Job, "report", gated)
        try:
            yield gate
        finally:
            gate.open()


def run_to_end(module, harness, timeout: float = 60.0) -> None:
    """Press Apply and wait until the panel is no longer busy."""
    harness.click(module.ui.applyButton)
    wait_idle(module, harness, timeout)


def wait_idle(module, harness, timeout: float = 60.0) -> float:
    """Seconds until the run under way has ended."""
    return harness.wait(lambda: not module.widget.panel.state.busy, timeout, "the end of the run")


def state(module) -> str:
    """ "idle", "running", "cancelling", "done" or "error"."""
    return module.widget.panel.state.value


def volume_names(harness) -> list[str]:
    """The names of all scalar volumes of the scene."""
    import slicer

    return [node.GetName() for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")]


def scene_text(harness) -> str:
    """The whole scene as the text that would be saved."""
    scene = harness.scene
    scene.SetSaveToXMLString(1)
    try:
        scene.Commit()
        return scene.GetSceneXMLString()
    finally:
        scene.SetSaveToXMLString(0)


def resources(harness) -> tuple:
    """What a run may not leave behind: nodes, Python threads, temporary files, open file descriptors."""
    files = sorted(str(path) for path in Path(tempfile.gettempdir()).rglob("*"))
    descriptors = len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").is_dir() else 0
    return harness.scene.GetNumberOfNodes(), threading.active_count(), files, descriptors


def node_state(node) -> tuple:
    """All of an input node that a run could change."""
    import slicer

    display = node.GetDisplayNode()
    return (
        node.GetMTime(), node.GetImageData().GetMTime(), slicer.util.arrayFromVolume(node).tobytes(), node.GetName(),
        tuple(node.GetAttributeNames()), display.GetMTime(), node.GetTransformNodeID(),
    )  # fmt: skip
