"""The extension as Slicer builds it: CMake lists and installed tree."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULE = ROOT / "MultiContrastSR"
LIBRARY = ROOT / "MultiContrastSRLib"
SCRIPTED_MODULES = Path("lib/Slicer-5.13/qt-scripted-modules")


def files_below(folder: Path, *patterns: str) -> set[str]:
    """Relative paths, with forward slashes, of the files that match any pattern; byte code left out."""
    found = (path for pattern in patterns for path in folder.rglob(pattern))
    return {p.relative_to(folder).as_posix() for p in found if p.is_file() and "__pycache__" not in p.parts}


def cmake_list(text: str, name: str) -> list[str]:
    """The entries of `set(name …)` in a CMakeLists.txt, comments dropped, ${MODULE_NAME} filled in."""
    match = re.search(rf"set\({name}\s+(.*?)\)", re.sub(r"#.*", "", text), re.DOTALL)
    assert match, f"no set({name} …)"
    return match.group(1).replace("${MODULE_NAME}", "MultiContrastSR").replace('"', "").split()


def test_module_lists_every_script() -> None:
    listed = cmake_list((MODULE / "CMakeLists.txt").read_text(encoding="utf-8"), "MODULE_PYTHON_SCRIPTS")
    listed = [name if name.endswith(".py") else f"{name}.py" for name in listed]
    assert sorted(listed) == sorted(files_below(MODULE, "*.py"))


def test_module_lists_every_resource() -> None:
    listed = cmake_list((MODULE / "CMakeLists.txt").read_text(encoding="utf-8"), "MODULE_PYTHON_RESOURCES")
    assert sorted(listed) == sorted(f"Resources/{name}" for name in files_below(MODULE / "Resources", "*"))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, str]:
    """(build tree, install tree, what CMake said), made with stand-ins for Slicer's macros."""
    if shutil.which("cmake") is None or not (shutil.which("cc") and shutil.which("c++")):
        pytest.skip("CMake and a C++ compiler are needed to configure the extension; they are not installed here.")
    tmp = tmp_path_factory.mktemp("extension")
    build, installed = tmp / "build", tmp / "installed"
    steps = [
        ["cmake", "-S", str(ROOT), "-B", str(build), f"-DSlicer_DIR={ROOT / 'Testing/fake_slicer_build'}"],
        ["cmake", "--build", str(build)],
        ["cmake", "--install", str(build), "--prefix", str(installed), "--component", "RuntimeLibraries"],
    ]
    said = ""
    for step in steps:
        done = subprocess.run(step, capture_output=True, text=True)
        assert done.returncode == 0, f"{' '.join(step)}\n{done.stdout}\n{done.stderr}"
        said += done.stdout + done.stderr
    return build, installed, said


def test_configures_with_its_metadata(built: tuple[Path, Path, str]) -> None:
    said = built[2]
    assert "Extension: MultiContrastSR\n" in said
    assert "EXTENSION_DEPENDS: PyTorch" in said
    assert "EXTENSION_DESCRIPTION" in said and "Research use only" in said
    assert "EXTENSION_KEYWORDS: MRI super-resolution" in said
    assert "Warning" not in said


@pytest.mark.parametrize("tree", [0, 1], ids=["build tree", "install tree"])
def test_library_and_module_arrive_whole(built: tuple[Path, Path, str], tree: int) -> None:
    folder = built[tree] / SCRIPTED_MODULES
    shipped = ("*.py", "*.json", "*.md", "*.safetensors", "*.toml", "py.typed")
    assert files_below(folder / "MultiContrastSRLib", "*") == files_below(LIBRARY, *shipped)
    assert (folder / "MultiContrastSR.py").is_file()
    assert files_below(folder / "Resources", "*") == files_below(MODULE / "Resources", "*")


@pytest.mark.parametrize("tree", [0, 1], ids=["build tree", "install tree"])
def test_library_imports_from_there(built: tuple[Path, Path, str], tree: int, tmp_path: Path) -> None:
    folder = built[tree] / SCRIPTED_MODULES
    code = (
        f"import sys; sys.path.insert(0, {str(folder)!r})\n"
        "import MultiContrastSRLib as mc; print(mc.__file__); print(len(mc.methods()))"
    )
    done = subprocess.run([sys.executable, "-B", "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    home, methods = done.stdout.split()
    assert Path(home).is_relative_to(folder) and int(methods) >= 6


def test_slicer_runs_module_and_library_tests(built: tuple[Path, Path, str]) -> None:
    listed = subprocess.run(["ctest", "-N"], cwd=built[0], capture_output=True, text=True, check=True).stdout
    assert "py_MultiContrastSR" in listed and "py_test_inside_slicer" in listed
