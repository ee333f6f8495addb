"""Packages that are installed but do not work are told from the program's own faults: exit code 3 and a remedy."""

from __future__ import annotations

import os
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest

import MultiContrastSRLib as mc
from MultiContrastSRLib.core import packages
from MultiContrastSRLib.core.errors import MethodUnavailableError
from MultiContrastSRLib.methods import get

BROKEN = {
    "library missing": 'raise ImportError("libcudart.so.12: cannot open shared object file")',
    "half installed": "",
    "library of another system": 'raise OSError("[WinError 126] The specified module could not be found")',
    "part missing": "import torch._a_part_that_is_missing",
    "fault": "1 / 0",
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", BROKEN)
@pytest.mark.parametrize("verb", ["super-resolve", "fit"])
def test_a_broken_torch_ends_with_code_3_and_the_remedy(tmp_path, kind, verb):
    mc.save_volume(mc.Volume(np.random.default_rng(0).random((4, 40, 40)), np.diag([1, 1, 4, 1])), tmp_path / "t2.nii")
    folder = tmp_path / "packages" / "torch"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text(BROKEN[kind])
    output = ["-o", "o.nii", "--method", "swift"] if verb == "super-resolve" else ["-o", "o.safetensors"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder.parent), str(Path(mc.__file__).parents[1])])}
    command = [sys.executable, "-m", "MultiContrastSRLib.cli", verb, "t2.nii", *output]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert done.returncode == 3, done.stderr
    assert "torch, which is installed but does not work (" in done.stderr
    assert "python -m pip install --force-reinstall torch" in done.stderr and "PyTorch Utils" in done.stderr
    assert "fault of the program" not in done.stderr
    assert not list(tmp_path.glob("o.*"))


def fake(monkeypatch, **functions):
    torch = types.ModuleType("torch")
    torch.__spec__ = types.SimpleNamespace(origin="torch", loader=object(), submodule_search_locations=[])
    for name, function in functions.items():
        setattr(torch, name, function)
    monkeypatch.setitem(sys.modules, "torch", torch)


def refuse(*arguments):
    raise RuntimeError("Numpy is not available")


def test_a_torch_for_another_numpy_does_not_work(monkeypatch):
    fake(monkeypatch, from_numpy=refuse, zeros=lambda n: [0.0] * n)
    with pytest.raises(MethodUnavailableError, match=r"does not work \(Numpy is not available\)"):
        get("swift").check_available()
    with pytest.raises(MethodUnavailableError, match=r"does not work \(Numpy is not available\)"):
        mc.super_resolve(mc.Volume(np.ones((3, 8, 8)), np.diag([1, 1, 4, 1])), method="swift")


def test_a_torch_that_computes_wrongly_does_not_work(monkeypatch):
    class Tensor(np.ndarray):
        def numpy(self):
            return np.zeros(4, np.float32)

    fake(monkeypatch, from_numpy=lambda array: array.view(Tensor))
    with pytest.raises(MethodUnavailableError, match="it computes wrong numbers"):
        packages.require("torch")


def test_methods_are_listed_without_importing_what_they_require():
    code = (
        "import sys; from MultiContrastSRLib.methods import get; get('swift').unavailable();"
        "print('torch' in sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(mc.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.stdout.strip() == "False", done.stderr


def test_a_package_that_is_not_there(monkeypatch):
    monkeypatch.setattr(type(get("linear")), "requires", ("a_package_that_is_not_there",))
    with pytest.raises(MethodUnavailableError, match="it needs a_package_that_is_not_there, which is not installed"):
        get("linear").check_available()


def test_a_folder_left_over_is_no_package(tmp_path, monkeypatch):
    (tmp_path / "a_left_over_package").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    reason = packages.problem("a_left_over_package")
    assert reason.startswith("needs a_left_over_package, which is installed but does not work (its folder")
    with pytest.raises(MethodUnavailableError, match="pip install --force-reinstall a_left_over_package"):
        packages.require("a_left_over_package")
