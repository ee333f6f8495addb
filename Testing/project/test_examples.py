"""Every block of shell and Python in the documentation runs as printed, on small scans with the names that it uses.

A block marked `<!-- not run: why -->` is only parsed. `make` only shows what it would do, and `train` only checks its
arguments: `test_commands.py` and `training/test_training_readme.py` run them in small.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from batch_fixtures import write_dataset
from dicom_series import write_series
from examples import ROOT, Example, examples, mentions

import MultiContrastSRLib as mc
from MultiContrastSRLib.cli import VERBS, build_parser
from MultiContrastSRLib.samples.phantom import head_phantom

RUN = [e for e in examples() if not e.not_run]
MARKED = [e for e in examples() if e.not_run]
COMMANDS = [(e.place, command) for e in examples() for command in e.commands()]

SWIFT = ROOT / "MultiContrastSRLib/weights/shipped/swift"
SHELL_COMMANDS = {
    "multicontrastsr": f"""#!{sys.executable}
import shutil, sys
from pathlib import Path
from MultiContrastSRLib.cli import build_parser, main
if sys.argv[1] != "train":
    sys.exit(main(sys.argv[1:]))
parsed = build_parser().parse_args(sys.argv[1:])
if parsed.export:
    for suffix in (".safetensors", ".json"):
        shutil.copy({str(SWIFT)!r} + suffix, Path(parsed.export).with_suffix(suffix))
""",
    "make": f'#!/bin/sh\nexec {shutil.which("make")} --dry-run -C "{ROOT}" "$@"\n',
}


@pytest.fixture(scope="session")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the scans that examples name: the same head in three contrasts, views and resolutions."""
    folder = tmp_path_factory.mktemp("scans")

    def grid(*spacing: float) -> mc.Grid:
        shape = tuple(round(side / mm) for side, mm in zip((24, 72, 64), spacing, strict=True))
        affine = np.diag([*spacing[::-1], 1.0])
        affine[:3, 3] = (-32, -36, 0) + np.array(spacing[::-1]) / 2
        return mc.Grid(shape, affine)

    for name, contrast, spacing in (
        ("t1", "T1", (3, 1, 1)),
        ("t2", "T2", (3, 2, 2)),
        ("flair", "FLAIR", (3, 2, 2)),
        ("flair_ax", "FLAIR", (4, 1, 1)),
        ("flair_cor", "FLAIR", (1, 4, 1)),
    ):
        mc.save_volume(head_phantom(contrast, grid(*spacing)), folder / f"{name}.nii.gz")
    t2 = head_phantom("T2", grid(3, 2, 2))
    write_series(folder / "dicom_folder", t2.array.astype(np.int16), t2.affine)
    anat = write_dataset(folder / "BIDS", ["01"]) / "sub-01" / "anat"
    for suffix in (".nii.gz", ".json"):
        shutil.copyfile(anat / f"sub-01_T2w{suffix}", anat / f"sub-01_FLAIR{suffix}")
    (folder / "scans" / "01").mkdir(parents=True)
    for name in ("T1", "T2"):
        shutil.copyfile(anat / f"sub-01_{name}w.nii.gz", folder / "scans" / "01" / f"{name}.nii.gz")
    return folder


@pytest.fixture
def folder(scans: Path, tmp_path: Path) -> Path:
    """A folder of its own with the scans, and the commands that shells find first."""
    for path in scans.iterdir():
        copy = shutil.copytree if path.is_dir() else shutil.copyfile  # examples may replace them
        copy(path, tmp_path / path.name)
    (tmp_path / "bin").mkdir()
    for name, text in SHELL_COMMANDS.items():
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    return tmp_path


def in_folder(folder: Path, command: list[str], library: Path = ROOT) -> str:
    """What a command prints that is run in `folder`, where nothing but the scans is known."""
    environment = {name: value for name, value in os.environ.items() if name != "MULTICONTRASTSR_DATA"}
    environment |= {"PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(library)}
    nowhere = "http://127.0.0.1:9"  # a closed port: every download fails at once
    environment |= {"http_proxy": nowhere, "https_proxy": nowhere}
    environment["XDG_CACHE_HOME"] = str(folder / "cache")
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def needs(example: Example) -> None:
    """Skip the test if a package that the example needs is not installed here."""
    packages = {"torch": "swift|subject-inr|fit", "matplotlib": "--figure|--curve", "ancpbids": "BIDS|/data/bids"}
    for package, words in packages.items():
        if re.search(words, example.text):
            pytest.importorskip(package, reason=f"This example needs {package}, which is not installed here.")


@pytest.mark.slow
@pytest.mark.timeout(900)  # of a block with many commands on a busy machine
@pytest.mark.parametrize("example", RUN, ids=lambda example: example.place)
def test_runs_as_printed(example: Example, folder: Path) -> None:
    needs(example)
    if example.language == "shell" and shutil.which("bash") is None:
        pytest.skip("Examples of shell need bash, which is not installed here.")
    runner = ["bash", "-euo", "pipefail", "-c"] if example.language == "shell" else [sys.executable, "-c"]
    in_folder(folder, [*runner, example.text])
    for written in re.findall(r"(?:-o |--output |--figure |--curve |\.save\(\")([\w./]+\.\w+)", example.text):
        assert (folder / written).is_file(), f"{written} was not written"


def test_what_is_not_run_says_why() -> None:
    assert MARKED and all(len(example.not_run.split()) >= 3 for example in MARKED)


@pytest.mark.parametrize(("place", "command"), COMMANDS, ids=[place for place, _ in COMMANDS])
def test_commands_are_understood(place: str, command: str) -> None:
    words = shlex.split(re.sub(r'"\$\{@.*?\}"', "", re.sub(r"\$\w+", "name", command)), comments=True)
    parsed = build_parser().parse_args(words)
    assert parsed.run in [verb.run for verb in VERBS]


@pytest.mark.parametrize("command", sorted(mentions(r"multicontrastsr ([^`…$]+)")))
def test_commands_in_sentences_are_understood(command: str) -> None:
    words = shlex.split(command)
    if len(words) == 1:  # the verb alone stands for the command
        assert words[0] in [verb.__name__.rpartition(".")[2].replace("_", "-") for verb in VERBS] or words[0] == "VERB"
        return
    try:
        parsed = build_parser().parse_args(words)
    except SystemExit as end:
        assert end.code == 0 and words[-1] in ("--help", "--version")
    else:
        assert parsed.verb == words[0]


def test_options_in_sentences_exist() -> None:
    parsers = [build_parser()]
    for parser in parsers:  # grows by the verbs' own
        parsers += [
            p for action in parser._actions if isinstance(action.choices, dict) for p in action.choices.values()
        ]
    known = {option for parser in parsers for action in parser._actions for option in action.option_strings}
    for script in (ROOT / "Testing").glob("*.py"):
        known |= set(re.findall(r'add_argument\(\s*"(--[a-z-]+)"', script.read_text(encoding="utf-8")))
    of_others = {"--strict", "--build-arg", "--gpus", "--nv", "--pipeline", "--container-config"}
    named = {flag for text in mentions(r"([^`\n]*--[^`\n]*)") for flag in re.findall(r"(?<![\w-])--[a-z][a-z-]*", text)}
    assert len(named) > 30 and named <= known | of_others


def test_commands_of_the_makefile_are_understood() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8").replace("\\\n", " ")
    commands = re.findall(r"/multicontrastsr (.*)", text)
    assert commands
    for command in commands:
        build_parser().parse_args(shlex.split(command))


def test_make_targets_in_sentences_exist() -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    named = mentions(r"make (?:TORCH_INDEX=… )?([a-z-]+)")
    assert {"demo", "test"} <= set(named) <= set(targets)


def test_files_in_sentences_exist() -> None:
    named = mentions(r"((?:Testing|MultiContrastSR|MultiContrastSRLib|docs|Resources)/[\w./*-]+)(?:[ :][^`]*)?")
    assert len(named) > 10
    assert not {name: pages for name, pages in named.items() if not list(ROOT.glob(name))}


def test_a_method_is_one_new_file(folder: Path) -> None:
    (example,) = [e for e in examples() if e.place.startswith("CONTRIBUTING") and "@register" in e.text]
    library = folder / "tree/MultiContrastSRLib"
    shutil.copytree(ROOT / "MultiContrastSRLib", library, ignore=shutil.ignore_patterns("*.safetensors", "__pycache__"))
    (library / "methods/mirror.py").write_text(example.text)
    command = [sys.executable, "-m", "MultiContrastSRLib.cli"]
    assert "mirror" in in_folder(folder, [*command, "methods"], library.parent)
    in_folder(folder, [*command, *"super-resolve t2.nii.gz -o out.nii.gz --method mirror".split()], library.parent)
    assert mc.load_volume(folder / "out.nii.gz").shape == (8, 72, 64)


@pytest.mark.slow
def test_the_lines_for_slicers_console_run(request: pytest.FixtureRequest, scans: Path) -> None:
    slicer = pytest.importorskip("slicer", reason="Slicer's scene (slicer-core) is not installed here.")
    (example,) = [e for e in examples() if e.place.startswith("docs/panel") and "MultiContrastSRLogic" in e.text]
    needs(example)
    harness = request.getfixturevalue("module") and request.getfixturevalue("harness")
    for name, scan in (("MSPatient12-FLAIR", "flair"), ("MSPatient12-T2W", "t1")):
        volume = mc.load_volume(scans / f"{scan}.nii.gz")
        slicer.util.addVolumeFromArray(np.array(volume.array), ijkToRAS=np.array(volume.affine), name=name)
    names = {"getNode": slicer.util.getNode}
    exec(example.text, names)
    assert names["node"].GetName().startswith("MSPatient12-FLAIR guided")
    assert names["node"].GetSpacing() == pytest.approx((1.0, 1.0, 1.0))
    harness.wait(lambda: not names["run"].active, 30.0, "the end of the cancelled run")
    assert names["run"].node is None


@pytest.mark.slow
def test_the_lines_for_a_batch_in_slicers_console_run(request: pytest.FixtureRequest, folder: Path) -> None:
    pytest.importorskip("slicer", reason="Slicer's scene (slicer-core) is not installed here.")
    (example,) = [e for e in examples() if e.place.startswith("docs/panel") and "startBatch" in e.text]
    needs(example)
    module, harness = request.getfixturevalue("module"), request.getfixturevalue("harness")
    names = {"logic": module.logic}
    exec(example.text.replace("/data/bids", str(folder / "BIDS")).replace("/data/out", str(folder / "out")), names)
    harness.wait(lambda: not names["batch"].active, 30.0, "the end of the stopped batch")
    assert names["batch"].state.value == "stopped"
