"""Panel, console, library and shell make the same voxels, bit by bit, from the same files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from phantoms import affine, pair, real_scan

import MultiContrastSRLib as mc

ROOT = Path(mc.__file__).parents[1]


@pytest.fixture(params=["phantom", "patient12"])
def files(request, tmp_path) -> tuple[Path, Path]:
    """Paths of a coarse T2 and of its T1: an oblique phantom, and a real pair on two grids."""
    if request.param == "phantom":
        oblique = affine((1, 1, 3), (0.2, -0.1, 0.3), (1, -1, -1), origin=(-40, 30, 12))
        truth, reference = (mc.Volume(v.array, oblique, v.name) for v in pair())
    else:
        folder = ("open_ms_data", "longitudinal", "raw", "patient12")
        truth, reference = (mc.load_volume(real_scan(*folder, f"study1_{name}.nii.gz")) for name in ("T2W", "T1W"))
        truth = mc.Volume(truth.array[16:28], truth.grid.crop((16, 0, 0), (28, *truth.shape[1:])).affine, "T2W")
    return (
        mc.save_volume(mc.degrade(truth, "kspace", 3), tmp_path / "target.nii.gz"),
        mc.save_volume(reference, tmp_path / "reference.nii.gz"),
    )


@pytest.mark.slow
def test_same_voxels_everywhere(files, tmp_path, harness, module):
    import slicer

    target, reference = files
    settings = dict(method="guided", scale=2.5, register="on")
    expected = mc.super_resolve(target, reference, **settings).volume.array
    assert np.ptp(expected) > 0

    out = tmp_path / "out.nii.gz"
    arguments = [str(target), str(reference), "-o", str(out), "--scale", "2.5", "--register", "on"]
    command = [sys.executable, "-m", "MultiContrastSRLib.cli", "super-resolve", *arguments]
    subprocess.run(command, check=True, capture_output=True, cwd=ROOT)
    assert np.array_equal(mc.load_volume(out).array, expected)

    volumes = slicer.modules.volumes.logic()
    nodes = [volumes.AddArchetypeVolume(str(path), path.name.partition(".")[0], 0) for path in files]
    console = module.logic.process(*nodes, **settings)
    assert np.array_equal(slicer.util.arrayFromVolume(console), expected)

    ui = module.ui
    ui.targetSelector.setCurrentNode(nodes[0])
    ui.referenceSelector.setCurrentNode(nodes[1])
    ui.methodName.text = "guided"
    ui.scaleSlider.value = 2.5
    harness.choose(ui.registrationSelector, "Always")
    harness.process_events()
    harness.click(ui.applyButton)
    harness.wait(lambda: not module.widget.panel.state.busy, 60, "the end of the run")
    assert np.array_equal(slicer.util.arrayFromVolume(module.widget.panel.run.node), expected)
