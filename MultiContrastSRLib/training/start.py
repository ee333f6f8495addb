"""Beginning with weights that another training made."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ..core.errors import InputError
from ..networks.specs import SPECS
from ..weights.file import load_weights
from ..weights.registry import shipped


@dataclass(frozen=True)
class Start:
    """What was taken: the names of the tensors, and a sentence for the model card."""

    taken: frozenset[str]
    said: str


def begin_with(net: nn.Module, start: str, *, frozen: bool = False) -> Start:
    """Put the weights of `start` into `net` where name and shape are the same.

    Args:
        start: a method whose weights ship, or a .safetensors file.
        frozen: they will stay, and what is written will name them; so all of them must fit.

    Raises:
        InputError: less than half of them fit, or not all that stay; or none ship.
        FileReadError: not such a file.
    """
    place, digest = Path(start), None
    if start in SPECS:
        models = shipped(start)
        if not models:
            raise InputError(
                f"optimisation.start is {start!r}, for which no weights ship; expected one of them or a file."
            )
        place, digest = models[0].path, models[0].sha256
    weights = load_weights(place, digest)
    own = net.state_dict()
    taken = {n: t for n, t in weights.tensors.items() if n in own and tuple(own[n].shape) == t.shape}
    if 2 * len(taken) < len(weights.tensors):
        raise InputError(
            f"optimisation.start is {start!r}, of which {len(taken)} of {len(weights.tensors)} tensors have the name "
            f"and shape of one here; expected most of them, of a part of {type(net).__name__}. Leave it empty to begin "
            "at random."
        )
    if frozen and len(taken) < len(weights.tensors):
        missing = sorted(weights.tensors.keys() - taken.keys())[0]
        raise InputError(
            f"optimisation.frozen is true, but {len(weights.tensors) - len(taken)} of the tensors of {start!r} have no "
            f"place in the network, first {missing!r}; expected all. Give the model the same base "
            f"({weights.spec.base!r}) and size of correction, or train them too (frozen = false)."
        )
    net.load_state_dict({n: torch.from_numpy(t.astype(np.float32)) for n, t in taken.items()}, strict=False)
    how = "built upon, without a change," if frozen else "started from"
    said = f"{how} {place.name}, SHA-256 {weights.sha256}: {len(taken)} of {len(own)} tensors"
    return Start(frozenset(taken), said)
