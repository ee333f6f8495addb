"""Weights files: the format, and every way in which they are refused."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest

from MultiContrastSRLib.core.errors import FileReadError, InputError, UnknownNameError
from MultiContrastSRLib.networks.registry import light
from MultiContrastSRLib.weights.file import decode, encode, load_network, load_weights, save_weights

SPEC = light("minet", features=8, stages=1, blocks=1)


@pytest.fixture
def file(tmp_path):
    """(path, SHA-256) of a small file."""
    rng = np.random.default_rng(0)
    tensors = {"b.weight": rng.normal(size=(3, 4)).astype(np.float32), "a": np.arange(5)}
    path = tmp_path / "w.safetensors"
    return path, save_weights(path, SPEC, tensors, {"recipe": "none"})


def test_weights_survive_their_file(file):
    path, digest = file
    found = load_weights(path, digest)
    assert found.spec == SPEC and found.sha256 == digest and found.texts == {"recipe": "none"}
    assert found.tensors["b.weight"].dtype == np.float16 and found.tensors["a"].tolist() == [0, 1, 2, 3, 4]
    assert load_weights(path, digest.upper()).sha256 == digest and load_weights(path).sha256 == digest


def test_the_format_is_everybodys(file):
    package = pytest.importorskip("safetensors.numpy", reason="The independent reader is not installed here.")
    path, _ = file
    theirs, ours = package.load_file(path), load_weights(path).tensors
    assert theirs.keys() == ours.keys() and all(np.array_equal(theirs[k], ours[k]) for k in ours)
    written = package.save({"x": np.eye(3, dtype=np.float32), "y": np.zeros((0, 2), np.int64)}, {"k": "v"})
    tensors, texts = decode(written)
    assert np.array_equal(tensors["x"], np.eye(3)) and tensors["y"].shape == (0, 2) and texts == {"k": "v"}


def test_a_changed_file_is_refused(file):
    path, digest = file
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(FileReadError, match=rf"SHA-256 .*; expected {digest[:12]}….*Download the file again"):
        load_weights(path, digest)


@pytest.mark.parametrize("cut", [0, 4, 8, 40, -1])
def test_a_cut_file_is_refused(file, cut):
    path, _ = file
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(FileReadError, match=r"are no safetensors file: .*Download"):
        load_weights(path)


def headed(header: object, body: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body


@pytest.mark.parametrize(
    "data",
    [
        pickle.dumps({"model": [1, 2, 3]}),
        b"PK\x03\x04" + bytes(100),
        headed([1, 2]),
        headed(b"\xff\xfe{}"),
        headed({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}, bytes(4)),  # shape and bytes disagree
        headed({"a": {"dtype": "F99", "shape": [1], "data_offsets": [0, 4]}}, bytes(4)),
        headed({"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}, bytes(8)),  # a hole
        headed({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, bytes(8)),  # bytes of nobody
        headed({"a": {"dtype": "F32", "shape": [1], "data_offsets": ["0", 4]}}, bytes(4)),
        headed({"a": 7}),
        headed({"__metadata__": {"k": 3}}),
    ],
)
def test_what_is_no_safetensors_file_is_refused(tmp_path, data):
    (tmp_path / "w.safetensors").write_bytes(data)
    with pytest.raises(FileReadError, match="are no safetensors file"):
        load_weights(tmp_path / "w.safetensors")


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileReadError, match=r"cannot be read.*expected a .safetensors file"):
        load_weights(tmp_path / "w.safetensors")


def test_specs_that_cannot_be(tmp_path):
    path = tmp_path / "w.safetensors"
    tensors = {"a": np.zeros(1, np.float32)}
    path.write_bytes(encode(tensors, {}))
    with pytest.raises(FileReadError, match="do not say which network"):
        load_weights(path)
    path.write_bytes(encode(tensors, {"spec": json.dumps({"network": "other"})}))
    with pytest.raises(UnknownNameError, match="Unknown network 'other'"):
        load_weights(path)
    path.write_bytes(encode(tensors, {"spec": json.dumps({**SPEC.as_dict(), "depth": 3})}))
    with pytest.raises(InputError, match=r"unknown fields .'depth'."):
        load_weights(path)


def test_numbers_that_half_precision_cannot_hold(tmp_path):
    for value in (1e6, np.nan):
        with pytest.raises(InputError, match=r"Tensor 'a' holds .*float16"):
            save_weights(tmp_path / "w.safetensors", SPEC, {"a": np.array([value])})
    assert not list(tmp_path.iterdir())
    with pytest.raises(InputError, match="type complex64"):
        save_weights(tmp_path / "w.safetensors", SPEC, {"a": np.zeros(2, np.complex64)})


def test_networks_take_only_what_fits(file, tmp_path):
    torch = pytest.importorskip("torch", reason="Networks need torch, which is not installed here.")
    from MultiContrastSRLib.networks.registry import build

    with pytest.raises(InputError, match="belong to 'minet'; expected 'dinet'"):
        load_network(file[0], network="dinet")
    with pytest.raises(InputError, match=r"do not fit 'minet': .* tensors differ"):
        load_network(file[0])
    module = build(SPEC)
    path = tmp_path / "whole.safetensors"
    save_weights(path, SPEC, {n: t.numpy() for n, t in module.state_dict().items()}, half=False)
    found = load_network(path)
    assert not found.training
    assert all(torch.equal(t, module.state_dict()[n]) for n, t in found.state_dict().items())


def test_files_of_another_version_are_refused_with_the_remedy(tmp_path):
    """Whose configuration has fields that this version's has not, as Swift's `correction_width`."""
    spec = light("swift", features=8).as_dict()
    former = {"network": "swift", "in_channels": 1, "base": "guided", "correction_width": 32, "correction_blocks": 2}
    place = tmp_path / "former.safetensors"
    for values, words in (
        (former, r"unknown fields \['correction_blocks', 'correction_width'\].*Use weights made for this version"),
        ({**spec, "base": "joint-tv"}, r"'base' .* is 'joint-tv'; expected one of 'sinc', 'guided'"),
    ):
        place.write_bytes(encode({"a": np.zeros(1, np.float32)}, {"spec": json.dumps(values)}))
        with pytest.raises(InputError, match=words):
            load_weights(place)
