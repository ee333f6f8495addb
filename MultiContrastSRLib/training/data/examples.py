"""Training examples as a data set of batches. Example i of step t depends on the seed, t and i alone.

A resumed training run therefore sees the batches of an uninterrupted one, and processes that share a batch see its
parts. Of the two places that are drawn for a patch, each process takes the one that is brighter in its own part.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from ...networks.test_time_augmentation import transform
from ..recipe import Recipe
from .augmentation import (
    augment_intensities,
    augment_reference,
    coarsened,
    insert_lesions,
    insert_reference_lesions,
    pad_or_crop,
)
from .batch import Batch, crop_batch, make_batch, patch_shape
from .degradation import BatchDegradation, draw_degradation
from .pack import Pack
from .synthetic import synthetic_pair

_MAX_DRAWS = 8  # of a pair, until it shows tissue
_TISSUE = 0.1  # of the intensity range
_MIN_TISSUE_SHARE = 0.05  # of the pixels of a slice


class Examples:
    """The batches of a training run; index t is the batch of step t.

    Args:
        device: where batches are made; the slices of the pack are kept there.
        part: the examples of each batch that this process works on.

    Raises:
        InputError: the pack holds nothing to train on.
    """

    def __init__(
        self, pack: Pack, recipe: Recipe, device: torch.device | str = "cpu", part: slice = slice(None)
    ) -> None:
        self.recipe, self.device, self.part = recipe, torch.device(device), part
        pack = pack.only("train")
        self._stacks = [torch.from_numpy(stack.images).to(self.device) for stack in pack.stacks]
        self._targets = [stack.targets for stack in pack.stacks]
        self._slices = [(number, stack.slices()) for number, stack in enumerate(pack.stacks)]
        counts = np.array([float(len(found)) for _, found in self._slices])  # every slice is drawn as often
        self._stack_shares = counts / counts.sum() if len(counts) else counts
        self._labels = [torch.from_numpy(labels).to(self.device) for labels in pack.labels]
        brain = ~np.isin(np.array(pack.label_values), (0, *recipe.labels.background))
        self._brain = torch.from_numpy(brain).to(self.device)

    def __getitem__(self, step: int) -> Batch:
        settings = self.recipe.optimisation
        rng = np.random.default_rng((settings.seed, step))
        degradation = draw_degradation(self.recipe, step, rng)
        patches = bool(settings.patch or settings.output_patch)
        last_steps = settings.whole_slices > 0 and step >= settings.steps * (1 - settings.whole_slices)
        whole = patches and last_steps
        count = settings.whole_slice_batch_size if whole else settings.batch_size
        share = self.recipe.augmentation.reference_lesions
        doubled = share > 0 and degradation.reference == "high" and rng.random() < share
        numbers = range(count // 2 if doubled else count)[self.part]
        pairs = [self._pair(degradation, np.random.default_rng((settings.seed, step, 1 + i))) for i in numbers]
        if doubled:
            pairs += [insert_reference_lesions(pair, np.random.default_rng((settings.seed, step, 1 + i, 2)))
                      for i, pair in zip(numbers, pairs, strict=True)]  # fmt: skip
        # both halves of a doubled batch have the same noise and gain
        rngs = [np.random.default_rng((settings.seed, step, 1 + i, 1)) for i in (*numbers, *numbers)[: len(pairs)]]
        batch = make_batch(self.recipe, torch.stack(pairs), degradation, rngs)
        batch = replace(batch, reference_lesions=doubled)
        if whole or not patches:
            return batch
        shape = patch_shape(settings, degradation.factors)
        return crop_batch(batch, shape, rng, fixed_scale=self.recipe.spec.fixed_scale is not None)

    def _pair(self, degradation: BatchDegradation, rng: np.random.Generator) -> Tensor:
        """Ground truth and reference (2, H, W) that both show tissue.

        The intensity range of a slice without tissue is that of a few bright pixels, or of noise; one such slice
        outweighs a hundred others in the gradient.
        """
        for _ in range(_MAX_DRAWS):
            pair = self._any_pair(degradation, rng)
            if float((pair > _TISSUE).float().mean((-2, -1)).min()) > _MIN_TISSUE_SHARE:
                break
        return pair

    def _any_pair(self, degradation: BatchDegradation, rng: np.random.Generator) -> Tensor:
        settings = self.recipe.augmentation
        fade = rng.random() >= settings.hard_edges
        pair = self._shaped(self._source(rng), degradation.shape, fade, rng)
        if rng.random() < settings.lesions:
            pair = insert_lesions(pair, rng)
        if not (settings.wrong_reference or settings.partly_wrong):
            other = pair[1]
        else:
            other = self._shaped(self._source(rng), degradation.shape, fade, rng)[1]
        if rng.random() < settings.wrong_reference:
            pair = torch.stack([pair[0], other])
        pair = augment_intensities(pair, settings, rng)
        return torch.stack([pair[0], augment_reference(pair[1], other, settings, rng)])

    def _source(self, rng: np.random.Generator) -> Tensor:
        synthetic = bool(self._labels) and (not self._slices or rng.random() < self.recipe.augmentation.synthetic)
        return self._from_labels(rng) if synthetic else self._from_scans(rng)

    def _shaped(self, pair: Tensor, shape: tuple[int, int], fade: bool, rng: np.random.Generator) -> Tensor:
        """The pair flipped, magnified and padded or cropped to `shape`."""
        settings = self.recipe.augmentation
        if settings.flips:
            pair = transform(pair, int(rng.integers(8)))
        if settings.max_coarsening > 1:
            pair = coarsened(pair, float(settings.max_coarsening ** rng.uniform()))
        return pad_or_crop(pair, shape, rng, fade=fade)

    def _from_scans(self, rng: np.random.Generator) -> Tensor:
        number, places = self._slices[int(rng.choice(len(self._slices), p=self._stack_shares))]
        axis, index = places[int(rng.integers(len(places)))]
        images = self._stacks[number].select(axis + 1, index)
        target = int(rng.choice(self._targets[number]))
        reference = int(rng.choice([c for c in range(len(images)) if c != target]))
        return images[[target, reference]].float()

    def _from_labels(self, rng: np.random.Generator) -> Tensor:
        labels = self._labels[int(rng.integers(len(self._labels)))]
        axis = int(rng.integers(3))
        n = labels.shape[axis]
        for _ in range(_MAX_DRAWS):
            chosen = labels.select(axis, int(rng.integers(n // 8, n - n // 8)))
            if (chosen > 0).float().mean() > _MIN_TISSUE_SHARE:
                break
        labelled = (chosen > 0).nonzero()
        if len(labelled):  # crop the empty margin
            (top, left), (bottom, right) = labelled.amin(0).tolist(), labelled.amax(0).tolist()
            chosen = chosen[top : bottom + 1, left : right + 1]
        return synthetic_pair(chosen, self._brain, rng)
