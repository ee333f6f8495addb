"""The commands that the training's README and `train --help` print."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from phantoms import pair

import MultiContrastSRLib as mc
from MultiContrastSRLib.cli import build_parser, main
from MultiContrastSRLib.cli import train as verb
from MultiContrastSRLib.training import recipe_file
from MultiContrastSRLib.training.recipe_file import recipe_names

README = Path(recipe_file.__file__).with_name("README.md").read_text(encoding="utf-8")


def commands(text: str) -> list[list[str]]:
    """The arguments of all `multicontrastsr train` in `text`."""
    lines = text.replace("\\\n", " ").splitlines()
    found = (re.search(r"(?:multicontrastsr|MultiContrastSRLib\.cli) (train( [^`]*)?)", line) for line in lines)
    return [shlex.split(match[1], comments=True) for match in found if match and "$2" not in match[1]]


@pytest.mark.parametrize("text", [README, verb.__doc__], ids=["README", "help"])
def test_every_example_names_a_recipe(text):
    named = [build_parser().parse_args(command).recipe for command in commands(text)]
    assert len(named) >= 5 and set(named) - {None, "RECIPE", "mine.toml"} <= set(recipe_names())


def test_the_documentation_says_how_the_recipes_are_listed(capsys):
    text = Path(__file__).parents[2].joinpath("docs", "training.md").read_text(encoding="utf-8")
    (command,) = re.findall("`multicontrastsr (train[^`]*)`[^`]* lists those that ship", text)
    assert main(command.split()) == 0 and capsys.readouterr().out.split() == recipe_names()


def test_own_data_train_as_printed(tmp_path, monkeypatch, capsys):
    pytest.importorskip("torch", reason="Training needs torch, which is not installed here.")
    toml = re.search(r"```toml\n(.*?)```", README, re.DOTALL)[1]
    (command,) = [c for c in commands(README) if "mine.toml" in c]
    for number, subject in enumerate(("anna", "bert")):
        folder = tmp_path / "SCANS" / subject / "anat"
        folder.mkdir(parents=True)
        for contrast, volume in zip(("T2w", "T1w"), pair((4, 60, 56), number), strict=True):
            mc.save_volume(volume, folder / f"{subject}_{contrast}.nii.gz")
    (tmp_path / "mine.toml").write_text(toml)
    monkeypatch.chdir(tmp_path)
    # the published network, one short step of it
    small = {"model.features": 8, "model.blocks": 1, "model.layers": 1, "model.fusion_layers": 2,
             "model.fusion_convs": 1, "optimisation.steps": 1, "optimisation.batch_size": 1}  # fmt: skip
    changes = [text for name, value in small.items() for text in ("--set", f"{name}={value}")]
    assert main([*command, *changes, "--device", "cpu", "--quiet"]) == 0, capsys.readouterr().err
    assert (tmp_path / "run/curve.json").exists()


def test_label_maps_are_read_only_where_they_are_used(tmp_path):
    from MultiContrastSRLib.core.errors import InputError
    from MultiContrastSRLib.training.data.build import build_pack
    from MultiContrastSRLib.training.recipe_file import load_recipe

    for number, subject in enumerate(("anna", "bert")):
        (tmp_path / subject).mkdir()
        for contrast, volume in zip(("t2", "t1"), pair((3, 40, 40), number), strict=True):
            mc.save_volume(volume, tmp_path / subject / f"{contrast}.nii.gz")
    (tmp_path / "mine.toml").write_text(
        'base = "swift"\n[[source]]\nvalidation_share = 0.5\n'
        'contrasts.T2 = "{subject}/t2.nii.gz"\ncontrasts.T1 = "{subject}/t1.nii.gz"\n'
    )
    with pytest.raises(InputError, match=r"No label maps were found.*set augmentation.synthetic to 0"):
        build_pack(load_recipe(tmp_path / "mine.toml"), tmp_path)
    without = load_recipe(tmp_path / "mine.toml", {"augmentation.synthetic": "0.0"})
    assert build_pack(without, tmp_path).labels == ()
