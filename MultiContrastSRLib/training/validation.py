"""PSNR on the validation scans, beside the classical images that a network must beat."""

from __future__ import annotations

import itertools

import numpy as np
import torch
from torch import Tensor, nn

from ..acquisition.slices import SliceAcquisition
from ..image.similarity import psnr
from ..inference.base_slices import base_images
from .augmentation import fitted
from .curriculum import Condition
from .data import split
from .examples import Batch, make_batch
from .pack import Pack, Stack
from .predict import predict
from .recipe import Recipe

FLOORS = ("sinc", "guided")
_MULTIPLE = 24  # sizes of the slices, as in the P1 protocol
_AT_ONCE = 4  # slices


class Validation:
    """Whole slices of every pair of contrasts at the recipe's validation scales, k-space degradation, no noise.

    PSNR per slice with the truth's range as peak; networks with data consistency.
    """

    def __init__(self, pack: Pack, recipe: Recipe, device: torch.device | str = "cpu") -> None:
        self.recipe = recipe
        self._batches: list[tuple[float, Batch]] = []
        floors: dict[tuple[float, str], list[float]] = {}
        for stack in split(pack, "validation").stacks:
            for pairs in _pairs(stack, recipe.optimisation.slices):
                pairs = pairs.to(device)
                for scale in _scales(recipe):
                    drawn = Condition((scale, scale), ("kspace", "kspace"), tuple(pairs.shape[-2:]), "high")
                    for part in pairs.split(_AT_ONCE):
                        self._batches.append((scale, make_batch(recipe, part, drawn)))
                        for name, values in classical(part, scale).items():
                            floors.setdefault((scale, name), []).extend(values)
        self._floors = {key: float(np.mean(values)) for key, values in floors.items()}

    @torch.no_grad()
    def __call__(self, net: nn.Module) -> dict[str, dict[str, float]]:
        """Scale → {"psnr", "sinc", "guided", "gain" over the better of these}, in dB."""
        found: dict[float, list[float]] = {}
        for scale, batch in self._batches:
            image = batch.acquisition.consistent(predict(net, batch)[0].float(), batch.target)
            found.setdefault(scale, []).extend(psnr(image[:, 0].cpu().numpy(), batch.truth[:, 0].cpu().numpy()))
        scores = {}
        for scale, values in sorted(found.items()):
            floors = {name: self._floors[scale, name] for name in FLOORS}
            mean = float(np.mean(values))
            scores[f"{scale:g}"] = {"psnr": mean, **floors, "gain": mean - max(floors.values())}
        return scores


def classical(pairs: Tensor, scale: float) -> dict[str, list[float]]:
    """PSNR of the classical images of pairs (B, 2, H, W), in dB, by name."""
    truth, reference = pairs[:, 0], pairs[:, 1]
    acquisition = SliceAcquisition.of(tuple(truth.shape[-2:]), (scale, scale))
    low = acquisition.forward(truth)
    images = {name: base_images(name, acquisition, low, reference)[:, 0] for name in FLOORS}
    return {name: psnr(image.cpu().numpy(), truth.cpu().numpy()).tolist() for name, image in images.items()}


def _scales(recipe: Recipe) -> tuple[float, ...]:
    fixed = getattr(recipe.spec, "scale", None)
    return recipe.optimisation.validation_scales if fixed is None else (float(fixed),)


def _pairs(stack: Stack, count: int) -> list[Tensor]:
    """(slices, 2, H, W) for every ordered pair of contrasts, `count` slices spread over the first axis."""
    places = [index for axis, index in stack.slices() if axis == stack.axes[0]]
    if not places:
        return []
    chosen = [places[i] for i in np.unique(np.linspace(0, len(places) - 1, count + 2).round().astype(int)[1:-1])]
    images = torch.from_numpy(stack.images.take(chosen, axis=stack.axes[0] + 1)).float()
    images = images.movedim(stack.axes[0] + 1, 0)  # (slices, contrasts, h, w)
    canvas = tuple(-(-n // _MULTIPLE) * _MULTIPLE for n in images.shape[-2:])
    images = fitted(images, canvas)
    ordered = itertools.permutations(range(images.shape[1]), 2)
    return [images[:, list(pair)] for pair in ordered if pair[0] in stack.targets]
