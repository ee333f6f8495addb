"""The papers' ablations: every command that the training's README lists does what its row says."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="Training needs torch, which is not installed here.")

from training_fixtures import phantom_pack, recipe  # noqa: E402

from MultiContrastSRLib.cli import build_parser  # noqa: E402
from MultiContrastSRLib.cli.rows import parse_row  # noqa: E402
from MultiContrastSRLib.evaluation.method_under_test import methods_under_test  # noqa: E402
from MultiContrastSRLib.networks.registry import build  # noqa: E402
from MultiContrastSRLib.training import loop  # noqa: E402
from MultiContrastSRLib.training.data.degradation import draw_degradation  # noqa: E402
from MultiContrastSRLib.training.recipe import Recipe  # noqa: E402
from MultiContrastSRLib.training.recipe_file import load_recipe  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")

README = Path(loop.__file__).with_name("README.md").read_text(encoding="utf-8")
ROWS = [shlex.split(line) for line in re.findall("`ablate (.*?)`", README)]
ABLATE = re.search(r'multicontrastsr (train "\$2" .*)', README).group(1)
EVALUATIONS = [
    shlex.split(line)
    for line in README.replace("\\\n", " ").splitlines()
    if line.startswith("multicontrastsr evaluate") and "ablations/" in line
]
WITHOUT = {  # row → parameters that it does not have
    "dual-noscale": "",
    "dual-nocoordinates": "",
    "minet-nointegration": "integration|integrate",
    "minet-noattention": "attention",
    "dinet-static": "dynamic",
    "dinet-noattention": "phase|frequency",
    "dinet-nomodulation": "modulation",
}
SHOWN = {"dual-alone": {"none"}, "minet-alone": {"none"}, "dual-high": {"high"}, "dual-low": {"low"}}


def recipe_of(row: list[str]) -> Recipe:
    """The recipe that `ablate` trains for a row, as the command line makes it."""
    name, base, *changes = row
    command = ABLATE.replace('"$2"', base).replace("$1", name).replace('"${@:3}"', shlex.join(changes))
    parsed = build_parser().parse_args(shlex.split(command))
    assert parsed.export == f"ablations/{name}.safetensors"
    return load_recipe(parsed.recipe, dict(text.split("=", 1) for text in parsed.set))


def parameters(found: Recipe) -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        return {name: tuple(p.shape) for name, p in build(found.spec).named_parameters()}


def test_all_rows_of_the_papers_are_listed() -> None:
    names = [row[0] for row in ROWS]
    assert len(set(names)) == len(names) == 14 and {*WITHOUT, *SHOWN} < {*names}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
@pytest.mark.parametrize("size", ["light", "published"])
def test_a_row_trains_what_it_says(row, size) -> None:
    name, base, *changes = row
    found = recipe_of([name, base.replace("light", size), *changes])
    whole = load_recipe(base.replace("light", size))
    lost = parameters(whole).keys() - parameters(found).keys()
    if name in WITHOUT:
        assert found.spec != whole.spec
        assert all(re.search(WITHOUT[name], n) for n in lost) and bool(lost) == bool(WITHOUT[name])
    else:
        assert found.spec == whole.spec
    steps = range(0, found.optimisation.steps, max(1, found.optimisation.steps // 200))
    drawn = {draw_degradation(found, step, np.random.default_rng(step)).reference for step in steps}
    if name in SHOWN:
        assert drawn == SHOWN[name]
    elif name == "dual":
        assert {"high", "low"} <= drawn


@pytest.mark.parametrize("command", EVALUATIONS, ids=lambda command: command[-1].split("=")[-1])
def test_an_evaluation_reads_what_the_rows_made(command) -> None:
    parsed = build_parser().parse_args(command[1:])
    entries = methods_under_test([parse_row(text) for text in parsed.methods])
    made = {f"ablations/{row[0]}.safetensors": recipe_of(row).spec.network for row in ROWS}
    for entry in entries[1:]:
        assert made[entry.options["weights"]] == entry.method
        alone = entry.options["weights"].endswith("-alone.safetensors")
        assert entry.reference == "none" if alone else entry.options["check_reference"] is False
    assert parsed.against in [entry.row for entry in entries]


def test_every_row_is_evaluated_and_all_pairs_of_references() -> None:
    entries = [parse_row(text) for command in EVALUATIONS for text in build_parser().parse_args(command[1:]).methods]
    assert {Path(entry.options["weights"]).stem for entry in entries} == {row[0] for row in ROWS}
    grid = {entry.row: (Path(entry.options["weights"]).stem, entry.reference) for entry in entries}
    for trained, stem in (("HR", "dual-high"), ("LR", "dual-low"), ("random", "dual")):
        for tested, reference in (("HR", "full"), ("LR", "low"), ("none", "none")):
            assert grid[f"{trained}-{tested}"] == (stem, reference)


@pytest.mark.parametrize(
    ("network", "changes"),
    [
        ("dual-arbnet", {"augmentation": {"no_reference": 1.0}}),
        ("dual-arbnet", {"curriculum": {"low_reference": 1.0}}),
        ("dual-arbnet", {"model": {"with_scale": False, "with_coordinates": False}}),
        ("minet", {"augmentation": {"no_reference": 1.0}, "loss": {"target": 0.7, "reference": 0.3}}),
        ("minet", {"model": {"integration": False, "attention": False}}),
        ("dinet", {"model": {"kernels": 1, "attention": False, "modulation": False}}),
    ],
)
def test_ablated_networks_train(network, changes, tmp_path) -> None:
    short = {"optimisation": {"steps": 2, "validate_every": 2, "save_every": 2}}
    outcome = loop.train(recipe(network, **changes, **short), phantom_pack(), tmp_path)
    assert outcome.finished and np.isfinite(outcome.curve[-1]["loss"])
