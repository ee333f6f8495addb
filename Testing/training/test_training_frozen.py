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
from MultiContrastSRLib.weights.file import decode, encode, load_network, load_weights, save_weights  # noqa: E402
from MultiContrastSRLib.weights.registry import shipped  # noqa: E402

WANTED = {
    "steps": 2,
    "validate_every": 0,
    "learning_rate": 1e-2,
    "muon_learning_rate": 1e-2,
    "initial_weights": "swift",
    "freeze_initial_weights": True,
}
LIGHT = {"base": "guided+joint-tv", "correction_width": 32, "correction_blocks": 2}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """(folder of the checkpoint, exported file, names of Swift's weights)."""
    place, pack = tmp_path_factory.mktemp("frozen"), phantom_pack()
    torch.manual_seed(7)
    loop.train(recipe("dual-arbnet", model=LIGHT, optimisation=WANTED), pack, place, minutes=0.0)
    loop.train(recipe("dual-arbnet", model=LIGHT, optimisation=WANTED), pack, place)  # and goes on
    file, _, _ = export(place, place / "upon.safetensors", pack)
    return place, file, load_weights(shipped("swift")[0].path).tensors


def test_what_was_taken_stays_and_the_rest_is_trained(trained):
    place, _, given = trained
    state = load_state(place)
    assert state.step == 2
    assert any("built on, unchanged, swift.safetensors, SHA-256 " in text for text in state.sources)
    for name, array in given.items():
        assert torch.equal(state.average[name], torch.from_numpy(array.astype("float32")))
    fresh = loop.build(recipe("dual-arbnet", model=LIGHT).spec)
    begun = fresh.state_dict()["correction.enter.weight"]
    assert float((state.average["correction.enter.weight"] - begun).abs().max()) > 1e-4


def test_the_file_does_not_repeat_them_and_gives_the_whole_network(trained):
    place, file, given = trained
    tensors, texts = decode(file.read_bytes())
    assert not tensors.keys() & given.keys() and "correction.enter.weight" in tensors
    assert json.loads(texts["built upon"]) == {"network": "swift", "sha256": shipped("swift")[0].sha256}
    net, average = load_network(file, network="dual-arbnet"), load_state(place).average
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
    loop.train(recipe("dual-arbnet", model=LIGHT, optimisation=wanted), phantom_pack(), tmp_path)
    state, given = load_state(tmp_path), load_network(trained[1]).state_dict()
    assert all(torch.allclose(state.model[name], tensor, atol=1e-6) for name, tensor in given.items())


def test_only_shipped_weights_can_stay():
    with pytest.raises(
        InputError, match=r"optimisation.freeze_initial_weights is true, and initial_weights is ''; expected a method"
    ):
        recipe(optimisation={"freeze_initial_weights": True})


def test_weights_that_stay_must_all_have_a_place(tmp_path):
    """Found out before the training, not when it is exported."""
    wanted = recipe("dual-arbnet", model={**LIGHT, "base": "guided"}, optimisation=WANTED)
    with pytest.raises(
        InputError, match=r"'correction.auxiliary_head.bias'; expected all.*the same base .'guided.joint-tv'"
    ):
        loop.train(wanted, phantom_pack(), tmp_path)


def test_weights_of_everybody_say_nothing_of_others(tmp_path):
    spec = recipe("swift").spec
    save_weights(
        tmp_path / "a.safetensors", spec, {"a": load_weights(shipped("swift")[0].path).tensors["correction.tail.bias"]}
    )
    assert load_weights(tmp_path / "a.safetensors").tensors.keys() == {"a"}


def test_only_the_named_parameters_are_trained(tmp_path):
    """Swift's set for x4, as when one scale is to be better and the others are to stay."""
    light = {"base": "guided", "correction_width": 8, "correction_blocks": 1}
    wanted = {
        "steps": 2,
        "validate_every": 0,
        "learning_rate": 1e-2,
        "muon_learning_rate": 1e-2,
        "trainable": "correction.further.0.*",  # as recipes of earlier versions name `experts`
    }
    plan = {"degradation": {"scales": (3.0, 3.0)}}
    states = []
    for steps in (1, 2):
        short = recipe("swift", model=light, optimisation={**wanted, "steps": steps}, **plan)
        states.append(load_state(loop.train(short, phantom_pack(), tmp_path / str(steps)).folder).model)
    one, two = states
    changed = {name for name in one if not torch.equal(one[name], two[name])}
    assert changed and all(name.startswith("correction.experts.0.") for name in changed)
    assert len(changed) > len(one) // 3 - 5  # nearly all of that set


def test_a_pattern_that_names_nothing_is_refused(tmp_path):
    wanted = recipe("swift", model={"base": "guided"}, optimisation={"trainable": "trunk.*"})
    with pytest.raises(InputError, match=r"'trunk\.\*', which leaves nothing to train; .* 'correction.head.weight'"):
        loop.train(wanted, phantom_pack(), tmp_path)
