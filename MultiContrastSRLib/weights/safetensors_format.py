"""The safetensors format, read and written with numpy alone, because Slicer's Python has no package for it.

Eight bytes (the length of the header), a JSON header (type, shape and place of every tensor, and a table of texts) and
the raw numbers. Format: https://github.com/huggingface/safetensors (Format).
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np

from ..core.errors import InputError

_TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "U8": "|u1", "BOOL": "|b1"}
_NAMES = {np.dtype(code): name for name, code in _TYPES.items()}
_MAX_HEADER = 100_000_000  # bytes, the format's own limit


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
    if len(data) < 8 or length > min(_MAX_HEADER, len(data) - 8):
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
