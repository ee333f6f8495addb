"""What runs a batch elsewhere: SLURM script, container, descriptors of other runners, and the documented commands."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from batch_fixtures import RECIPE, rows_of

from MultiContrastSRLib._version import __version__
from MultiContrastSRLib.batch.recipe import from_mapping, load_recipe
from MultiContrastSRLib.cli import build_parser

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "Resources" / "batch"


def options_of_batch() -> set[str]:
    verbs = next(action for action in build_parser()._actions if action.dest == "verb")
    return {option for action in verbs.choices["batch"]._actions for option in action.option_strings}


def text_of(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")


def test_the_example_of_a_recipe_is_one():
    recipe = from_mapping(load_recipe(FOLDER / "study.toml"))
    assert recipe.targets == ("T2w", "FLAIR") and recipe.resolution_label == "1mm"


@pytest.mark.parametrize("name", ["batch.md", "cluster.md"])
def test_documented_commands_are_understood(name):
    text = (ROOT / "docs" / name).read_text(encoding="utf-8")
    commands = re.findall(r"^(multicontrastsr batch .*?)(?: *#.*)?$", text, re.MULTILINE)
    commands += re.findall(r"`(multicontrastsr (?:batch|evaluate) [^`…]*)`", text)
    assert len(commands) >= 2
    for command in commands:
        build_parser().parse_args(shlex.split(command)[1:])


def test_documented_settings_are_those_of_recipes():
    text = (ROOT / "docs" / "batch.md").read_text(encoding="utf-8")
    documented = {
        name for row in re.findall(r"^\| (`.*?) \|", text, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)
    }
    assert documented | {"options"} == set(from_mapping({"targets": "T2w"}).as_dict())


def test_documented_options_exist():
    text = "".join((ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("batch.md", "cluster.md"))
    text += text_of("array.slurm") + text_of("babs.yaml")
    others = {
        "--array",
        "--help",
        "--rm",
        "--data",
        "--containall",
        "--writable-tmpfs",
        "--build-arg",
        "--gpus",
        "--nv",
    }
    others |= {"--nthreads", "--nworkers", "--pipeline", "--container-config", "--job-name", "--cpus-per-task", "--mem"}
    others |= {"--time", "--output", "--gres", "--signal", "--nodes", "--ntasks"}
    assert set(re.findall(r"(?<![\w-])--[a-z][\w-]*", text)) <= options_of_batch() | others


def test_the_descriptors_of_nipoppy_agree_with_the_command():
    config, descriptor, invocation = (
        json.loads(text_of(f"nipoppy/{name}.json")) for name in ("config", "descriptor", "invocation")
    )
    assert config["VERSION"] == descriptor["tool-version"] == __version__
    inputs = {each["id"]: each for each in descriptor["inputs"]}
    assert {each["command-line-flag"] for each in inputs.values() if "command-line-flag" in each} <= options_of_batch()
    assert all(each["value-key"] in descriptor["command-line"] for each in inputs.values())
    assert set(invocation) <= set(inputs) and {k for k, v in inputs.items() if not v["optional"]} <= set(invocation)
    words = descriptor["command-line"]
    for name, each in inputs.items():
        value = invocation.get(name)
        values = [] if value is None or value is True else value if isinstance(value, list) else [value]
        flag = [] if value is None else [each.get("command-line-flag", "")]
        words = words.replace(each["value-key"], shlex.join([*filter(None, flag), *map(str, values)]))
    parsed = build_parser().parse_args(shlex.split(words)[1:])
    assert parsed.targets == ["T2w", "FLAIR"] and parsed.n_procs == 1 and parsed.skip_bids_validation


def test_the_configuration_of_babs_agrees_with_the_command():
    yaml = pytest.importorskip("yaml")
    found = yaml.safe_load(text_of("babs.yaml"))
    given = {name: value for name, value in found["bids_app_args"].items() if name.startswith("-")}
    words = [word for name, value in given.items() for word in (name, *value.split())]
    parsed = build_parser().parse_args(["batch", "bids", "out", "participant", *words])
    assert parsed.targets == ["T2w", "FLAIR"] and parsed.n_procs == 2 and parsed.skip_bids_validation
    assert found["zip_foldernames"]["multicontrastsr"] == __version__.replace(".", "-")
    assert found["bids_app_args"]["$SUBJECT_SELECTION_FLAG"] in options_of_batch()


def test_the_container_installs_what_the_batch_needs():
    lines = [line for line in text_of("Containerfile").replace("\\\n", " ").splitlines() if line and line[0] != "#"]
    instructions = [line.split()[0] for line in lines]
    assert instructions[0] == "FROM" and set(instructions) <= {
        "FROM",
        "ARG",
        "WORKDIR",
        "COPY",
        "RUN",
        "ENTRYPOINT",
        "CMD",
    }
    for line in lines:
        if line.startswith("COPY"):
            assert all((ROOT / name).exists() for name in line.split()[1:-1])
    assert json.loads(next(line for line in lines if line.startswith("ENTRYPOINT")).partition(" ")[2])[1] == "batch"
    extras = re.search(r'"\.\[(.*)\]"', text_of("Containerfile")).group(1).split(",")
    pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert all(re.search(rf"^{extra} = \[", pyproject, re.MULTILINE) for extra in extras)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_container_is_built_and_runs(dataset, tmp_path):
    builder = next((name for name in ("podman", "docker") if shutil.which(name)), None)
    if builder is None or subprocess.run([builder, "info"], capture_output=True).returncode != 0:
        pytest.skip("No container builder runs here (podman or docker).")
    place = FOLDER / "Containerfile"
    done = subprocess.run([builder, "build", "-q", "-f", place, ROOT], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    image = done.stdout.split()[-1]
    mounts = ["-v", f"{dataset}:/bids:ro", "-v", f"{tmp_path / 'out'}:/out"]
    (tmp_path / "out").mkdir()
    done = subprocess.run(
        [builder, "run", "--rm", *mounts, image, "/bids", "/out", *RECIPE], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert {row["state"] for row in rows_of(tmp_path / "out").values()} == {"done"}


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_the_slurm_script_gives_each_task_its_share(tmp_path):
    called = tmp_path / "multicontrastsr"
    called.write_text('#!/bin/bash\nprintf "%s\\n" "$@"\n')
    called.chmod(0o755)
    granted = {
        "SLURM_ARRAY_TASK_ID": "3",
        "SLURM_ARRAY_TASK_COUNT": "20",
        "SLURM_CPUS_PER_TASK": "4",
        "SLURM_MEM_PER_NODE": "16000",
    }
    environment = {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", **granted}
    command = ["bash", str(FOLDER / "array.slurm"), "bids", "out", "study.toml"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    parsed = build_parser().parse_args(done.stdout.splitlines())
    assert (parsed.array, parsed.n_procs, parsed.mem_mb, parsed.config) == ("3/20", 2, 14400.0, "study.toml")
    done = subprocess.run(
        command, capture_output=True, text=True, env={**environment, "SLURM_GPUS_ON_NODE": "1"}, check=True
    )
    assert build_parser().parse_args(done.stdout.splitlines()).n_procs == 1
