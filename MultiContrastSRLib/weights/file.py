"""Weights files: safetensors with the network's configuration in the header, checked by SHA-256. No pickle anywhere."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..core.errors import FileReadError, InputError
from ..io.files import replaced_together
from ..networks.registry import build, from_dict
from ..networks.spec import Spec
from .registry import shipped
from .safetensors_format import decode, encode

if TYPE_CHECKING:
    from ..networks.network import Network

_SPEC = "spec"  # the entry of the header's texts that holds the configuration
_EXTENDS = "built upon"  # the entry that names the shipped weights which the file extends: network and SHA-256
_REMEDY = "Download the file again, or use the one that came with this version."


@dataclass(frozen=True)
class Weights:
    """A weights file in memory.

    Attributes:
        spec: the network that they belong to.
        tensors: name → array, as in the network's `state_dict`, with those of the weights that it extends.
        texts: all other texts of the header.
        sha256: of the whole file.
    """

    spec: Spec
    tensors: Mapping[str, np.ndarray]
    texts: Mapping[str, str]
    sha256: str


def save_weights(
    path: str | Path,
    spec: Spec,
    tensors: Mapping[str, np.ndarray],
    texts: Mapping[str, str] | None = None,
    *,
    extends: str | None = None,
    half: bool = True,
) -> str:
    """Write `tensors` with their `spec`; all or nothing. Returns the file's SHA-256.

    Args:
        extends: a network whose shipped weights `tensors` extend; `load_weights` adds them.
        half: floating-point numbers as float16.

    Raises:
        InputError: numbers that float16 cannot hold, or a type that the format has not.
        FileWriteError: not writable, disk full.
    """
    arrays = {name: _stored(name, np.asarray(array), half) for name, array in sorted(tensors.items())}
    texts = {**(texts or {}), _SPEC: json.dumps(spec.as_dict(), sort_keys=True)}
    if extends is not None:
        texts[_EXTENDS] = json.dumps({"network": extends, "sha256": shipped(extends)[0].sha256}, sort_keys=True)
    data = encode(arrays, texts)
    with replaced_together(Path(path)) as (partial,):
        partial.write_bytes(data)
    return hashlib.sha256(data).hexdigest()


def _stored(name: str, array: np.ndarray, half: bool) -> np.ndarray:
    if not half or array.dtype.kind != "f":
        return array
    largest = float(np.max(np.abs(array), initial=0.0))
    if not largest <= float(np.finfo(np.float16).max):
        raise InputError(
            f"Tensor {name!r} holds {largest:g}; expected finite numbers up to 65504, which float16 can hold. "
            "Train on from an earlier checkpoint, or write float32 (half=False)."
        )
    return array.astype(np.float16)


def load_weights(path: str | Path, sha256: str | None = None) -> Weights:
    """Read a file of `save_weights`.

    Args:
        sha256: what the file must hash to, from its model card; None accepts any.

    Raises:
        FileReadError: missing, another hash, or no safetensors file.
        InputError, UnknownNameError: the configuration in it belongs to another version of the networks.
    """
    place = Path(path)
    try:
        data = place.read_bytes()
    except OSError as error:
        raise FileReadError(
            f"Weights {place} cannot be read ({error.strerror or error}); expected a .safetensors file. {_REMEDY}"
        ) from error
    found = hashlib.sha256(data).hexdigest()
    if sha256 is not None and found != sha256.lower():
        raise FileReadError(
            f"Weights {place} have SHA-256 {found[:12]}…; expected {sha256[:12]}… by their model card. The file was "
            f"changed or is incomplete. {_REMEDY}"
        )
    try:
        tensors, texts = decode(data)
    except ValueError as error:
        raise FileReadError(f"Weights {place} are no safetensors file: {error}. {_REMEDY}") from error
    try:
        values = json.loads(texts[_SPEC])
        if not isinstance(values, dict):
            raise ValueError
    except (KeyError, ValueError) as error:
        raise FileReadError(
            f"Weights {place} do not say which network they belong to; expected its configuration under {_SPEC!r} in "
            f"the header. Export them with `multicontrastsr train --export`."
        ) from error
    if _EXTENDS in texts:
        tensors = {**_extended(place, texts[_EXTENDS]), **tensors}
    return Weights(from_dict(values), tensors, {k: v for k, v in texts.items() if k != _SPEC}, found)


def _extended(place: Path, text: str) -> Mapping[str, np.ndarray]:
    """The shipped weights that the file at `place` extends."""
    try:
        wanted = json.loads(text)
        network, digest = str(wanted["network"]), str(wanted["sha256"])
    except (ValueError, KeyError, TypeError) as error:
        raise FileReadError(
            f"Weights {place} do not say which weights they extend; found {text[:80]!r}, expected a network and its "
            f"SHA-256. {_REMEDY}"
        ) from error
    models = [model for model in shipped(network) if model.sha256 == digest]
    if not models:
        raise FileReadError(
            f"Weights {place} extend those of {network!r} with SHA-256 {digest[:12]}…, which do not come with "
            "this version. Train them again (multicontrastsr train), or use the version that they were made with."
        )
    return load_weights(models[0].path, digest).tensors


def load_network(path: str | Path, sha256: str | None = None, *, network: str | None = None) -> Network:
    """The network in a weights file, in float32, ready to run. Needs torch.

    Args:
        network: which network it must be; None accepts any.

    Raises:
        FileReadError, InputError, UnknownNameError: as `load_weights`; another network; tensors that do not fit it.
    """
    import torch

    weights = load_weights(path, sha256)
    if network is not None and weights.spec.network != network:
        raise InputError(
            f"Weights {path} belong to {weights.spec.network!r}; expected {network!r}. Choose the file made for it."
        )
    with torch.device("meta"):  # no random initial weights, which take longer than reading the file
        module = build(weights.spec)
    expected = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    given = {name: array.shape for name, array in weights.tensors.items()}
    if given != expected:
        differing = sorted(n for n in expected.keys() | given.keys() if expected.get(n) != given.get(n))
        name = differing[0]
        raise InputError(
            f"Weights {path} do not fit {weights.spec.network!r}: {len(differing)} tensors differ, first {name!r} with "
            f"shape {given.get(name, 'missing')}; expected {expected.get(name, 'none of that name')}. {_REMEDY}"
        )
    read = {n: torch.from_numpy(a.astype(np.float32)) for n, a in weights.tensors.items()}
    module.load_state_dict(read, assign=True)
    module.weights = weights.sha256
    return module.eval()
