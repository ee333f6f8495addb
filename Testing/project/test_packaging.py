"""What is shipped: import cost, doctests, agreement of versions, package data, commands, and a clean tree."""

from __future__ import annotations

import doctest
import fnmatch
import importlib
import json
import os
import pkgutil
import re
import statistics
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import MultiContrastSRLib

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = ROOT / "MultiContrastSRLib"
HEAVY = ("matplotlib", "nibabel", "pooch", "scipy", "SimpleITK", "skimage", "slicer", "torch", "tqdm", "vtk")
MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages([str(LIBRARY)], "MultiContrastSRLib.")
    if not module.name.endswith("__main__")
)


def text_of(name: str) -> str:
    """A file of the tree, whatever the locale."""
    return (ROOT / name).read_text(encoding="utf-8")


# ------------------------------------------------------------------ importing


def fresh_import() -> tuple[float, list[str]]:
    """(seconds beyond numpy, modules then loaded) of `import MultiContrastSRLib` in a new interpreter."""
    code = (
        "import json, sys, time, numpy\n"
        "start = time.perf_counter(); import MultiContrastSRLib; taken = time.perf_counter() - start\n"
        "print(json.dumps([taken, sorted(sys.modules)]))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    seconds, modules = json.loads(done.stdout)
    return seconds, modules


def test_import_brings_numpy_only() -> None:
    loaded = {name.partition(".")[0] for name in fresh_import()[1]}
    assert "MultiContrastSRLib" in loaded
    assert loaded.isdisjoint(HEAVY), f"import MultiContrastSRLib also imports {sorted(loaded.intersection(HEAVY))}"


def test_import_is_quick() -> None:
    seconds = statistics.median(fresh_import()[0] for _ in range(5))
    assert seconds < 0.2, f"import MultiContrastSRLib takes {seconds:.3f} s beyond numpy; expected below 0.2 s"


def test_public_names_exist_and_say_what_they_do() -> None:
    for name in MultiContrastSRLib.__all__:
        assert (getattr(MultiContrastSRLib, name).__doc__ or "").strip(), f"{name} has no docstring"


# ------------------------------------------------------------------ documentation


@pytest.mark.parametrize("name", ["MultiContrastSRLib", *MODULES])
def test_doctests(name: str) -> None:
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        if (error.name or "").partition(".")[0] not in HEAVY:
            raise
        pytest.skip(f"{name} needs {error.name}, which is not installed here.")
    flags = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    outcome = doctest.testmod(module, extraglobs={"np": np}, optionflags=flags)
    assert outcome.failed == 0, f"{outcome.failed} of {outcome.attempted} examples of {name} fail; see above"


@pytest.mark.parametrize("name", [n for n in MultiContrastSRLib.__all__ if n not in ("MultiContrastSRError",)])
def test_public_docstrings_have_examples(name: str) -> None:
    assert ">>>" in getattr(MultiContrastSRLib, name).__doc__, f"the docstring of {name} shows no example"


# ------------------------------------------------------------------ versions and package data


def test_versions_agree() -> None:
    version = MultiContrastSRLib.__version__
    pyproject = text_of("pyproject.toml")
    assert re.search(r'^dynamic = \["version"\]$', pyproject, re.MULTILINE)
    assert 'version = { attr = "MultiContrastSRLib._version.__version__" }' in pyproject
    assert re.search(r"^version: (\S+)$", text_of("CITATION.cff"), re.MULTILINE).group(1) == version
    released = re.findall(r"^## \[(\d\S*)\] - (\S+)$", text_of("CHANGELOG.md"), re.MULTILINE)
    assert released[0][0] == version
    assert f"date-released: {released[0][1]}\n" in text_of("CITATION.cff")


def test_every_library_file_is_packaged() -> None:
    line = re.search(r'^"\*" = \[(.*)\]$', text_of("pyproject.toml"), re.MULTILINE).group(1)
    patterns = re.findall(r'"(.*?)"', line)
    for path in LIBRARY.rglob("*"):
        if not path.is_file() or "__pycache__" in path.parts or path.name == "CMakeLists.txt":
            continue
        if path.suffix == ".py":
            assert (path.parent / "__init__.py").is_file(), f"{path.parent} is no package: it has no __init__.py"
        else:
            assert any(fnmatch.fnmatch(path.name, p) for p in patterns), f"{path} would not be installed by pip"


def test_command_exists() -> None:
    pyproject = text_of("pyproject.toml")
    module, function = re.search(r'^multicontrastsr = "(.*):(.*)"$', pyproject, re.MULTILINE).groups()
    assert callable(getattr(importlib.import_module(module), function))


def test_constraints_are_exact_versions() -> None:
    lines = [n for n in text_of("constraints.txt").splitlines() if n and not n.startswith("#")]
    assert "torch==2.13.0" in lines
    assert all(re.match(r"[\w-]+==[\w.+]+( ; .*)?$", line) for line in lines), "constraints are exact versions"
    assert not any(line.startswith(("nvidia", "triton", "cuda")) for line in lines)


# ------------------------------------------------------------------ commands


def make(*arguments: str) -> str:
    return subprocess.run(["make", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_make_help_names_every_target() -> None:
    phony = re.search(r"^\.PHONY: (.*)$", text_of("Makefile"), re.MULTILINE).group(1).split()
    listed = re.findall(r"^  make ([\w-]+)", make("help"), re.MULTILINE)
    assert sorted(listed) == sorted(phony)


@pytest.fixture
def bare_machine(tmp_path: Path) -> dict[str, str]:
    """An environment in which no shared library loads and no package manager is found."""
    for name in ("bash", "env", "find", "grep"):
        (tmp_path / name).symlink_to(Path("/usr/bin") / name)
    for name, script in {"uname": "echo Linux", "id": "echo 1000", "no-python": "exit 1"}.items():
        path = tmp_path / name
        path.write_text(f"#!/bin/bash\n{script}\n")
        path.chmod(0o755)
    return {"PATH": str(tmp_path), "PYTHON": "no-python", "HOME": str(tmp_path)}


needs_linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="system libraries are a matter of Linux")


@needs_linux
def test_missing_system_libraries_are_named_with_the_line_to_type(bare_machine: dict[str, str]) -> None:
    script = ROOT / "Testing/system_libraries.sh"
    done = subprocess.run(["/bin/bash", str(script)], env=bare_machine, capture_output=True, text=True)
    assert done.returncode == 1
    line = "sudo apt-get update && sudo apt-get install -y --no-install-recommends libegl1 libgl1 libxkbcommon0"
    assert line in done.stderr


@needs_linux
def test_missing_system_libraries_are_installed_by_root(bare_machine: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "id").write_text("#!/bin/bash\necho 0\n")
    log = tmp_path / "asked"
    (tmp_path / "apt-get").write_text(f'#!/bin/bash\nprintf "%s " "$@" >> {log}\n')
    (tmp_path / "apt-get").chmod(0o755)
    script = ROOT / "Testing/system_libraries.sh"
    done = subprocess.run(["/bin/bash", str(script)], env=bare_machine, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "update" in log.read_text(encoding="utf-8") and "libegl1" in log.read_text(encoding="utf-8")


# ------------------------------------------------------------------ the tree


def shipped_files() -> list[Path]:
    """What git would take: everything that is not ignored."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if listed.returncode != 0:
        pytest.skip("This tree is no git checkout, so which files are shipped is unknown.")
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_tree_names_no_private_place() -> None:
    """Home folders of whoever wrote a file have no place in it."""
    private = [str(Path.home()) + "/", "/ho" + "me/"]  # put together, so that this file does not hold it
    found = [
        f"{path.relative_to(ROOT)}: {place}"
        for path in shipped_files()
        for place in private
        if place.encode() in path.read_bytes()
    ]
    assert not found, found


def test_tree_holds_no_scan_and_stays_small() -> None:
    files = shipped_files()
    scans = [p.name for p in files if p.name.lower().endswith((".nii", ".nii.gz", ".nrrd", ".mha", ".dcm", ".mrb"))]
    assert not scans, f"image data does not belong into the repository: {scans}"
    assert sum(p.stat().st_size for p in files) < 50e6, "the Extensions Index clones at most 100 MB, history included"
