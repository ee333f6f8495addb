"""PSNR on the validation scans, compared with classical baselines that a network has to exceed."""

from __future__ import annotations

import itertools
import time
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

from ..acquisition.slices import SliceAcquisition
from ..image.similarity import psnr
from ..inference.slice_base import base_image
from .data.augmentation import pad_or_crop
from .data.batch import Batch, make_batch
from .data.degradation import BatchDegradation
from .data.pack import ContrastStack, Pack
from .predict import predict
from .recipe import Recipe

BASELINES = ("sinc", "guided")
_MULTIPLE = 24  # sizes of the slices, as in the P1 protocol
_BATCH_SIZE = 4  # slices

Scores = dict[str, dict[str, float]]


class Validation:
    """Whole slices of every pair of contrasts at the recipe's validation scales, k-space degradation without noise.

    PSNR is computed for each slice with the range of the ground truth as peak, after data consistency. Degradation and
    base images are computed at the first validation.

    Raises:
        InputError: the pack holds no validation scans with a slice that shows tissue.
    """

    def __init__(self, pack: Pack, recipe: Recipe, device: torch.device | str = "cpu") -> None:
        self._items = [
            _Item(recipe, scale, part.to(device))
            for stack in pack.only("validation").stacks
            for pairs in _pairs(stack, recipe.optimisation.validation_slices)
            for scale in _scales(recipe)
            for part in pairs.split(_BATCH_SIZE)
        ]

    @torch.no_grad()
    def __call__(self, net: nn.Module, deadline: float = float("inf")) -> Scores:
        """Scale → {"psnr", "sinc", "guided", "gain" over the better of these}, in dB.

        Args:
            deadline: time by `time.monotonic` after which no batch is started except the first. The scores are then
                those of the slices so far, and scales without a slice are missing.
        """
        found: dict[float, dict[str, list[float]]] = {}
        for item in self._items:
            if found and time.monotonic() > deadline:
                break
            values = found.setdefault(item.scale, {name: [] for name in ("psnr", *BASELINES)})
            for name, psnr_values in {"psnr": item.network_psnr(net), **item.baselines}.items():
                values[name].extend(psnr_values)
        scores = {}
        for scale, values in sorted(found.items()):
            means = {name: float(np.mean(psnr_values)) for name, psnr_values in values.items()}
            scores[f"{scale:g}"] = {**means, "gain": means["psnr"] - max(means[name] for name in BASELINES)}
        return scores

    @torch.no_grad()
    def estimate_seconds(self, net: nn.Module) -> float:
        """Expected duration of the first validation, from its smallest batches."""
        sizes = [item.pairs.numel() for item in self._items]
        seconds = 0.0
        for number in np.argsort(sizes, kind="stable")[:2]:  # the first may wait for a GPU's libraries
            item, start = self._items[number], time.monotonic()
            _ = item.network_psnr(net), item.baselines
            seconds = (time.monotonic() - start) / item.pairs.numel()
        return seconds * sum(sizes)


class _Item:
    """Pairs (B, 2, H, W) of ground truth and reference at one scale factor."""

    def __init__(self, recipe: Recipe, scale: float, pairs: Tensor) -> None:
        self.recipe, self.scale, self.pairs = recipe, scale, pairs

    @cached_property
    def batch(self) -> Batch:
        shape = tuple(self.pairs.shape[-2:])
        degradation = BatchDegradation((self.scale, self.scale), ("kspace", "kspace"), shape, "high")
        return make_batch(self.recipe, self.pairs, degradation)

    @cached_property
    def baselines(self) -> dict[str, list[float]]:
        return baseline_psnr(self.pairs, self.scale)

    def network_psnr(self, net: nn.Module) -> list[float]:
        batch = self.batch
        image = batch.acquisition.consistent(predict(net, batch)[0].float(), batch.target)
        return _psnr(image, batch.truth)


def baseline_psnr(pairs: Tensor, scale: float) -> dict[str, list[float]]:
    """PSNR of the baselines in dB by name, for pairs (B, 2, H, W) of ground truth and reference."""
    truth, reference = pairs[:, 0], pairs[:, 1]
    acquisition = SliceAcquisition.of(tuple(truth.shape[-2:]), (scale, scale))
    low = acquisition.forward(truth)
    return {name: _psnr(base_image(name, acquisition, low, reference), truth[:, None]) for name in BASELINES}


def _psnr(image: Tensor, truth: Tensor) -> list[float]:
    """PSNR in dB of every slice of (B, 1, H, W), with the range of the true slice as peak."""
    return psnr(image[:, 0].cpu().numpy(), truth[:, 0].cpu().numpy()).tolist()


def _scales(recipe: Recipe) -> tuple[float, ...]:
    fixed = recipe.spec.fixed_scale
    return recipe.optimisation.validation_scales if fixed is None else (float(fixed),)


def _pairs(stack: ContrastStack, count: int) -> list[Tensor]:
    """(slices, 2, H, W) for every ordered pair of contrasts, `count` slices spread over the first axis with any."""
    slices = stack.slices()
    axis = slices[0][0]
    places = [index for slice_axis, index in slices if slice_axis == axis]
    chosen = [places[i] for i in np.unique(np.linspace(0, len(places) - 1, count + 2).round().astype(int)[1:-1])]
    images = torch.from_numpy(stack.images.take(chosen, axis=axis + 1)).float()
    images = images.movedim(axis + 1, 0)  # (slices, contrasts, h, w)
    images = pad_or_crop(images, tuple(-(-n // _MULTIPLE) * _MULTIPLE for n in images.shape[-2:]))
    ordered = itertools.permutations(range(images.shape[1]), 2)
    return [images[:, list(pair)] for pair in ordered if pair[0] in stack.targets]
