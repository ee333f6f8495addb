"""The wheel and the source distribution: what is inside, and that they work where nothing else is installed.

Both are built from a copy of the files that git tracks. "Where nothing else is installed" is a virtual environment that
has the wheel and the packages that it names as dependencies, linked from here instead of downloaded.
"""

from __future__ import annotations

import email
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import MultiContrastSRLib as mc

ROOT = Path(__file__).resolve().parents[2]
for package in ("build", "setuptools"):
    pytest.importorskip(package, reason=f"Distributions are built with {package}, which is not installed here.")

pytestmark = pytest.mark.slow
VERSION = mc.__version__


def run(command: list[str | Path], **options) -> subprocess.CompletedProcess[str]:
    """A command in an environment that knows nothing of this checkout."""
    environment = {n: v for n, v in os.environ.items() if n not in ("PYTHONPATH", "MULTICONTRASTSR_DATA")}
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, env=environment, **options)


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(wheel, sdist); the wheel is built from the sdist."""
    listed = run(["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"], cwd=ROOT)
    if listed.returncode != 0:
        pytest.skip("This tree is no git checkout, so which files are shipped is unknown.")
    tmp = tmp_path_factory.mktemp("distribution")
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (tmp / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, tmp / "tree" / name)
    done = run([sys.executable, "-m", "build", "--no-isolation", "--outdir", tmp / "dist", tmp / "tree"])
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,), (sdist,) = (tmp / "dist").glob("*.whl"), (tmp / "dist").glob("*.tar.gz")
    return wheel, sdist


@pytest.fixture(scope="module")
def names(distributions: tuple[Path, Path]) -> dict[str, set[str]]:
    """The files in "wheel" and "sdist", without the sdist's folder."""
    wheel, sdist = distributions
    with zipfile.ZipFile(wheel) as archive:
        inside = {name for name in archive.namelist() if not name.endswith("/")}
    with tarfile.open(sdist) as archive:
        source = {member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()}
    return {"wheel": inside, "sdist": source}


def library_files() -> set[str]:
    """The library's files that are no matter of CMake."""
    paths = (p for p in (ROOT / "MultiContrastSRLib").rglob("*") if p.is_file() and "__pycache__" not in p.parts)
    return {path.relative_to(ROOT).as_posix() for path in paths if path.name != "CMakeLists.txt"}


def test_names_carry_the_version(distributions: tuple[Path, Path]) -> None:
    wheel, sdist = distributions
    assert wheel.name == f"multicontrastsr-{VERSION}-py3-none-any.whl"
    assert sdist.name == f"multicontrastsr-{VERSION}.tar.gz"


def test_the_library_is_inside_and_nothing_else(names: dict[str, set[str]]) -> None:
    inside = {name for name in names["wheel"] if ".dist-info/" not in name}
    assert inside == library_files()
    assert len([name for name in inside if name.endswith(".safetensors")]) >= 5
    assert library_files() <= names["sdist"]


@pytest.mark.parametrize("kind", ["wheel", "sdist"])
def test_no_tests_and_no_scans_are_inside(names: dict[str, set[str]], kind: str) -> None:
    unwanted = r"(?i)(^|/)(testing|tests?)/|\.(nii|nii\.gz|nrrd|dcm|png|gif|pyc)$"
    assert not [name for name in names[kind] if re.search(unwanted, name)]


def test_licence_and_notices_are_inside(names: dict[str, set[str]]) -> None:
    for name in ("LICENSE", "NOTICE"):
        assert f"multicontrastsr-{VERSION}.dist-info/licenses/{name}" in names["wheel"]
    assert {"LICENSE", "NOTICE", "CITATION.cff", "CHANGELOG.md", "README.md", "pyproject.toml"} <= names["sdist"]


def test_metadata(distributions: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(distributions[0]) as archive:
        text = archive.read(f"multicontrastsr-{VERSION}.dist-info/METADATA").decode()
    found = email.message_from_string(text)
    assert (found["Version"], found["License-Expression"]) == (VERSION, "Apache-2.0")
    assert found["Requires-Python"] == ">=3.10" and found["Description-Content-Type"] == "text/markdown"
    needed = {re.match(r"\w+", line)[0] for line in found.get_all("Requires-Dist") if "extra ==" not in line}
    assert needed == {"numpy", "scipy", "SimpleITK", "nibabel"}
    python = [c for c in found.get_all("Classifier") if re.search(r":: 3\.\d+$", c)]
    assert python == [f"Programming Language :: Python :: 3.{minor}" for minor in (10, 11, 12, 13)]


# ------------------------------------------------------------------ where nothing else is installed


def packages_needed(name: str, found: dict[str, importlib.metadata.Distribution] | None = None) -> dict:
    """The installed distributions that `name` needs, itself included: those without an extra, for this machine."""
    from packaging.requirements import Requirement

    found = {} if found is None else found
    if name.lower() not in found:
        found[name.lower()] = importlib.metadata.distribution(name)
        for line in found[name.lower()].requires or []:
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                packages_needed(requirement.name, found)
    return found


@pytest.fixture(scope="module")
def empty_environment(distributions: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the commands of an environment with the wheel and its dependencies alone."""
    if os.name != "posix":
        pytest.skip("The environment is made of symbolic links.")
    home = tmp_path_factory.mktemp("empty")
    run([sys.executable, "-m", "venv", "--without-pip", home], check=True)
    (site,) = home.glob("lib/python*/site-packages")
    install = [sys.executable, "-m", "pip", "--python", home / "bin/python", "install", "--no-deps", "--no-index"]
    done = run([*install, distributions[0]])
    assert done.returncode == 0, done.stderr
    for name in ("numpy", "scipy", "SimpleITK", "nibabel"):
        for distribution in packages_needed(name).values():
            tops = {Path(file).parts[0] for file in distribution.files or [] if Path(file).parts[0] != ".."}
            for top in tops - {"__pycache__"}:
                source = Path(distribution.locate_file(top))
                if source.exists() and not (site / top).exists():
                    (site / top).symlink_to(source)
    return home / "bin"


def test_installs_from_one_version(empty_environment: Path, tmp_path: Path) -> None:
    done = run([empty_environment / "multicontrastsr", "--version"], cwd=tmp_path)
    assert done.stdout == f"multicontrastsr {VERSION}\n"
    code = "import importlib.metadata as m, MultiContrastSRLib as mc; print(m.version('multicontrastsr'), mc.__file__)"
    version, place = run([empty_environment / "python", "-c", code], cwd=tmp_path, check=True).stdout.split()
    assert version == VERSION and Path(place).is_relative_to(empty_environment.parent)


def test_guided_works_with_the_dependencies_alone(empty_environment: Path, tmp_path: Path) -> None:
    from MultiContrastSRLib.samples.phantom import head_phantom

    grid = mc.Grid((4, 48, 40), ((-4.0, 0, 0, 78), (0, -4.0, 0, 94), (0, 0, 20.0, -30), (0, 0, 0, 1)))
    mc.save_volume(head_phantom("T2", grid), tmp_path / "t2.nii.gz")
    mc.save_volume(head_phantom("T1", grid.scaled((1, 2, 2))), tmp_path / "t1.nii.gz")
    command = "super-resolve t2.nii.gz t1.nii.gz -o out.nii.gz --method guided --scale 2 --register on"
    done = run([empty_environment / "multicontrastsr", *command.split()], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert mc.load_volume(tmp_path / "out.nii.gz").shape == (4, 96, 80)


def test_a_trained_method_says_what_is_missing(empty_environment: Path, tmp_path: Path) -> None:
    from MultiContrastSRLib.samples.phantom import head_phantom

    grid = mc.Grid((4, 48, 40), ((-4.0, 0, 0, 78), (0, -4.0, 0, 94), (0, 0, 20.0, -30), (0, 0, 0, 1)))
    mc.save_volume(head_phantom("T2", grid), tmp_path / "t2.nii.gz")
    command = "super-resolve t2.nii.gz -o out.nii.gz --method swift --scale 2"
    done = run([empty_environment / "multicontrastsr", *command.split()], cwd=tmp_path)
    assert done.returncode == 3 and "torch" in done.stderr.lower() and not (tmp_path / "out.nii.gz").exists()


def test_every_file_of_weights_states_its_licence() -> None:
    import json

    for card in (ROOT / "MultiContrastSRLib/weights/shipped").glob("*.json"):
        content = json.loads(card.read_text(encoding="utf-8"))
        assert content["licence"] == "Apache-2.0" and "| Licence | Apache-2.0 |" in card.with_suffix(".md").read_text(
            "utf-8"
        )
        for subject in re.findall(r"^train: patient(\d+)", "\n".join(content["data"]), re.MULTILINE):
            assert subject in (ROOT / "NOTICE").read_text(encoding="utf-8"), f"NOTICE does not name patient {subject}"
