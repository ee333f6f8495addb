"""Networks trained on top of frozen shipped weights: what is trained, what is exported, and what reads it."""

from __future__ import annotations

import json

import pytest
from training_fixtures import phantom_pack, recipe

torch = pytest.importorskip("torch", reason="Training needs torch, which is not installed here.")

from MultiContrastSRLib.core.errors import FileReadError, InputError  # noqa: E402
from MultiContrastSRLib.training import loop  # noqa: E402
from MultiContrastSRLib.training.checkpoint import load_state  # noqa: E402
from MultiContrastSRLib.training.export import export  # noqa: E402
from MultiContrastSRLib.weights import registry as models  # noqa: E402
from MultiContrastSRLib.weights.file import decode, encode, load_network, load_weights, save_weights  # noqa: E402
from MultiContrastSRLib.weights.registry import shipped  # noqa: E402

NETWORK = "dual-arbnet"
WANTED = {
    "steps": 2,
    "validate_every": 0,
    "learning_rate": 1e-2,
    "initial_weights": NETWORK,
    "freeze_initial_weights": True,
}
ADDED = {"base_head.weight", "base_head.bias"}  # of a network that corrects a base image


@pytest.fixture(scope="module", autouse=True)
def ships(tmp_path_factory):
    """A tiny Dual-ArbNet without a base image is what ships."""
    place, pack = tmp_path_factory.mktemp("ships"), phantom_pack()
    alone = recipe(NETWORK, model={"base": "none"}, optimisation={"steps": 1, "validate_every": 0})
    loop.train(alone, pack, place / "run")
    export(place / "run", place / f"{NETWORK}.safetensors", pack)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models, "FOLDER", place)
        yield place


@pytest.fixture(scope="module")
def trained(tmp_path_factory, ships):
    """(folder of the checkpoint, exported file, the weights that ship): the same network corrects a base image."""
    place, pack = tmp_path_factory.mktemp("frozen"), phantom_pack()
    torch.manual_seed(7)
    loop.train(recipe(NETWORK, optimisation=WANTED), pack, place, minutes=0.0)
    loop.train(recipe(NETWORK, optimisation=WANTED), pack, place)  # and goes on
    file, _, _ = export(place, place / "upon.safetensors", pack)
    return place, file, load_weights(shipped(NETWORK)[0].path).tensors


def test_what_was_taken_stays_and_the_rest_is_trained(trained):
    place, _, given = trained
    state = load_state(place)
    assert state.step == 2
    assert any(f"built on, unchanged, {NETWORK}.safetensors, SHA-256 " in text for text in state.sources)
    for name, array in given.items():
        assert torch.equal(state.average[name], torch.from_numpy(array.astype("float32")))
    assert state.average.keys() - given.keys() == ADDED
    torch.manual_seed(0)
    begun = loop.build(recipe(NETWORK).spec).state_dict()["base_head.weight"]
    assert float((state.average["base_head.weight"] - begun).abs().max()) > 1e-4


def test_the_file_does_not_repeat_them_and_gives_the_whole_network(trained):
    place, file, given = trained
    tensors, texts = decode(file.read_bytes())
    assert tensors.keys() == ADDED and not ADDED & given.keys()
    assert json.loads(texts["built upon"]) == {"network": NETWORK, "sha256": shipped(NETWORK)[0].sha256}
    net, average = load_network(file, network=NETWORK), load_state(place).average
    assert net.state_dict().keys() == average.keys()
    for name, tensor in net.state_dict().items():
        assert torch.equal(tensor, average[name].half().float())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '{"network": "swift", "sha256": "00ff"}',
            r"'swift' with SHA-256 00ff…, which do not come .* Train them again",
        ),
        ("nonsense", "do not say which weights they extend; found 'nonsense'"),
    ],
)
def test_other_weights_beneath_are_refused(trained, tmp_path, text, message):
    tensors, texts = decode(trained[1].read_bytes())
    place = tmp_path / "other.safetensors"
    place.write_bytes(encode(tensors, {**texts, "built upon": text}))
    with pytest.raises(FileReadError, match=message):
        load_network(place)


def test_a_training_may_begin_with_such_a_file(trained, tmp_path):
    wanted = {"steps": 1, "validate_every": 0, "learning_rate": 1e-12, "initial_weights": str(trained[1])}
    loop.train(recipe(NETWORK, optimisation=wanted), phantom_pack(), tmp_path)
    state, given = load_state(tmp_path), load_network(trained[1]).state_dict()
    assert all(torch.allclose(state.model[name], tensor, atol=1e-6) for name, tensor in given.items())


def test_only_shipped_weights_can_stay():
    with pytest.raises(
        InputError, match=r"optimisation.freeze_initial_weights is true, and initial_weights is ''; expected a method"
    ):
        recipe(optimisation={"freeze_initial_weights": True})


def test_weights_that_stay_must_all_have_a_place(tmp_path):
    """Found out before the training, not when it is exported."""
    wanted = recipe(NETWORK, model={"modulation": "paper", "skip": "paper"}, optimisation=WANTED)
    with pytest.raises(InputError, match=r"tensors of 'dual-arbnet' have no counterpart .*'skip_.*'; expected all"):
        loop.train(wanted, phantom_pack(), tmp_path)


def test_weights_of_everybody_say_nothing_of_others(tmp_path):
    spec = recipe("swift").spec
    given = load_weights(shipped(NETWORK)[0].path).tensors
    save_weights(tmp_path / "a.safetensors", spec, {"a": given["last.bias"]})
    assert load_weights(tmp_path / "a.safetensors").tensors.keys() == {"a"}


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="Muon needs PyTorch 2.9 or newer.")
def test_only_the_named_parameters_are_trained(tmp_path):
    """As when the last blocks alone are fine-tuned."""
    wanted = {"validate_every": 0, "learning_rate": 1e-2, "muon_learning_rate": 1e-2, "trainable": "[bt]*"}
    torch.manual_seed(0)
    first = loop.build(recipe("swift").spec).state_dict()
    changes = {**wanted, "steps": 3, "schedule": "constant"}
    last = load_state(loop.train(recipe("swift", optimisation=changes), phantom_pack(), tmp_path).folder).model
    changed = {name for name in first if not torch.equal(first[name], last[name])}
    assert all(name.startswith(("blocks.", "tail.")) for name in changed)
    assert {"tail.weight", "blocks.0.conv2.weight", "blocks.0.gains.weight"} <= changed


def test_a_pattern_that_names_nothing_is_refused(tmp_path):
    wanted = recipe("swift", optimisation={"trainable": "trunk.*"})
    with pytest.raises(InputError, match=r"'trunk\.\*', which leaves nothing to train; .* 'condition.0.weight'"):
        loop.train(wanted, phantom_pack(), tmp_path)
