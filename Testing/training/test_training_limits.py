"""Training: the time limit, the check for Muon, and what recipes and checkpoints of earlier versions hold."""

from __future__ import annotations

import json
import time

import pytest

torch = pytest.importorskip("torch", reason="Training needs torch, which is not installed here.")

from training_fixtures import phantom_pack, recipe, tables  # noqa: E402

from MultiContrastSRLib.cli import main  # noqa: E402
from MultiContrastSRLib.core.errors import InputError, MethodUnavailableError  # noqa: E402
from MultiContrastSRLib.networks.registry import build  # noqa: E402
from MultiContrastSRLib.training import checkpoint, loop, time_limit  # noqa: E402
from MultiContrastSRLib.training.checkpoint import load_state  # noqa: E402
from MultiContrastSRLib.training.data.pack import save_pack  # noqa: E402
from MultiContrastSRLib.training.recipe_file import from_mapping  # noqa: E402
from MultiContrastSRLib.training.recipe_names import RENAMED, current_names  # noqa: E402
from MultiContrastSRLib.training.time_limit import TimeLimit  # noqa: E402
from MultiContrastSRLib.training.validation import Validation  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]


# ---------------------------------------------------------------------- the time limit


def test_at_the_limit_there_is_a_curve_and_the_resumed_run_equals_a_whole_one(tmp_path):
    pack, r = phantom_pack(), recipe(optimisation={"steps": 3, "validate_every": 3, "save_every": 10})
    lines = []
    early = loop.train(r, pack, tmp_path / "parts", minutes=0.0, report=lines.append)
    assert (early.step, early.finished, len(lines)) == (1, False, 1)
    (entry,) = early.curve
    assert entry["step"] == 1 and list(json.loads((tmp_path / "parts/curve.json").read_text())) == [entry]
    assert load_state(tmp_path / "parts").curve == []  # not a validation of the schedule
    parts = loop.train(r, pack, tmp_path / "parts")
    assert parts.curve == loop.train(r, pack, tmp_path / "whole").curve


def test_the_verb_ends_well_at_the_limit(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    save_pack(phantom_pack(), "pack.npz")
    changes = {"features": 8, "blocks": 1, "layers": 1, "fusion_layers": 2, "fusion_convs": 1}
    command = "train dual-arbnet-published --from pack.npz --output run --minutes 0 --device cpu --json".split()
    command += [text for name, value in changes.items() for text in ("--set", f"model.{name}={value}")]
    assert main([*command, "--set", "optimisation.batch_size=1", "--set", "degradation.slice_sizes=[96]"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["step"], found["finished"]) == (1, False) and found["scores"]
    assert (tmp_path / "run/checkpoint.pt").exists() and (tmp_path / "run/curve.json").exists()


def test_a_validation_after_its_deadline_scores_one_batch():
    pack, r = phantom_pack(), recipe(optimisation={"validation_scales": [2.0, 3.0]})
    net, validation = build(r.spec).eval(), Validation(pack, r)
    assert validation(net, deadline=time.monotonic() - 1).keys() == {"2"}
    assert validation(net).keys() == {"2", "3"} and validation.estimate_seconds(net) > 0


def test_time_is_reserved_for_two_steps_and_the_validation(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time_limit.time, "monotonic", lambda: now[0])
    limit = TimeLimit(2.0)
    limit.validation_seconds = 30.0
    limit.step_took(8.0)
    limit.step_took(5.0)
    now[0] = 73.0
    assert not limit.next_step_is_last()
    now[0] = 75.0
    assert limit.next_step_is_last() and limit.remaining == 45.0 and limit.deadline == 120.0
    limit.validation_seconds = 1000.0  # at most half of the time
    now[0] = 43.0
    assert not limit.next_step_is_last()
    assert not TimeLimit(None).next_step_is_last()


# ---------------------------------------------------------------------- Muon


def test_muon_of_a_newer_pytorch_is_asked_for_before_the_data_are_read(tmp_path, monkeypatch, capsys):
    monkeypatch.delattr(torch.optim, "Muon", raising=False)
    with pytest.raises(MethodUnavailableError, match=r"expected PyTorch 2\.9 or newer.*muon_learning_rate to 0"):
        loop.train(recipe("swift", optimisation={"muon_learning_rate": 1e-3}), phantom_pack(), tmp_path / "run")
    assert main(["train", "swift", "--from", str(tmp_path / "gone.npz"), "--output", str(tmp_path / "run")]) == 3
    assert "has no Muon" in capsys.readouterr().err and not (tmp_path / "run").exists()
    assert loop.train(recipe("swift", optimisation={"steps": 1}), phantom_pack(), tmp_path / "adam").finished


# ---------------------------------------------------------------------- former names


def former_names(given: dict) -> dict:
    """The tables of a recipe by the names and values that earlier versions wrote."""
    back = {part: {new: old for old, new in names.items()} for part, names in RENAMED.items()}

    def renamed(part, values):
        if isinstance(values, list):
            return [renamed(part, entry) for entry in values]
        return {back.get(part, {}).get(k, k): v for k, v in values.items()} if isinstance(values, dict) else values

    found = {part: renamed(part, values) for part, values in given.items()}
    found["degradation"]["even"] = {"uniform": "difference", "log-uniform": "ratio"}[found["degradation"]["even"]]
    return found


def test_recipes_by_former_names_are_read():
    r = recipe(degradation={"scale_sampling": "log-uniform"}, optimisation={"learning_rate": 0.5})
    former = former_names(r.as_dict())
    assert former["optimisation"]["rate"] == 0.5 and former["degradation"]["even"] == "ratio"
    assert "exclude" not in former["source"][0] and from_mapping(former) == r
    with pytest.raises(InputError, match="gives 'learning_rate' twice"):
        current_names({"optimisation": {"rate": 1.0, "learning_rate": 1.0}})


def test_a_recipe_by_former_names_is_laid_over_one_by_current_names(tmp_path):
    from MultiContrastSRLib.training.recipe_file import load_recipe

    (tmp_path / "mine.toml").write_text('base = "swift"\n[optimisation]\nrate = 1.0\nbatch = 4\n')
    found = load_recipe(tmp_path / "mine.toml", {"optimisation.clip": "0.5"}).optimisation
    assert (found.learning_rate, found.batch_size, found.max_gradient_norm) == (1.0, 4, 0.5)


def test_a_checkpoint_by_former_names_is_resumed(tmp_path):
    pack, r = phantom_pack(), recipe(optimisation={"steps": 2, "validate_every": 0})
    loop.train(r, pack, tmp_path / "parts", minutes=0.0)
    place = tmp_path / "parts" / checkpoint.NAME
    stored = torch.load(place, weights_only=True)
    stored["row"], stored["recipe"] = stored.pop("consecutive_skipped"), former_names(stored["recipe"])
    torch.save(stored, place)
    loop.train(r, pack, tmp_path / "parts")
    loop.train(r, pack, tmp_path / "whole")
    one, other = load_state(tmp_path / "parts").average, load_state(tmp_path / "whole").average
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_field_that_is_no_single_table_is_refused():
    from MultiContrastSRLib.training.recipe_file import load_recipe

    with pytest.raises(InputError, match="'source', which is no single table"):
        load_recipe("swift", {"source.register": '"off"'})
    with pytest.raises(InputError, match="unknown 'bach'"):
        from_mapping({**tables(), "optimisation": {"bach": 1}})
