"""What runs without readers, registration and Slicer (arrays in, arrays out), and the check of a GPU on the CPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import documentation
import numpy as np
import pytest

pytest.importorskip("torch", reason="The check of a GPU needs torch, which is not installed here.")

from gpu_check.pack import LARGEST, pack_of
from gpu_check.tables import NOT_MEASURED, markdown
from phantoms import pair

import MultiContrastSRLib as mc
from MultiContrastSRLib.training.data.pack import load_pack, save_pack

ROOT = Path(__file__).resolve().parents[2]
BLOCKED = (
    "SimpleITK", "nibabel", "vtk", "slicer", "pydicom", "matplotlib", "pooch", "tqdm", "skimage", "safetensors",
    "pytest", "PySide6",
)  # fmt: skip
BLOCK = f"""
import sys
from importlib.machinery import PathFinder
found = PathFinder.find_spec
PathFinder.find_spec = lambda name, *where: None if name.partition(".")[0] in {BLOCKED!r} else found(name, *where)
"""
ARRAYS = """
import numpy as np
import MultiContrastSRLib as mc
from MultiContrastSRLib.methods import all_methods
truth = np.random.default_rng(0).random((4, 32, 32)).cumsum(1).astype(np.float32)
reference = mc.Volume(truth.max() - truth, np.diag([1, 1, 3, 1]))
target = mc.degrade(mc.Volume(truth, np.diag([1, 1, 3, 1])), "kspace", 2)
for method in all_methods():
    options = {"method": method.name, "scale": 2, "device": "cpu", "register": "off"}
    image = mc.super_resolve(target, reference, **options).volume.array
    assert image.shape == truth.shape and np.isfinite(image).all(), method.name
    print(method.name)
"""


def run_blocked(code: str, *arguments: str) -> str:
    """What `code` prints in a process that does not find the modules of `BLOCKED`."""
    path = os.pathsep.join(map(str, (ROOT, ROOT / "Testing")))
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", BLOCK + code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def pack(tmp_path_factory):
    target, reference = pair((6, 64, 60))
    made = pack_of("phantom", {"T2": target, "T1": reference})
    return save_pack(made, tmp_path_factory.mktemp("pack") / "pack.npz")


@pytest.mark.slow
def test_every_method_takes_and_returns_arrays_with_torch_numpy_and_scipy_alone():
    assert run_blocked(ARRAYS).split() == [method.name for method in mc.methods()]


@pytest.mark.slow
def test_registration_without_its_package_names_it():
    attempt = (
        ARRAYS.partition("for method")[0]
        + """
try:
    mc.super_resolve(target, reference, method="guided")
except mc.MultiContrastSRError as error:
    print(error)
"""
    )
    assert run_blocked(attempt).startswith("This needs SimpleITK, which is not installed; install it first")


@pytest.mark.slow
def test_the_check_needs_torch_numpy_and_scipy_alone(pack, tmp_path):
    output = tmp_path / "found.json"
    code = "from gpu_check.__main__ import main\nsys.exit(main(sys.argv[1:]))"
    options = ["--pack", pack, "--device", "cpu", "--small", "--output", output]
    run_blocked(code, *map(str, options), "--only", "joint-tv", "live views of swift")
    found = json.loads(output.read_text(encoding="utf-8"))
    assert found["failed"] == {} and found["left out"] == []
    assert found["tables"]["differences"]["joint-tv"]["largest difference"] == 0.0
    assert found["tables"]["three million samples"]["joint-tv"]["seconds"] > 0
    assert set(found["tables"]["live views of swift"]) == {"64²", "128²"}
    text = markdown(output)
    assert "| differences | largest difference | in float16 |" in text and "| joint-tv | 0 | – |" in text


def test_rows_of_a_table_may_have_different_columns(tmp_path):
    found = {
        "machine": {
            "version": "1",
            "name": "GPU",
            "torch": "2",
            "cuda": None,
            "processor": "p",
            "threads": 1,
            "cores": 2,
        },
        "tables": {"fits": {"fast": {"seconds": 2.0}, "paper": {"seconds": 60.0, "epochs": 5.25}}},
        "failed": {},
        "left out": [],
    }
    place = tmp_path / "found.json"
    place.write_text(json.dumps(found), encoding="utf-8")
    assert "| fits | seconds | epochs |\n|---|--:|--:|\n| fast | 2 | – |\n| paper | 60 | 5.25 |" in markdown(place)


def test_rows_without_time_are_named(pack, tmp_path):
    from gpu_check.__main__ import check

    found = check("cpu", pack, minutes=0.0, small=True)
    assert "differences: swift" in found["left out"] and not any(found["tables"].values())


def test_a_pack_holds_the_contrasts_on_the_grid_of_the_first(pack):
    (stack,) = load_pack(pack).stacks
    assert stack.contrasts == ("T2", "T1") and stack.images.shape[0] == 2 and pack.stat().st_size < LARGEST
    assert np.corrcoef(stack.images[0].ravel(), pair((6, 64, 60))[0].array.ravel())[0, 1] > 0.999


def test_the_documentation_shows_the_kept_measurements(tmp_path):
    assert documentation.block_of("gpu") == documentation.gpu()
    assert markdown(tmp_path / "none.json") == NOT_MEASURED
