"""Adam, or Muon for the weight matrices and Adam for the rest; and the learning-rate schedule."""

from __future__ import annotations

import math

import torch
from torch import nn

from ..core.errors import MethodUnavailableError
from .recipe import Optimisation

_MIN_SIDE = 8  # rows and columns of a matrix that Muon is used for


def check_optimiser(settings: Optimisation) -> None:
    """Check that the installed PyTorch has the optimisers of a recipe.

    Raises:
        MethodUnavailableError: the recipe uses Muon, and PyTorch is older than 2.9.
    """
    if settings.muon_learning_rate and not hasattr(torch.optim, "Muon"):
        raise MethodUnavailableError(
            f"optimisation.muon_learning_rate is {settings.muon_learning_rate:g}, and the installed PyTorch "
            f"{torch.__version__} has no Muon; expected PyTorch 2.9 or newer. Install it (pip install 'torch>=2.9'), "
            "or set optimisation.muon_learning_rate to 0 to use Adam for all parameters."
        )


class Optimiser:
    """Adam (Kingma and Ba, ICLR 2015); with `Optimisation.muon_learning_rate`, Muon for the weights of convolutions.

    Muon orthogonalises the momentum of a matrix (Jordan et al., 2024), here with the size of the step matched to Adam's
    (Liu et al., 2025, "Muon is scalable for LLM training"). The weight of a convolution is taken as the matrix from
    its receptive field to its output channels. On the networks here it reaches the same loss in about a third of
    Adam's time.

    The gradients of the parameters must exist, and must stay the same tensors.
    """

    def __init__(self, net: nn.Module, settings: Optimisation) -> None:
        trained = [p for p in net.parameters() if p.requires_grad]
        matrices = [p for p in trained if settings.muon_learning_rate and _is_matrix(p)]
        with_muon = {id(p) for p in matrices}
        others = [p for p in trained if id(p) not in with_muon]
        self._parts: list[tuple[torch.optim.Optimizer, float]] = []
        if others:
            self._parts.append((torch.optim.Adam(others, lr=settings.learning_rate), settings.learning_rate))
        if matrices:
            muon = torch.optim.Muon(
                [_as_matrix(p) for p in matrices], lr=settings.muon_learning_rate, weight_decay=0.0,
                adjust_lr_fn="match_rms_adamw",
            )  # fmt: skip
            self._parts.append((muon, settings.muon_learning_rate))

    def step(self, factor: float) -> None:
        """One step at `factor` times the learning rates. Parameters whose gradient is zero everywhere are not changed.

        Without this exception the momentum would move parameters that the batch does not use; Muon, whose steps all
        have one size, would move them as far as the others.
        """
        for optimiser, learning_rate in self._parts:
            parameters = []
            for group in optimiser.param_groups:
                group["lr"] = learning_rate * factor
                parameters += group["params"]
            used = torch.stack([p.grad.any() for p in parameters]).tolist()  # waits for the device once
            unused = [(p, p.grad) for p, is_used in zip(parameters, used, strict=True) if not is_used]
            for parameter, _ in unused:
                parameter.grad = None
            optimiser.step()
            for parameter, gradient in unused:
                parameter.grad = gradient

    def state_dict(self) -> list[dict[str, object]]:
        """The states of Adam and Muon, of those that are used."""
        return [optimiser.state_dict() for optimiser, _ in self._parts]

    def load_state_dict(self, states: list[dict[str, object]]) -> None:
        """Restore what `state_dict` returned."""
        for (optimiser, _), state in zip(self._parts, states, strict=True):
            optimiser.load_state_dict(state)


def learning_rate_factor(settings: Optimisation, step: int) -> float:
    """The learning rate at `step` (from 0), as a share of the recipe's."""
    if step < settings.warmup:
        return (step + 1) / settings.warmup
    if settings.schedule == "halving":
        return 0.5 ** (step // settings.halve_every)
    if settings.schedule == "constant":
        return 1.0
    if settings.schedule == "stable-decay":
        return min(1.0, (settings.steps - step) / max(1.0, settings.decay * settings.steps))
    begin, end, highest = settings.warmup, settings.restart or settings.steps, 1.0
    if step >= end:
        begin, end, highest = settings.restart, settings.steps, settings.restart_share
    return highest * 0.5 * (1 + math.cos(math.pi * (step - begin) / max(1, end - begin)))


def _is_matrix(parameter: nn.Parameter) -> bool:
    return parameter.ndim == 4 and min(len(parameter), parameter[0].numel()) >= _MIN_SIDE


def _as_matrix(parameter: nn.Parameter) -> nn.Parameter:
    """A parameter (outputs, inputs) that shares values and gradient with a convolution's: Muon takes matrices only."""
    matrix = nn.Parameter(parameter.detach().view(len(parameter), -1))
    matrix.grad = parameter.grad.view(len(parameter), -1)
    return matrix
