"""Checkpoints of a training: what goes on from them, on which recipe and data, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

torch = pytest.importorskip("torch", reason="Training needs torch, which is not installed here.")

from training_fixtures import RICH, phantom_pack, recipe  # noqa: E402

from MultiContrastSRLib.core.errors import FileReadError, FileWriteError, InputError  # noqa: E402
from MultiContrastSRLib.training import checkpoint, loop, recipe_file  # noqa: E402
from MultiContrastSRLib.training.checkpoint import load_state  # noqa: E402
from MultiContrastSRLib.training.export import export  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]


@pytest.mark.parametrize("muon_learning_rate", [0.0, 2e-3])
def test_resume_equals_uninterrupted(muon_learning_rate, tmp_path):
    optimisation = {
        "steps": 5,
        "batch_size": 2,
        "validate_every": 2,
        "save_every": 10,
        "muon_learning_rate": muon_learning_rate,
    }
    pack, r = phantom_pack(), recipe(**{**RICH, "optimisation": optimisation})
    whole = loop.train(r, pack, tmp_path / "whole")
    asked = iter([False, False, True])
    with pytest.raises(loop.StoppedError, match=r"Stopped after step 3; .* Run the same command again"):
        loop.train(r, pack, tmp_path / "parts", cancel=lambda: next(asked))
    late = loop.train(r, pack, tmp_path / "parts", minutes=0.0)  # time is over at once; every call does a step
    assert (late.step, late.finished) == (4, False)
    parts = loop.train(r, pack, tmp_path / "parts")
    assert parts.finished and parts.curve == whole.curve and len(whole.curve) == 3
    one, other = load_state(tmp_path / "whole"), load_state(tmp_path / "parts")
    for name in ("model", "average"):
        a, b = getattr(one, name), getattr(other, name)
        assert a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)
    assert len(one.optimiser) == len(other.optimiser) == (2 if muon_learning_rate else 1)
    for ours, theirs in zip(one.optimiser, other.optimiser, strict=True):
        for index, moments in ours["state"].items():
            assert moments and all(torch.equal(value, theirs["state"][index][k]) for k, value in moments.items())
    assert not all(torch.equal(one.model[k], one.average[k]) for k in one.model)  # the average is one
    assert json.loads((tmp_path / "parts/curve.json").read_text()) == list(whole.curve)


def test_a_checkpoint_names_all_hardware_that_trained_it(tmp_path):
    r, pack = recipe("swift", optimisation={"steps": 3, "validate_every": 0}), phantom_pack()
    loop.train(r, pack, tmp_path, minutes=0.0)
    state = load_state(tmp_path)
    own, state.device = state.device, "a GPU"
    checkpoint.save_state(state, tmp_path)
    loop.train(r, pack, tmp_path, minutes=0.0)
    loop.train(r, pack, tmp_path)
    assert load_state(tmp_path).device == f"a GPU; {own}"


def test_another_recipe_does_not_go_on(tmp_path):
    r = recipe(optimisation={"steps": 1, "validate_every": 0})
    loop.train(r, phantom_pack(), tmp_path)
    with pytest.raises(InputError, match=r"another recipe \(different: optimisation.learning_rate\)"):
        loop.train(
            recipe(optimisation={"steps": 1, "validate_every": 0, "learning_rate": 0.5}), phantom_pack(), tmp_path
        )


def test_other_data_do_not_go_on(tmp_path):
    r, pack = recipe(optimisation={"steps": 2, "validate_every": 0}), phantom_pack()
    pack = replace(pack, sources=("train: anna (T2, T1)", "validation: bert (T2, T1)"))
    loop.train(r, pack, tmp_path, minutes=0.0)
    other = replace(pack, sources=("train: anna (T2, T1)", "train: bert (T2, T1)", "validation: carl (T2, T1)"))
    words = (
        r"other data \(added: train: bert \(T2, T1\); validation: carl \(T2, T1\); missing: validation: bert .*"
        r"Give it the same data, or choose another --output"
    )
    with pytest.raises(InputError, match=words):
        loop.train(r, other, tmp_path)
    with pytest.raises(InputError, match=words):  # whose scores would be those of subjects that were trained on
        export(tmp_path, tmp_path / "tiny.safetensors", other)
    state = load_state(tmp_path)
    assert state.step == 1
    state.sources = []  # as an earlier version wrote it
    checkpoint.save_state(state, tmp_path)
    assert loop.train(r, other, tmp_path).finished


@pytest.mark.parametrize("freeze", [False, True])
def test_a_training_from_given_weights_goes_on_on_its_data(freeze, tmp_path):
    changes = {"steps": 3, "validate_every": 0, "initial_weights": "swift", "freeze_initial_weights": freeze}
    r = recipe_file.load_recipe("swift", {f"optimisation.{name}": json.dumps(v) for name, v in changes.items()})
    r = replace(r, degradation=recipe().degradation, spec=replace(r.spec, blocks=r.spec.blocks + 1))
    r = replace(r, optimisation=replace(r.optimisation, batch_size=2, patch=24, output_patch=0, muon_learning_rate=0.0))
    pack = phantom_pack()
    loop.train(r, pack, tmp_path, minutes=0.0)
    assert loop.train(r, pack, tmp_path, minutes=0.0).step == 2
    with pytest.raises(InputError, match=r"other data \(added: train: anna; missing: phantoms\)"):
        loop.train(r, replace(pack, sources=("train: anna",)), tmp_path)


def test_a_checkpoint_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    r = recipe(optimisation={"steps": 2, "save_every": 1, "validate_every": 0})
    loop.train(r, phantom_pack(), tmp_path, minutes=0.0)
    before = (tmp_path / checkpoint.NAME).read_bytes()

    def full_disk(value, path):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint.torch, "save", full_disk)
    with pytest.raises(FileWriteError, match="No space left"):
        loop.train(r, phantom_pack(), tmp_path)
    assert (tmp_path / checkpoint.NAME).read_bytes() == before and load_state(tmp_path).step == 1
    assert [p.name for p in tmp_path.iterdir()] == [checkpoint.NAME]


def test_a_damaged_checkpoint_is_refused(tmp_path):
    (tmp_path / checkpoint.NAME).write_bytes(b"no checkpoint")
    with pytest.raises(FileReadError, match=r"damaged.*Remove it"):
        loop.train(recipe(), phantom_pack(), tmp_path)
    with pytest.raises(FileReadError, match="Train first"):
        load_state(tmp_path / "gone")
