"""Training: the loop, export, the verb `train`."""

from __future__ import annotations

import json
import shlex
import sys
import types

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="Training needs torch, which is not installed here.")

from training_fixtures import phantom_pack, recipe  # noqa: E402

from MultiContrastSRLib.acquisition.slices import SliceAcquisition  # noqa: E402
from MultiContrastSRLib.cli import main  # noqa: E402
from MultiContrastSRLib.core.errors import FileReadError, FileWriteError, InputError  # noqa: E402
from MultiContrastSRLib.training import loop  # noqa: E402
from MultiContrastSRLib.training.checkpoint import load_state  # noqa: E402
from MultiContrastSRLib.training.data.degradation import draw_degradation  # noqa: E402
from MultiContrastSRLib.training.data.examples import Examples  # noqa: E402
from MultiContrastSRLib.training.export import export  # noqa: E402
from MultiContrastSRLib.training.losses import total_loss  # noqa: E402
from MultiContrastSRLib.training.optimiser import Optimiser  # noqa: E402
from MultiContrastSRLib.training.predict import predict  # noqa: E402
from MultiContrastSRLib.training.recipe_file import recipe_names  # noqa: E402
from MultiContrastSRLib.training.validation import Validation  # noqa: E402
from MultiContrastSRLib.weights.card import load_card, problems  # noqa: E402
from MultiContrastSRLib.weights.file import load_network  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]


# ---------------------------------------------------------------------- the loop


@pytest.mark.parametrize("amp", ["off", "bf16"])
@pytest.mark.parametrize("network", ["dual-arbnet", "dinet", "minet", "swift"])
def test_every_network_trains_with_and_without_reference(network, amp, tmp_path):
    auxiliary = {} if network in ("dual-arbnet", "swift") else {"target": 0.7, "reference": 0.3}
    r = recipe(network, augmentation={"no_reference": 0.5}, loss={"kspace": 0.05, **auxiliary},
               optimisation={"steps": 4, "validate_every": 0, "max_gradient_norm": 1.0, "amp": amp})  # fmt: skip
    assert {draw_degradation(r, s, np.random.default_rng((0, s))).reference for s in range(4)} == {"none", "high"}
    outcome = loop.train(r, phantom_pack(), tmp_path)
    assert outcome.finished and outcome.step == 4
    state = load_state(tmp_path)
    torch.manual_seed(0)
    fresh = loop.build(r.spec).state_dict()
    assert state.skipped == 0 and all(torch.isfinite(t).all() for t in state.model.values())
    assert any(not torch.equal(state.model[n], fresh[n]) for n in fresh)


@pytest.mark.parametrize("names", [(), ("amx_bf16",), ("avx512_bf16",)])
def test_auto_takes_bfloat16_on_processors_that_are_faster_by_it(names, monkeypatch, tmp_path):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_f": True, **dict.fromkeys(names, True)})
    asked, autocast = [], torch.autocast
    monkeypatch.setattr(torch, "autocast", lambda *a, enabled: asked.append(enabled) or autocast(*a, enabled=enabled))
    loop.train(recipe("swift", optimisation={"steps": 1, "validate_every": 0, "amp": "auto"}), phantom_pack(), tmp_path)
    assert asked[0] == bool(names) and not any(asked[1:])  # then those of layers that stay in float32


def test_muon_moves_convolutions_and_adam_the_rest(tmp_path):
    r = recipe(
        "swift", optimisation={"steps": 1, "validate_every": 0, "learning_rate": 1e-12, "muon_learning_rate": 1e-2}
    )
    loop.train(r, phantom_pack(), tmp_path)
    torch.manual_seed(0)
    fresh, state = loop.build(r.spec).state_dict(), load_state(tmp_path)
    # the last layer starts at zero, so that only it has a gradient at first; it is too narrow for a matrix
    moved = {n for n, t in state.model.items() if not torch.allclose(t, fresh[n], atol=1e-9)}
    assert not moved
    r = recipe(
        "swift", optimisation={"steps": 2, "validate_every": 0, "learning_rate": 1e-3, "muon_learning_rate": 1e-2}
    )
    loop.train(r, phantom_pack(), tmp_path / "both")
    state = load_state(tmp_path / "both")
    change = state.model["blocks.0.conv2.weight"] - fresh["blocks.0.conv2.weight"]
    values = torch.linalg.svdvals(change.flatten(1))
    expected = 0.5 * 1e-2 * 0.2 * 72**0.5  # half the rate at the second of two steps, matched to Adam's
    assert 0.6 < values.max() / expected < 1.4
    assert values.median() > 0.4 * values.max()  # about orthogonal; a gradient's own step is far from it


@pytest.mark.parametrize("muon_learning_rate", [0.0, 1e-2])
def test_what_has_no_part_in_a_step_stays_where_it_is(muon_learning_rate):
    """A batch without a reference has no part of its encoder; momentum must not carry that on."""
    used, idle = torch.nn.Conv2d(8, 8, 3), torch.nn.Conv2d(8, 8, 3)
    net = torch.nn.ModuleList([used, idle])
    for parameter in net.parameters():
        parameter.grad = torch.ones_like(parameter)
    settings = {"learning_rate": 1e-2, "muon_learning_rate": muon_learning_rate}
    optimiser = Optimiser(net, recipe(optimisation=settings).optimisation)
    optimiser.step(1.0)
    gradients = [parameter.grad for parameter in net.parameters()]
    for parameter in idle.parameters():
        parameter.grad.zero_()
    before = [parameter.detach().clone() for parameter in net.parameters()]
    optimiser.step(1.0)
    for number, (parameter, old) in enumerate(zip(net.parameters(), before, strict=True)):
        assert torch.equal(parameter, old) == (number >= 2)
        assert parameter.grad is gradients[number]  # the tensor that processes average
    idle.weight.grad.fill_(1.0)
    optimiser.step(1.0)
    assert not torch.equal(idle.weight, before[2])


def test_a_training_begins_with_given_weights(tmp_path):
    pack, r = phantom_pack(), recipe("swift", optimisation={"steps": 2, "validate_every": 0})
    loop.train(r, pack, tmp_path / "first")
    place = tmp_path / "start.safetensors"
    export(tmp_path / "first", place, pack)
    for size in ({}, {"blocks": 2}):
        folder = tmp_path / f"blocks{len(size)}"
        changes = {"steps": 1, "validate_every": 0, "learning_rate": 1e-12, "initial_weights": str(place)}
        loop.train(recipe("swift", model=size, optimisation=changes), pack, folder)
        state, given = load_state(folder), load_network(place).state_dict()
        assert all(torch.allclose(state.model[name], tensor, atol=1e-6) for name, tensor in given.items())
        assert any("fine-tuned from start.safetensors, SHA-256 " in source for source in state.sources)
    with pytest.raises(InputError, match=r"of which 3 of \d+ tensors have the name and shape"):
        changes = {"steps": 1, "initial_weights": str(place)}
        loop.train(recipe("swift", model={"features": 12}, optimisation=changes), pack, tmp_path / "other")
    with pytest.raises(FileReadError, match="gone"):
        loop.train(recipe(optimisation={"initial_weights": "gone.safetensors"}), pack, tmp_path / "gone")


def poison(monkeypatch, bad_steps):
    """The loss of these calls is not a number."""
    count = iter(range(1000))

    def poisoned(*arguments, **keywords):
        total, terms = total_loss(*arguments, **keywords)
        return total * (float("nan") if next(count) in bad_steps else 1.0), terms

    monkeypatch.setattr(loop, "total_loss", poisoned)


def test_a_step_that_is_not_a_number_is_skipped(tmp_path, monkeypatch):
    poison(monkeypatch, {1, 3})
    r = recipe(optimisation={"steps": 4, "validate_every": 4, "max_skipped_steps": 2})
    outcome = loop.train(r, phantom_pack(), tmp_path)
    state = load_state(tmp_path)
    assert outcome.finished and (state.skipped, state.consecutive_skipped) == (2, 1)
    assert all(torch.isfinite(t).all() for t in (*state.model.values(), *state.average.values()))
    assert np.isfinite(outcome.curve[-1]["loss"])


def test_gradients_that_stay_not_a_number_stop_the_training(tmp_path, monkeypatch):
    poison(monkeypatch, {2, 3, 4})
    r = recipe(optimisation={"steps": 20, "validate_every": 0, "save_every": 1, "max_skipped_steps": 3})
    with pytest.raises(loop.DivergedError, match=r"not finite in 3 steps.*last checkpoint is unchanged.*Lower"):
        loop.train(r, phantom_pack(), tmp_path)
    state = load_state(tmp_path)
    assert state.step == 4 and all(torch.isfinite(t).all() for t in state.model.values())


def test_training_raises_psnr_on_unseen_slices(tmp_path):
    r = recipe(
        model={"features": 12},
        degradation={"scales": [3.0, 3.0]},
        optimisation={"steps": 150, "batch_size": 4, "learning_rate": 4e-3, "warmup": 10, "max_gradient_norm": 1.0,
                      "validate_every": 75, "save_every": 150, "validation_scales": [3.0], "validation_slices": 3},
    )  # fmt: skip
    lines, fractions = [], []
    outcome = loop.train(r, phantom_pack(8), tmp_path, report=lines.append,
                         progress=lambda f, stage: fractions.append(f))  # fmt: skip
    score = outcome.curve[-1]["scores"]["3"]
    assert score["psnr"] > score["sinc"] + 1.0, score  # the network's base
    assert len(lines) == 2 and "x3" in lines[0] and fractions[-1] == 1.0
    pytest.importorskip("matplotlib")
    assert (tmp_path / "curve.png").stat().st_size > 5000


def test_tensorboard_gets_the_curve(tmp_path, monkeypatch):
    written = []

    class Writer:
        def __init__(self, folder):
            written.append(folder)

        def add_scalar(self, name, value, step):
            written.append((name, value, step))

        def flush(self):
            written.append("flushed")

        def close(self):
            written.append("closed")

    module = types.ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = Writer
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    outcome = loop.train(recipe(optimisation={"steps": 2, "validate_every": 2}), phantom_pack(), tmp_path)
    (entry,) = outcome.curve
    score = entry["scores"]["2"]
    assert written == [
        str(tmp_path), ("loss", entry["loss"], 2), ("psnr/x2", score["psnr"], 2), ("gain/x2", score["gain"], 2),
        "flushed", "closed",
    ]  # fmt: skip


def test_consistent_losses_see_the_record_put_back(tmp_path, monkeypatch):
    seen = []

    def watched(wanted, image, truth, measured, *rest):
        seen.append((image.detach(), truth))
        return total_loss(wanted, image, truth, measured, *rest)

    monkeypatch.setattr(loop, "total_loss", watched)
    r = recipe(loss={"data_consistency": True}, optimisation={"steps": 1, "validate_every": 0})
    loop.train(r, phantom_pack(), tmp_path)
    acquisition = SliceAcquisition.of((48, 48), (2.0, 2.0))
    ((image, truth),) = seen
    assert torch.allclose(acquisition.forward(image), acquisition.forward(truth), atol=1e-4)


# ---------------------------------------------------------------------- export and the verb


def test_export_is_what_was_trained(tmp_path):
    r, pack = recipe(about={"title": "Tiny", "limits": ["Phantoms only."]}), phantom_pack()
    loop.train(r, pack, tmp_path / "run")
    files = export(tmp_path / "run", tmp_path / "tiny.safetensors", pack)
    assert [f.suffix for f in files] == [".safetensors", ".json", ".md"]
    card = load_card(files[1])
    net = load_network(files[0], card["file"]["sha256"], network="dual-arbnet")
    average = load_state(tmp_path / "run").average
    assert net.spec == r.spec
    for name, tensor in net.state_dict().items():
        assert torch.equal(tensor, average[name].half().float())
    batch = Examples(pack, r)[0]
    unrounded = loop.build(r.spec)
    unrounded.load_state_dict(average)
    with torch.no_grad():
        difference = predict(net, batch)[0] - predict(unrounded, batch)[0]
    assert float(difference.abs().max()) < 2e-3
    assert card["scores"]["validation"] == Validation(pack, r)(net)
    assert "train tiny.toml --data SCANS --output FOLDER --export tiny.safetensors" in card["scores"]["command"]
    assert card["training"]["steps"] == 6 and card["training"]["recipe"] == r.as_dict()
    text = files[2].read_text()
    assert all(w in text for w in ("# Tiny", card["file"]["sha256"], "Research use only", "- Phantoms only.", "| ×2 |"))
    with pytest.raises(FileWriteError, match="exists already"):
        export(tmp_path / "run", tmp_path / "tiny.safetensors", pack)
    with pytest.raises(FileWriteError, match=r"expected .safetensors"):
        export(tmp_path / "run", tmp_path / "tiny.pt", pack)
    assert problems({**card, "parameters": "many"}) == ["card.parameters is 'many'; expected integer"]
    assert problems({k: v for k, v in card.items() if k != "licence"}) == ["card lacks 'licence'"]
    files[1].write_text("{}")
    with pytest.raises(FileReadError, match=r"lacks 'title'. Restore"):
        load_card(files[1])


def test_the_verb(scans, tmp_path, monkeypatch, capsys):
    toml = """
[model]
network = "dual-arbnet"
size = "light"
features = 8
blocks = 1
layers = 1
fusion_layers = 2
fusion_convs = 1
[[source]]
validation = 0.5
contrasts.T2 = "{subject}/t2.nii.gz"
contrasts.T1 = "{subject}/t1.nii.gz"
[degradation]
canvas = [48]
[optimisation]
steps = 2
batch = 2
patch = 12
validate = 2
slices = 1
validation_scales = [2.0]
"""
    (tmp_path / "mine.toml").write_text(toml)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MULTICONTRASTSR_DATA", raising=False)
    assert main(["train"]) == 0 and capsys.readouterr().out.split() == recipe_names()
    assert main("train mine.toml --output run".split()) == 2
    assert "expected --data FOLDER, --from FILE" in capsys.readouterr().err
    assert main("train mine.toml".split()) == 2 and main("train mine.toml --output run --set batch".split()) == 2
    assert main("train mine.toml --data . --pack pack.npz".split()) == 0
    assert main("train mine.toml --data . --pack pack.npz".split()) == 4  # it exists
    capsys.readouterr()
    command = "train mine.toml --from pack.npz --output run --set optimisation.rate=1e-3 --device cpu"
    assert main([*command.split(), "--json"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["finished"] is True and "step 2/2" in said.err
    assert main([*command.split(), *"--minutes 0 --export mine.safetensors".split()]) == 0  # nothing is trained
    assert capsys.readouterr().out.split() == ["mine.safetensors", "mine.json", "mine.md"]
    assert load_network("mine.safetensors", load_card("mine.json")["file"]["sha256"]).spec.features == 8
    printed = shlex.split(load_card("mine.json")["scores"]["command"])
    own = ["--data", "SCANS", "--output", "FOLDER", "--export", "mine.safetensors"]
    assert printed == ["multicontrastsr", "train", "mine.toml", "--set", "optimisation.rate=1e-3", *own]
    other = "train mine.toml --from pack.npz --output run --minutes 0 --export other.safetensors"  # without the change
    assert main(other.split()) == InputError.exit_code
    assert "another recipe (different: optimisation.learning_rate)" in capsys.readouterr().err
    if not torch.cuda.is_available():
        assert main("train mine.toml --from pack.npz --output run --device cuda".split()) == 3
    # pack, training and weights by one command, which goes on where it was stopped
    command = "train mine.toml --data . --pack all.npz --output all --export all.safetensors --device cpu --quiet"
    assert main([*command.split(), "--minutes", "0.0001"]) == 0
    assert "1 of 2 steps, not finished" in capsys.readouterr().out
    assert (tmp_path / "all.npz").exists() and not (tmp_path / "all.safetensors").exists()
    assert main([*command.split(), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["step"], found["finished"]) == (2, True)
    assert found["files"] == ["all.safetensors", "all.json", "all.md"]
    assert main(command.split()) == 4  # the weights exist; found out before the training
