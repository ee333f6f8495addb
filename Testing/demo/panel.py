"""Pictures of the panel in its states, and of Compare, for its guide: `PYTHONPATH=Testing python -m demo.panel`.

The middle slices of patient12's T2 are made three times coarser in plane and super-resolved with the T1, as a user
does it.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from .cases import Case, find_cases
from .figures import save_small
from .live import PLACE
from .session import Session
from .study import middle, write_dataset

ZOOM = 2.2  # of the views of Compare
COLOURS = 256  # of a picture: those of the panel stay as they are
HALF_WAY = 40  # % of a run
TIMEOUT_S = 1800.0  # on a busy machine
AUTOMATIC, GUIDED = "Automatic (recommended)", "Guided (local regression)"  # in the menu of methods
STATES = ("idle", "region", "live", "batch", "running", "done", "warnings")
NAMES = ("compare.png", *(f"panel-{state}-100.png" for state in STATES))
SECTIONS = ("inputsButton", "methodButton", "advancedButton", "outputButton")


class PanelPictures:
    """The module with a case, taken through the states that the panel's guide shows.

    Args:
        output: folder of the pictures, and of a study for the section "Batch".
    """

    def __init__(self, case: Case, output: Path) -> None:
        import slicer

        self.case, self.output = case, output
        self.session = Session()
        self.harness, self.module = self.session.harness, self.session.module
        self.ui, self.panel = self.module.ui, self.module.widget.panel
        self.session.add(case)
        self.nodes = self.session.nodes[case.name]
        slicer.util.setSliceViewerLayers(background=self.nodes["input"])
        self.view = self.harness.view("Red")
        self.view.node.RotateToVolumePlane(self.nodes["input"])
        self.view.fitSliceToBackground()

    def draw(self) -> Iterator[Path]:
        """Draw all pictures, one after the other."""
        self.choose("input", "reference", AUTOMATIC)
        yield self.shot("idle")
        yield self.region()
        yield self.live()
        self.harness.choose(self.ui.methodSelector, GUIDED)
        yield self.batch()
        self.harness.choose(self.ui.methodSelector, AUTOMATIC)
        self.harness.click(self.ui.applyButton)
        yield self.half_way()
        self.finish()
        yield self.shot("done")
        yield self.compare()
        self.choose("reference", "input", GUIDED)  # swapped: the panel asks whether they are
        self.harness.click(self.ui.applyButton)
        self.finish()
        self.ui.detailsButton.collapsed = False
        yield self.shot("warnings")

    def choose(self, target: str, reference: str, method: str) -> None:
        """Set scans, by their names in files, and the method in the panel."""
        self.ui.referenceSelector.setCurrentNode(None)
        self.ui.targetSelector.setCurrentNode(self.nodes[target])
        self.ui.referenceSelector.setCurrentNode(self.nodes[reference])
        self.harness.choose(self.ui.methodSelector, method)

    def region(self) -> Path:
        """A box as the region."""
        self.harness.choose(self.ui.regionSelector, "Box (ROI)")
        self.ui.roiSelector.addNode("vtkMRMLMarkupsROINode").SetName("Lesion")
        self.harness.run_for(0.3)  # until the size of the result follows the box
        path = self.shot("region")
        self.harness.choose(self.ui.regionSelector, "Whole scan")
        return path

    def live(self) -> Path:
        """Live zoom in the axial view."""
        with self.collapsed(*SECTIONS[1:]):
            self.ui.liveSectionButton.collapsed = False
            self.harness.choose(self.ui.liveViewsSelector, "Red")
            self.harness.click(self.ui.liveButton)
            self.harness.wait(lambda: not self.module.logic.liveZoom.busy, TIMEOUT_S, "the frames")
            path = self.shot("live")
            self.harness.click(self.ui.liveButton)
            self.ui.liveSectionButton.collapsed = True
        return path

    def batch(self) -> Path:
        """A study under way, of which one subject has no T1."""
        study, results = self.output / "panel-study", self.output / "panel-batch"
        shutil.rmtree(results, ignore_errors=True)
        _, incomplete, _ = sorted(write_dataset(study).glob("sub-*"))
        next(incomplete.rglob("*_T1w.nii.gz")).unlink()
        ui, logic = self.ui, self.module.logic
        ui.batchInput.text, ui.batchOutput.text = str(study), str(results)
        ui.batchTargets.text, ui.batchReferences.text = "T2w", "T1w"
        with self.collapsed(*SECTIONS):
            ui.batchSectionButton.collapsed = False
            self.harness.process_events()
            self.harness.click(ui.batchStartButton)
            tree = ui.batchSubjects

            def third_began() -> bool:
                state = tree.topLevelItem(2).text(1) if tree.topLevelItemCount == 3 else ""
                return not logic.batch.active or (state.endswith("%") and state != "0 %")

            self.harness.wait(third_began, TIMEOUT_S, "the third subject")
            tree.setCurrentItem(tree.topLevelItem(1))
            self.harness.process_events()
            path = self.shot("batch")
            self.harness.wait(lambda: not logic.batch.active, TIMEOUT_S, "the end of the batch")
            ui.batchSectionButton.collapsed = True
        return path

    def half_way(self) -> Path:
        """A run of which some is done, and the rest has an estimate."""
        bar, label = self.ui.progressBar, self.ui.progressLabel
        self.harness.wait(
            lambda: not self.panel.state.busy or (bar.value >= HALF_WAY and "left" in label.text), TIMEOUT_S
        )
        return self.shot("running")

    def finish(self) -> None:
        """Wait for the end of the run."""
        self.harness.wait(lambda: not self.panel.state.busy, TIMEOUT_S, "the end of the run")
        if self.panel.state.value != "done":
            raise SystemExit(f"The panel could not super-resolve {self.case.name}: {self.ui.resultLabel.text}")

    def compare(self) -> Path:
        """The scan at the left; at the right too, with the result right of a line."""
        path = self.output / "compare.png"
        with self.collapsed(*SECTIONS[:2]):
            self.harness.click(self.ui.compareButton)
            self.harness.click(self.ui.compareLineButton)
            self.harness.grab_views(path)  # gives the views their sizes
            grid = self.case.low.grid
            place = grid.positions(np.array(PLACE) * (np.array(grid.shape) - 1))
            for node in (self.view.node, self.harness.view("Yellow").node):  # only the mouse moves linked views at once
                width, height, depth = node.GetFieldOfView()
                node.SetFieldOfView(width / ZOOM, height / ZOOM, depth)
                node.JumpSliceByCentering(*place)
            self.harness.process_events()
            self.harness.grab_views(path)
            self.harness.click(self.ui.compareButton)
        return save_small(Image.open(path), path, COLOURS)

    def shot(self, state: str) -> Path:
        """The panel as it is, on a screen of 100 %."""
        path = self.harness.grab_panel(self.output / f"panel-{state}-100.png")
        return save_small(Image.open(path), path, COLOURS)

    @contextlib.contextmanager
    def collapsed(self, *sections: str) -> Iterator[None]:
        """Collapse these sections of the panel within the block."""
        buttons = [getattr(self.ui, name) for name in sections]
        before = [button.collapsed for button in buttons]
        for button in buttons:
            button.collapsed = True
        yield
        for button, state in zip(buttons, before, strict=True):
            button.collapsed = state

    def close(self) -> None:
        """End the worker thread and the panel."""
        self.session.close()


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("demo-output"), help="default demo-output")
    output = parser.parse_args(arguments).output
    output.mkdir(parents=True, exist_ok=True)
    case = find_cases(print)[0]
    case = dataclasses.replace(case, truth=middle(case.truth))
    with contextlib.closing(PanelPictures(case, output)) as pictures:
        for path in pictures.draw():
            print(f"Written: {path} ({path.stat().st_size / 1e3:.0f} kB)", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
