"""Fine-tuning: initial weights from another training run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ..core.errors import InputError
from ..networks.registry import SPECS
from ..weights.file import load_weights
from ..weights.registry import shipped


@dataclass(frozen=True)
class InitialWeights:
    """The weights that were loaded.

    Attributes:
        names: of the tensors.
        description: a sentence for the model card.
    """

    names: frozenset[str]
    description: str


def load_initial_weights(net: nn.Module, source: str, *, freeze: bool = False) -> InitialWeights:
    """Load the weights of `source` into `net` where name and shape of a tensor agree.

    Args:
        source: a method whose weights ship, or a .safetensors file.
        freeze: the weights will be kept unchanged, and the exported file will refer to them; so all of them must fit.

    Raises:
        InputError: no weights ship, less than half of the tensors fit, or not all of those that are to be frozen.
        FileReadError: the file cannot be read.
    """
    place, digest = Path(source), None
    if source in SPECS:
        models = shipped(source)
        if not models:
            raise InputError(
                f"optimisation.initial_weights is {source!r}, for which no weights ship; expected a method with "
                "shipped weights, or a .safetensors file."
            )
        place, digest = models[0].path, models[0].sha256
    weights = load_weights(place, digest)
    own = net.state_dict()
    fitting = {n: t for n, t in weights.tensors.items() if n in own and tuple(own[n].shape) == t.shape}
    if 2 * len(fitting) < len(weights.tensors):
        raise InputError(
            f"optimisation.initial_weights is {source!r}, of which {len(fitting)} of {len(weights.tensors)} tensors "
            f"have the name and shape of one here; expected at least half of them, of a part of {type(net).__name__}. "
            "Leave it empty to start from random weights."
        )
    if freeze and len(fitting) < len(weights.tensors):
        missing = sorted(weights.tensors.keys() - fitting.keys())[0]
        raise InputError(
            f"optimisation.freeze_initial_weights is true, but {len(weights.tensors) - len(fitting)} of the tensors of "
            f"{source!r} have no counterpart in the network, first {missing!r}; expected all. Give the model the same "
            f"base ({weights.spec.base!r}) and size of correction, or set freeze_initial_weights to false."
        )
    net.load_state_dict({n: torch.from_numpy(t.astype(np.float32)) for n, t in fitting.items()}, strict=False)
    how = "built on, unchanged," if freeze else "fine-tuned from"
    description = f"{how} {place.name}, SHA-256 {weights.sha256}: {len(fitting)} of {len(own)} tensors"
    return InitialWeights(frozenset(fitting), description)
