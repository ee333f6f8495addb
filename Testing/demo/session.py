"""The Slicer session of the demonstration: scans as nodes, the panel's Apply, pictures, the scene."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from harness import Harness
from PIL import Image

from .cases import Case
from .figures import caption_view, save_small

MODULE = Path(__file__).resolve().parents[2] / "MultiContrastSR" / "MultiContrastSR.py"
APPLY_TIMEOUT_S = 300.0
VIEWS = ("Red", "Yellow", "Green")
GAP = 4  # pixels between views
WIDTH, COLOURS = 1240, 64  # of the picture of panel and views


class Session:
    """A scene, and the module opened on it as a user would.

    Attributes:
        nodes: per case name, what was put into the scene: name in files → node.
    """

    def __init__(self) -> None:
        self.harness = Harness()
        self.module = self.harness.load(MODULE)
        self.nodes: dict[str, dict[str, Any]] = {}

    def add(self, case: Case) -> None:
        """Put truth, degraded target and reference of a case into the scene."""
        self.nodes[case.name] = {
            "truth": self._node(case.truth, f"{case.name} {case.truth.name} truth"),
            "input": self._node(case.low, f"{case.name} {case.truth.name}"),
            "reference": self._node(case.reference, f"{case.name} {case.reference.name}"),
        }

    def apply(self, case: Case, method: str) -> str:
        """Choose the nodes in the panel and press Apply; returns the panel's result line."""
        ui, nodes = self.module.ui, self.nodes[case.name]
        ui.targetSelector.setCurrentNode(nodes["input"])
        ui.referenceSelector.setCurrentNode(nodes["reference"])
        ui.outputSelector.setCurrentNode(None)
        ui.methodName.text = method
        ui.scaleSlider.value = case.scale
        choices = type(self.module.logic.getParameterNode().registration)
        registration = choices[case.register].label()
        self.harness.choose(ui.registrationSelector, registration)
        self.harness.process_events()
        self.harness.click(ui.applyButton)
        panel = self.module.widget.panel
        self.harness.wait(lambda: not panel.state.busy, APPLY_TIMEOUT_S, "the end of the run")
        if panel.state.value != "done":
            raise SystemExit(f"The panel could not super-resolve {case.name}: {ui.resultLabel.text}")
        nodes[method] = panel.run.node
        return ui.resultLabel.text

    def process(self, case: Case, method: str) -> None:
        """The same from the console: `logic.process`."""
        nodes = self.nodes[case.name]
        nodes[method] = self.module.logic.process(
            nodes["input"], nodes["reference"], method=method, scale=case.scale, register=case.register
        )

    def picture(self, case: Case, shown: Mapping[str, str], path: Path) -> Path:
        """The panel beside axial views of one place: the Red one, large, and Yellow and Green at its right.

        Args:
            shown: name of a node in files → caption, in the order of the views.
        """
        panel = Image.open(self.harness.grab_panel(path)).convert("RGB")
        sides = [panel.height, panel.height // 2 - GAP // 2, panel.height // 2 - GAP // 2]
        for name, key, side in zip(VIEWS, shown, sides, strict=True):
            view, node = self.harness.view(name), self.nodes[case.name][key]
            view.mrmlSliceNode().SetOrientation("Axial")
            view.mrmlSliceCompositeNode().SetBackgroundVolumeID(node.GetID())
            view.mrmlSliceCompositeNode().SetForegroundVolumeID(None)
            view.resize(side, side)
        red = self.harness.view("Red")
        red.fitSliceToBackground()
        field, place = red.mrmlSliceNode().GetFieldOfView(), case.truth.grid.center
        right = panel.width + panel.height + 2 * GAP
        canvas = Image.new("RGB", (right + sides[1], panel.height), "white")
        canvas.paste(panel, (0, 0))
        corners = [(panel.width + GAP, 0), (right, 0), (right, sides[1] + GAP)]
        for name, caption, corner, side in zip(VIEWS, shown.values(), corners, sides, strict=True):
            node = self.harness.view(name).mrmlSliceNode()
            node.SetFieldOfView(*(np.array(field) * (0.6, 0.6, 1.0)))
            node.JumpSliceByCentering(*place)
            self.harness.process_events()
            pixel = node.GetFieldOfView()[0] / side
            canvas.paste(caption_view(self.harness.view(name).image(), caption, pixel), corner)
        return save_small(canvas.resize((WIDTH, round(WIDTH * canvas.height / canvas.width))), path, COLOURS)

    def save(self, path: Path) -> Path:
        """Everything as one file that Slicer opens."""
        return self.harness.save_scene(path)

    def close(self) -> None:
        """End the worker thread and the panel."""
        self.harness.unload_all()

    @staticmethod
    def _node(volume: Any, name: str) -> Any:
        import slicer

        node = slicer.util.addVolumeFromArray(np.array(volume.array), ijkToRAS=np.array(volume.affine), name=name)
        node.CreateDefaultDisplayNodes()
        window = np.percentile(volume.array, (0.5, 99.8))
        node.GetDisplayNode().SetAutoWindowLevel(False)
        node.GetDisplayNode().SetWindowLevelMinMax(*window)
        return node
