"""Who changes the weights: Adam, or Muon for the matrices among them."""

from __future__ import annotations

import torch
from torch import nn

from .recipe import Optimisation

_SMALLEST = 8  # rows and columns: a matrix of fewer has nothing to be made orthogonal


class Optimiser:
    """Adam (Kingma and Ba, ICLR 2015); with `Optimisation.matrix_rate`, Muon for the weights of convolutions.

    Muon makes the momentum of a matrix orthogonal (Jordan et al., 2024), here with the step's size matched to Adam's
    (Liu et al., 2025, "Muon is scalable for LLM training"). A convolution's weight is the matrix from its receptive
    field to its outputs. On our corrections it reaches in a given time what takes Adam about three times as long.

    Gradients must exist already and must stay the same tensors.
    """

    def __init__(self, net: nn.Module, wanted: Optimisation) -> None:
        trained = [p for p in net.parameters() if p.requires_grad]
        matrices = [p for p in trained if wanted.matrix_rate and _is_matrix(p)]
        chosen = {id(p) for p in matrices}
        others = [p for p in trained if id(p) not in chosen]
        self._parts: list[tuple[torch.optim.Optimizer, float]] = []
        if others:
            self._parts.append((torch.optim.Adam(others, lr=wanted.rate), wanted.rate))
        if matrices:
            muon = torch.optim.Muon(
                [_as_matrix(p) for p in matrices], lr=wanted.matrix_rate, weight_decay=0.0,
                adjust_lr_fn="match_rms_adamw",
            )  # fmt: skip
            self._parts.append((muon, wanted.matrix_rate))

    def step(self, share: float) -> None:
        """One step at `share` of the rates. What has no part in the loss (all of its gradient is 0) stays.

        Else old momentum would move it: with Muon, whose steps have one size, as far as if it had a part.
        """
        for optimiser, rate in self._parts:
            idle = []
            for group in optimiser.param_groups:
                group["lr"] = rate * share
                idle += [(p, p.grad) for p in group["params"] if not p.grad.any()]
            for parameter, _ in idle:
                parameter.grad = None
            optimiser.step()
            for parameter, gradient in idle:
                parameter.grad = gradient

    def state_dict(self) -> list[dict[str, object]]:
        """The state of every part."""
        return [optimiser.state_dict() for optimiser, _ in self._parts]

    def load_state_dict(self, states: list[dict[str, object]]) -> None:
        """Back to what `state_dict` gave."""
        for (optimiser, _), state in zip(self._parts, states, strict=True):
            optimiser.load_state_dict(state)


def _is_matrix(parameter: nn.Parameter) -> bool:
    return parameter.ndim == 4 and min(len(parameter), parameter[0].numel()) >= _SMALLEST


def _as_matrix(parameter: nn.Parameter) -> nn.Parameter:
    """The same numbers, and the same gradient, as a matrix (outputs, inputs): Muon takes no other shape."""
    matrix = nn.Parameter(parameter.detach().view(len(parameter), -1))
    matrix.grad = parameter.grad.view(len(parameter), -1)
    return matrix
