"""What the command line may say about its inputs: slice thickness, replaced NaN; and inputs it refuses with a way."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import MultiContrastSRLib as mc
from MultiContrastSRLib.cli import main

THICK = np.diag([1.0, 1.0, 5.0, 1.0])


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    array = np.random.default_rng(0).random((6, 40, 40))
    mc.save_volume(mc.Volume(array, THICK), "t2.nii")
    array[0, 0, :3] = np.nan
    mc.save_volume(mc.Volume(array, THICK), "nan.nii")
    return tmp_path


def test_the_slice_thickness_can_be_stated(folder, capsys):
    command = "super-resolve t2.nii -o {} --method bspline --scale 2 1 1 --json"
    assert main(command.format("a.nii").split()) == 0
    assumed = json.loads(capsys.readouterr().out)
    assert main([*command.format("b.nii").split(), "--slice-thickness", "3"]) == 0
    stated = json.loads(capsys.readouterr().out)
    assert any("thickness is not stated" in note for note in assumed["notes"])
    assert not any("thickness is not stated" in note for note in stated["notes"])
    # a thinner slab is another image
    assert np.abs(mc.load_volume("a.nii").array - mc.load_volume("b.nii").array).max() > 0.01
    assert main("super-resolve t2.nii -o c.nii --slice-thickness 0".split()) == 2
    assert "Slice thickness is 0.0 mm; expected a number above 0" in capsys.readouterr().err


@pytest.mark.parametrize("value", [[], ["0.25"]])
@pytest.mark.parametrize("verb", ["super-resolve --method sinc", "degrade --kind kspace"])
def test_nan_can_be_replaced(folder, capsys, verb, value):
    name, *options = verb.split()
    command = [name, "nan.nii", "-o", "out.nii", *options]
    assert main(command) == 2
    assert "--replace-nan" in capsys.readouterr().err and not Path("out.nii").exists()
    assert main([*command, "--replace-nan", *value]) == 0
    expected = f"3 of 9600 voxels of nan were NaN or infinite and were replaced by {value[0] if value else 0}."
    assert expected in capsys.readouterr().err
    assert np.isfinite(mc.load_volume("out.nii").array).all()


def test_several_references_point_to_fit(folder, capsys):
    mc.save_volume(mc.load_volume("t2.nii"), "a.nii")
    assert main("super-resolve t2.nii a.nii,t2.nii -o out.nii".split()) == 2
    said = capsys.readouterr().err
    assert "names 2 files; expected one" in said
    assert "`multicontrastsr fit t2.nii a.nii,t2.nii -o patient.safetensors`" in said
    mc.save_volume(mc.load_volume("t2.nii"), "b,c.nii")  # a comma in a name is no list
    assert main("super-resolve t2.nii b,c.nii -o out.nii --register off".split()) == 0
