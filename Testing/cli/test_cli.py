"""The command `multicontrastsr`: verbs, JSON, progress, Ctrl-C; the errors are in test_errors.py."""

from __future__ import annotations

import csv
import json
import os
import signal
import statistics
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from phantoms import pair

import MultiContrastSRLib as mc
from MultiContrastSRLib.cli import build_parser, console, main
from MultiContrastSRLib.evaluation import Study
from MultiContrastSRLib.methods import Option, contract, register
from MultiContrastSRLib.methods.interpolation import Linear
from MultiContrastSRLib.pipeline import result

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with a target and a sharper reference."""
    monkeypatch.chdir(tmp_path)
    truth, reference = pair((12, 64, 64))
    mc.save_volume(truth, "truth.nii.gz")
    mc.save_volume(mc.degrade(truth, "kspace", 2), "t2.nii.gz")
    mc.save_volume(reference, "t1.nii.gz")
    return tmp_path


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, str]]:
    """Standard error is a terminal; what a progress bar is told is kept instead of drawn."""
    told: list[tuple[float, str]] = []

    class Bar:
        def __call__(self, fraction: float, stage: str) -> None:
            told.append((fraction, stage))

        def close(self) -> None:
            told.append((-1.0, "closed"))

    monkeypatch.setattr(console, "Bar", Bar)
    monkeypatch.setattr(console, "on_terminal", lambda: True)
    return told


def run(*arguments: str, **keywords: object) -> subprocess.CompletedProcess:
    """The command in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "MultiContrastSRLib.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, **keywords)


# ---------------------------------------------------------------------- super-resolve


def test_super_resolve_is_what_the_library_does(folder, capsys):
    assert main("super-resolve t2.nii.gz t1.nii.gz -o out.nii.gz --scale 2 --register off".split()) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[-2:] == ["out.nii.gz", "out.json"] and printed[-3].startswith("guided, 2x; 3 × 1 × 1 mm")
    result = mc.super_resolve("t2.nii.gz", "t1.nii.gz", scale=2, register="off")
    assert np.array_equal(mc.load_volume("out.nii.gz").array, result.volume.array)
    report = json.loads(Path("out.json").read_text())
    assert report["method"] == "guided" and report["scale"] == [1, 2, 2] and "Research use only" in report["statement"]


def test_super_resolve_prints_one_json_object(folder, capsys):
    assert main("super-resolve t2.nii.gz -o out.mha --method sinc --scale 1 1.5 3 --json".split()) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["files"] == ["out.mha", "out.json"] and printed["shape"] == [12, 48, 96]
    assert printed == {"files": printed["files"], **json.loads(Path("out.json").read_text())}


def test_super_resolve_to_isotropic_voxels_without_consistency(folder, capsys):
    command = "super-resolve t2.nii.gz -o out.nrrd --method linear --spacing 1 --no-consistency --json"
    assert main(command.split()) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["spacing"] == [1, 1, 1] and printed["consistency"] == {"mode": "off"}
    assert mc.load_volume("out.nrrd").shape == (36, 64, 64)


def test_options_reach_the_method(folder, capsys):
    command = "super-resolve t2.nii.gz t1.nii.gz -o out.nii --register off --option strength=0.25 --json"
    assert main(command.split()) == 0
    assert json.loads(capsys.readouterr().out)["options"]["strength"] == 0.25


def test_every_type_of_option_is_read():
    @register
    class Dummy(Linear):
        name, label, summary, citation = "dummy-cli", "Dummy", "Nothing.", "None, 2026"
        options = (
            Option("soft", True, "Soft", "A switch."),
            Option("count", 3, "Count", "A number.", 0, 9),
            Option("share", 0.5, "Share", "A number.", 0, 1),
            Option("kind", "a", "Kind", "A word.", choices=("a", "b")),
        )

    try:
        given = ["soft=no", "count=7", "share=1e-1", "kind=b"]
        parsed = console.parse_options("dummy-cli", given)
        assert parsed == {"soft": False, "count": 7, "share": 0.1, "kind": "b"} and parsed["soft"] is False
        assert Dummy().check_options(parsed) == parsed
        assert console.parse_options("dummy-cli", ["soft=ON", "count=many", "other=1"]) == {
            "soft": True,
            "count": "many",
            "other": "1",
        }
    finally:
        contract.REGISTRY.unregister("dummy-cli")


def test_an_earlier_result_is_replaced_when_asked(folder):
    command = "super-resolve t2.nii.gz -o out.nii --method nearest".split()
    assert main(command) == 0
    assert main(command) == 4
    assert main([*command, "--overwrite"]) == 0
    Path("out.nii").unlink()
    assert main(command) == 4  # the report would be overwritten


def test_warnings_go_to_standard_error(folder, capsys):
    far = np.diag([1.0, 1, 3, 1])
    far[:3, 3] = 5000
    mc.save_volume(mc.Volume(np.random.default_rng(0).random((12, 64, 64)), far), "far.nii.gz")
    assert main("super-resolve t2.nii.gz far.nii.gz -o out.nii --json".split()) == 0
    printed = capsys.readouterr()
    warnings = json.loads(printed.out)["warnings"]
    assert warnings and printed.err.splitlines() == [f"multicontrastsr: warning: {w}" for w in warnings]


# ---------------------------------------------------------------------- the other verbs


def test_degrade(folder, capsys):
    assert main("degrade truth.nii.gz -o low.nii.gz --kind slab --scale 2 --axis k --json".split()) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == {"files": ["low.nii.gz"], "shape": [6, 64, 64], "spacing": [6.0, 1.0, 1.0]}
    expected = mc.degrade(mc.load_volume("truth.nii.gz"), "slab", 2, "k")
    assert np.array_equal(mc.load_volume("low.nii.gz").array, expected.array)
    assert main("degrade truth.nii.gz -o numbered.nii.gz --kind slab --scale 2 --axis 0 --json".split()) == 0
    assert np.array_equal(mc.load_volume("numbered.nii.gz").array, expected.array)
    capsys.readouterr()
    assert main("degrade truth.nii.gz -o low2.nii.gz --scale 1 2 4".split()) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "low2.nii.gz"


def test_info(folder, capsys):
    assert main("info t2.nii.gz t1.nii.gz --json".split()) == 0
    volumes = json.loads(capsys.readouterr().out)["volumes"]
    assert [v["file"] for v in volumes] == ["t2.nii.gz", "t1.nii.gz"]
    assert volumes[0]["shape"] == [12, 32, 32] and volumes[0]["spacing_mm"] == [3, 2, 2]
    assert volumes[0]["orientation"] == "RAS" and volumes[0]["acquisition"] == "2-D, slices along k"
    assert volumes[0]["effective_resolution_mm"] == [3, 2, 2] and volumes[0]["warnings"]
    assert main("info t2.nii.gz".split()) == 0
    printed = capsys.readouterr()
    assert "12 × 32 × 32" in printed.out and "Slice thickness is not stated" in printed.err


def test_info_shows_what_is_wrong_with_a_scan(folder, capsys):
    array = np.zeros((3, 4, 5))
    array[0, 0, :2] = np.nan
    mc.save_volume(mc.Volume(array, np.eye(4)), "bad.nii")
    assert main("info bad.nii --json".split()) == 0
    (found,) = json.loads(capsys.readouterr().out)["volumes"]
    assert found["warnings"] == [
        "2 of 60 voxels are NaN or infinite (--replace-nan of super-resolve and degrade replaces them)."
    ]
    assert found["intensity_range"] == [0, 0]


def test_evaluate(folder, capsys):
    mc.save_volume(mc.Volume(np.ones((12, 64, 64)), np.diag([1, 1, 3, 1])), "mask.nii")
    command = "evaluate truth.nii.gz t1.nii.gz --scales 2 --methods sinc guided --slices 1 --mask mask.nii"
    outputs = "--csv table.csv --markdown table.md --figure errors.png"
    assert main([*command.split(), *outputs.split()]) == 0
    assert "guided" in capsys.readouterr().out
    table = list(csv.DictReader(Path("table.csv").read_text().splitlines()))
    assert {row["method"] for row in table} >= {"sinc", "guided"}
    assert "| sinc |" in Path("table.md").read_text() and Path("errors.png").stat().st_size > 10_000
    assert main([*command.split(), *outputs.split()]) == 4  # they exist
    capsys.readouterr()
    assert main([*command.split(), *outputs.split(), "--overwrite", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["protocol"]["name"] == "p3" and {r["method"] for r in found["results"]} >= {"sinc", "guided"}


def test_methods(capsys):
    names = [method.name for method in mc.methods()]
    assert main(["methods"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == names
    assert main(["methods", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)["methods"]
    assert [entry["name"] for entry in listed] == names and all(entry["citation"] for entry in listed)
    for method in mc.methods():
        assert main(["methods", method.name]) == 0
        text = capsys.readouterr().out
        assert method.citation in text
        for option in method.options:
            assert f"{option.name}={option.default}" in text and option.describe_range() in text
    assert main(["methods", "--markdown"]) == 0
    text = capsys.readouterr().out
    assert all(f"`{name}`" in text for name in names)


# ---------------------------------------------------------------------- behaviour in a shell


def test_every_verb_takes_the_shared_flags(capsys):
    for verb in ("super-resolve", "evaluate", "degrade", "info", "methods"):
        with pytest.raises(SystemExit) as stop:
            build_parser().parse_args([verb, "--help"])
        text = capsys.readouterr().out
        assert stop.value.code == 0 and all(flag in text for flag in ("--json", "--quiet", "--debug"))


def test_help_is_quick_and_imports_nothing_heavy():
    code = (
        "import json, sys, time, numpy; start = time.perf_counter()\n"
        "from MultiContrastSRLib.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "print(json.dumps([time.perf_counter() - start, sorted(sys.modules)]), file=sys.stderr)"
    )
    seconds, modules = [], set()
    for _ in range(3):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
        taken, loaded = json.loads(done.stderr)
        seconds.append(taken)
        modules.update(name.partition(".")[0] for name in loaded)
    assert statistics.median(seconds) < 0.3, f"--help takes {seconds} s beyond numpy; expected below 0.3 s"
    assert modules.isdisjoint({"scipy", "torch", "SimpleITK", "nibabel", "matplotlib", "tqdm", "vtk"})


def test_output_is_clean_when_nobody_watches(folder):
    done = run("super-resolve", "t2.nii.gz", "-o", "out.nii", "--method", "linear", cwd=folder)
    assert done.returncode == 0 and done.stderr == "" and done.stdout.splitlines()[-2:] == ["out.nii", "out.json"]


def test_progress_on_a_terminal(folder, terminal):
    assert main("super-resolve t2.nii.gz t1.nii.gz -o out.nii --register on".split()) == 0
    stages = list(dict.fromkeys(stage for _, stage in terminal))
    assert stages == ["load", "register", "prepare", "consistency", "render", "save", "closed"]
    before_saving = [fraction for fraction, stage in terminal if stage not in ("save", "closed")]
    assert before_saving == sorted(before_saving) and before_saving[-1] == 1.0
    terminal.clear()
    assert main("super-resolve t2.nii.gz -o quiet.nii --method linear --quiet".split()) == 0
    assert terminal == []


@pytest.mark.parametrize("tqdm", [True, False])
def test_the_bar_writes_one_line_over_itself(monkeypatch, capsys, tqdm):
    if not tqdm:
        monkeypatch.setitem(sys.modules, "tqdm", None)
    bar = console.Bar()
    for fraction in (0.0, 0.5, 1.0):
        bar(fraction, "prepare")
    bar.close()
    said = capsys.readouterr().err
    assert "prepare" in said and "50" in said and "\n" not in said.strip("\n") and said.count("\r") >= 3


def test_a_pipe_that_closes_early_is_no_error(folder):
    command = f"{sys.executable} -m MultiContrastSRLib.cli methods --markdown | head -c 5"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"], capture_output=True, text=True, cwd=ROOT, env={**os.environ}
    )
    assert done.returncode == 0 and done.stderr == "" and len(done.stdout) == 5


SLOW = """
import sys, time
from MultiContrastSRLib.cli import console, main

class Bar:
    def __call__(self, fraction, stage):
        if stage == "prepare":
            print("under way", flush=True)
            time.sleep(1)

    def close(self):
        pass

console.Bar, console.on_terminal = Bar, lambda: True
sys.exit(main(["super-resolve", "t2.nii.gz", "t1.nii.gz", "-o", "out.nii"]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent in another way on Windows")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_cancels_and_leaves_nothing(folder, number):
    before = sorted(folder.iterdir())
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "under way\n"
    process.send_signal(number)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert said == "multicontrastsr: error: Cancelled during prepare; nothing was changed.\n"
    assert sorted(folder.iterdir()) == before


def test_a_signal_when_outputs_are_written_already_does_not_deny_them(folder, monkeypatch, capsys):
    draw = Study.figure
    monkeypatch.setattr(Study, "figure", lambda *given: (signal.raise_signal(signal.SIGINT), draw(*given)))
    command = "evaluate truth.nii.gz t1.nii.gz --scales 2 --methods sinc --csv table.csv --figure errors.png"
    assert main(command.split()) == 130
    assert capsys.readouterr().err == "multicontrastsr: error: Cancelled; no incomplete file is left.\n"
    assert Path("table.csv").stat().st_size > 100 and Path("errors.png").stat().st_size > 10_000


def test_image_and_companion_are_written_together_or_not_at_all(folder, monkeypatch, capsys):
    command = "super-resolve t2.nii.gz t1.nii.gz -o a.nii --companion b.nii --register off --method"
    assert main([*command.split(), "joint-tv"]) == 0
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    write = result.write_image

    def full_after_one(volume: mc.Volume, *given: object) -> None:
        if volume.name.startswith("t1"):
            raise OSError(28, "No space left on device")
        write(volume, *given)

    monkeypatch.setattr(result, "write_image", full_after_one)
    capsys.readouterr()
    assert main([*command.split(), "joint-nonlocal", "--overwrite"]) == 4
    assert "Could not write b.nii: No space left on device. Nothing was left behind." in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_debug_shows_the_traceback(folder, capsys):
    assert main("info gone.nii --debug".split()) == 4
    said = capsys.readouterr().err
    assert "Traceback" in said and said.splitlines()[-1].startswith("multicontrastsr: error: File gone.nii does not")
