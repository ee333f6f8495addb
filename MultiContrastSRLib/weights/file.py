"""Weights in files: safetensors, checked by SHA-256, carrying the network's own configuration. No pickle anywhere.

The format is eight bytes (the header's length), a JSON header (type, shape and place of every tensor, and a table of
texts) and the raw numbers. It is read here with numpy alone, because Slicer's Python has no package for it.
Format: https://github.com/huggingface/safetensors (Format).
"""

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
from ..networks.specs import Spec, from_dict
from .registry import shipped

if TYPE_CHECKING:
    from torch import nn

_TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "U8": "|u1", "BOOL": "|b1"}
_NAMES = {np.dtype(code): name for name, code in _TYPES.items()}
_LONGEST_HEADER = 100_000_000  # bytes, as the format's own limit
_SPEC = "spec"  # the entry of the header's texts that holds the configuration
_UPON = "built upon"  # the same, of the shipped weights of which a file holds none again: network and SHA-256
_REMEDY = "Download the file again, or use the one that came with this version."


@dataclass(frozen=True)
class Weights:
    """A weights file in memory.

    Attributes:
        spec: the network that they belong to.
        tensors: name → array, as the network's `state_dict` names them, with those that it is built upon.
        texts: everything else the header says.
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
    upon: str | None = None,
    half: bool = True,
) -> str:
    """Write `tensors` with their `spec`; all or nothing. Returns the file's SHA-256.

    Args:
        upon: a network whose shipped weights `load_weights` is to add.
        half: floating-point numbers as float16.

    Raises:
        InputError: numbers that float16 cannot hold, or a type that the format has not.
        FileWriteError: not writable, disk full.
    """
    arrays = {name: _stored(name, np.asarray(array), half) for name, array in sorted(tensors.items())}
    texts = {**(texts or {}), _SPEC: json.dumps(spec.as_dict(), sort_keys=True)}
    if upon is not None:
        texts[_UPON] = json.dumps({"network": upon, "sha256": shipped(upon)[0].sha256}, sort_keys=True)
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
    if _UPON in texts:
        tensors = {**_built_upon(place, texts[_UPON]), **tensors}
    return Weights(from_dict(values), tensors, {k: v for k, v in texts.items() if k != _SPEC}, found)


def _built_upon(place: Path, text: str) -> Mapping[str, np.ndarray]:
    """The shipped weights that the file at `place` leaves out."""
    try:
        wanted = json.loads(text)
        network, digest = str(wanted["network"]), str(wanted["sha256"])
    except (ValueError, KeyError, TypeError) as error:
        raise FileReadError(f"Weights {place} do not say what they are built upon: {text[:80]!r}. {_REMEDY}") from error
    models = [model for model in shipped(network) if model.sha256 == digest]
    if not models:
        raise FileReadError(
            f"Weights {place} are built upon those of {network!r} with SHA-256 {digest[:12]}…, which do not come with "
            "this version. Train them again (multicontrastsr train), or use the version that they were made with."
        )
    return load_weights(models[0].path, digest).tensors


def load_network(path: str | Path, sha256: str | None = None, *, network: str | None = None) -> nn.Module:
    """The network in a weights file, in float32, ready to run. Needs torch.

    Args:
        network: which network it must be; None accepts any.

    Raises:
        FileReadError, InputError, UnknownNameError: as `load_weights`; another network; tensors that do not fit it.
    """
    import torch

    from ..networks.specs import build

    weights = load_weights(path, sha256)
    if network is not None and weights.spec.network != network:
        raise InputError(
            f"Weights {path} belong to {weights.spec.network!r}; expected {network!r}. Choose the file made for it."
        )
    with torch.device("meta"):  # fresh random weights would take longer to draw than these to read
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
    return module.eval()


# ---------------------------------------------------------------------- the format


def encode(tensors: Mapping[str, np.ndarray], texts: Mapping[str, str]) -> bytes:
    """The bytes of a safetensors file.

    >>> tensors, texts = decode(encode({"a": np.arange(3.0)}, {"made by": "hand"}))
    >>> tensors["a"].tolist(), texts
    ([0.0, 1.0, 2.0], {'made by': 'hand'})
    """
    header: dict[str, object] = {"__metadata__": dict(texts)}
    parts, end = [], 0
    for name, array in tensors.items():
        if array.dtype not in _NAMES:
            raise InputError(
                f"Tensor {name!r} has type {array.dtype}; expected one of {', '.join(map(str, _NAMES))}. Convert it."
            )
        raw = np.ascontiguousarray(array).tobytes()
        offsets = [end, end + len(raw)]
        header[name] = {"dtype": _NAMES[array.dtype], "shape": list(array.shape), "data_offsets": offsets}
        parts.append(raw)
        end += len(raw)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # so that the numbers are aligned
    return b"".join([len(text).to_bytes(8, "little"), text, *parts])


def decode(data: bytes) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """(tensors, texts) of a safetensors file. Raises `ValueError` saying what is wrong with it."""
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > min(_LONGEST_HEADER, len(data) - 8):
        raise ValueError("its header is longer than the file")
    try:
        header = json.loads(data[8 : 8 + length])
        texts = header.pop("__metadata__", {})
        body = memoryview(data)[8 + length :]
        tensors, end = {}, 0
        for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
            start, stop = entry["data_offsets"]
            if start != end or not start <= stop <= len(body):
                raise ValueError(f"tensor {name!r} lies at bytes {start}…{stop}, expected from {end} on")
            array = np.frombuffer(body[start:stop], _TYPES[entry["dtype"]])
            tensors[name], end = array.reshape(entry["shape"]), stop
    except (KeyError, TypeError, AttributeError, UnicodeDecodeError) as error:
        raise ValueError(f"its header cannot be understood ({type(error).__name__}: {error})") from error
    if end != len(body) or not all(isinstance(v, str) for v in texts.values()):
        raise ValueError(f"its tensors end at byte {end}, the file at {len(body)}")
    return tensors, texts
