"""Batches of examples. Example i of step t depends on the seed, t and i alone.

So a resumed training sees what an uninterrupted one would have seen, and processes that share a batch see its parts;
of the two places that are drawn for a window, each process takes the one that shows more of its own part.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ..acquisition.slices import SliceAcquisition
from ..inference.base_slices import base_images
from ..networks.intensity import Intensity, intensity_of
from ..networks.orientations import turned
from ..networks.positions import Positions
from .augmentation import fitted, planted, varied_reference, with_lesions
from .curriculum import Condition, condition
from .data import split, without_background
from .pack import Pack
from .recipe import Optimisation, Recipe
from .synthetic import noise, synthetic_pair

_TRIALS = 8  # until a pair shows something
_SHOWN, _ENOUGH = 0.1, 0.05  # of the range: tissue; of a slice that must be tissue


@dataclass(frozen=True, eq=False)
class Batch:
    """Examples that share sizes and positions; all images (B, 1, ·, ·), as the network sees them.

    Attributes:
        target: (h, w). truth: (H, W). reference: any size, or None. base: (H, W), or None; with one beside it two.
        positions: of the truth's pixels.
        intensity: how the target's units became these.
        acquisition: of the slices, or of a patch as if it were all that there is.
        twins: the second half are the first half with structures planted in the reference alone.
    """

    target: Tensor
    truth: Tensor
    reference: Tensor | None
    base: Tensor | None
    positions: Positions
    intensity: Intensity
    acquisition: SliceAcquisition
    twins: bool = False


class Examples:
    """Training examples of a pack, drawn as a recipe says.

    Args:
        device: where batches are made; the pack's slices are kept there.
    """

    def __init__(self, pack: Pack, recipe: Recipe, device: torch.device | str = "cpu") -> None:
        self.recipe, self.device = recipe, torch.device(device)
        pack = split(pack, "train")
        self._stacks = [torch.from_numpy(stack.images).to(self.device) for stack in pack.stacks]
        self._targets = [stack.targets for stack in pack.stacks]
        self._slices = [(number, *place) for number, stack in enumerate(pack.stacks) for place in stack.slices()]
        self._labels = [torch.from_numpy(labels).to(self.device) for labels in pack.labels]
        self._brain = torch.from_numpy(without_background(recipe, pack)).to(self.device)

    def batch(self, step: int, part: slice = slice(None)) -> Batch:
        """The batch of `step`, or the `part` of its examples that this process works on."""
        wanted = self.recipe.optimisation
        rng = np.random.default_rng((wanted.seed, step))
        drawn = condition(self.recipe, step, rng)
        patches = bool(wanted.patch or wanted.window)
        whole = patches and wanted.whole > 0 and step >= wanted.steps * (1 - wanted.whole)
        count = wanted.whole_batch if whole else wanted.batch
        share = self.recipe.augmentation.planted
        twins = share > 0 and drawn.reference == "high" and rng.random() < share
        numbers = range(count // 2 if twins else count)[part]
        pairs = [self._pair(drawn, np.random.default_rng((wanted.seed, step, 1 + i))) for i in numbers]
        if twins:
            pairs += [planted(pair, np.random.default_rng((wanted.seed, step, 1 + i, 2)))
                      for i, pair in zip(numbers, pairs, strict=True)]  # fmt: skip
        sigmas = [np.random.default_rng((wanted.seed, step, 1 + i, 1)) for i in (*numbers, *numbers)[: len(pairs)]]
        batch = replace(make_batch(self.recipe, torch.stack(pairs), drawn, sigmas), twins=twins)
        if whole or not patches:
            return batch
        return cropped(batch, _sides(wanted, drawn.factors), rng, fixed=hasattr(self.recipe.spec, "scale"))

    def _pair(self, drawn: Condition, rng: np.random.Generator) -> Tensor:
        """(2, H, W): target truth and reference, both of which show something.

        The intensity of a slice with next to nothing on it is that of a few bright pixels, or of noise; one such slice
        outweighs a hundred others in the gradient.
        """
        for _ in range(_TRIALS):
            pair = self._any_pair(drawn, rng)
            if float((pair > _SHOWN).float().mean((-2, -1)).min()) > _ENOUGH:
                break
        return pair

    def _any_pair(self, drawn: Condition, rng: np.random.Generator) -> Tensor:
        wanted = self.recipe.augmentation
        synthetic = bool(self._labels) and (not self._slices or rng.random() < wanted.synthetic)
        pair = self._from_labels(rng) if synthetic else self._from_scans(rng)
        pair = fitted(turned(pair, int(rng.integers(8))) if wanted.flips else pair, drawn.canvas, rng)
        if rng.random() < wanted.lesions:
            pair = with_lesions(pair, rng)
        if rng.random() < wanted.wrong:
            other = self._from_scans(rng) if self._slices else self._from_labels(rng)
            pair = torch.stack([pair[0], fitted(other, drawn.canvas, rng)[1]])
        return torch.stack([pair[0], varied_reference(pair[1], wanted, rng)])

    def _from_scans(self, rng: np.random.Generator) -> Tensor:
        number, axis, index = self._slices[int(rng.integers(len(self._slices)))]
        images = self._stacks[number].select(axis + 1, index)
        target = int(rng.choice(self._targets[number]))
        reference = int(rng.choice([c for c in range(len(images)) if c != target]))
        return images[[target, reference]].float()

    def _from_labels(self, rng: np.random.Generator) -> Tensor:
        labels = self._labels[int(rng.integers(len(self._labels)))]
        axis = int(rng.integers(3))
        n = labels.shape[axis]
        for _ in range(8):  # most slices show something
            chosen = labels.select(axis, int(rng.integers(n // 8, n - n // 8)))
            if (chosen > 0).float().mean() > 0.05:
                break
        shown = (chosen > 0).nonzero()
        if len(shown):  # without the empty margin
            (top, left), (bottom, right) = shown.amin(0).tolist(), shown.amax(0).tolist()
            chosen = chosen[top : bottom + 1, left : right + 1]
        return synthetic_pair(chosen, self._brain, rng)


def make_batch(recipe: Recipe, pairs: Tensor, drawn: Condition, rngs: list[np.random.Generator] | None = None) -> Batch:
    """Degrade pairs (B, 2, H, W) of whole slices and make what the network sees.

    Args:
        rngs: one an example, for noise and gain; None adds neither.
    """
    spec = recipe.spec
    truth, reference = pairs[:, 0], pairs[:, 1]
    shape = tuple(truth.shape[-2:])
    acquisition = SliceAcquisition.of(shape, drawn.factors, drawn.kinds)
    low = acquisition.forward(truth)
    gains = torch.ones(len(pairs), 1, 1, 1, device=truth.device)
    if rngs is not None:
        levels = [recipe.degradation.noise * rng.random() for rng in rngs]
        grain = [sigma * noise(low.shape[1:], rng, low.device) for sigma, rng in zip(levels, rngs, strict=True)]
        low = low + torch.stack(grain)
        gain = recipe.augmentation.gain
        gains = torch.tensor([1 + rng.uniform(-gain, gain) for rng in rngs]).view(-1, 1, 1, 1).to(truth)
    if drawn.reference == "low":
        reference = acquisition.forward(reference)
    base = base_images(spec.base, acquisition, low, None if drawn.reference == "none" else reference)
    low = low[:, None]
    intensity = intensity_of(low, spec)
    intensity = intensity._replace(scale=intensity.scale * gains)
    seen = None
    if drawn.reference != "none":
        seen = intensity_of(reference[:, None], spec).apply(reference[:, None])
    positions = Positions.regular(shape, acquisition.lattice)
    if seen is not None:
        recorded = acquisition if drawn.reference == "low" else SliceAcquisition.of(shape, (1.0, 1.0))
        positions = Positions.regular(shape, acquisition.lattice, recorded.lattice)
    return Batch(
        intensity.apply(low),
        intensity.apply(truth[:, None]),
        seen,
        None if base is None else intensity.apply(base),
        positions,
        intensity,
        acquisition,
    )


def _sides(wanted: Optimisation, factors: tuple[float, float]) -> tuple[int, int]:
    """Height and width of a patch in target pixels."""
    if not wanted.window:
        return wanted.patch, wanted.patch
    rows, cols = (max(8, round(wanted.window / factor)) for factor in factors)
    return rows, cols


def cropped(batch: Batch, sides: tuple[int, int], rng: np.random.Generator, fixed: bool = False) -> Batch:
    """The part of a batch under a window of `sides` target pixels; of two places the one that shows more.

    Args:
        fixed: for a network of one scale, whose first output pixel lies on the first target pixel.
    """
    h, w = batch.target.shape[-2:]
    height, width = min(sides[0], h), min(sides[1], w)
    places = [(int(rng.integers(h - height + 1)), int(rng.integers(w - width + 1))) for _ in range(2)]
    shows = [float(batch.target[..., r : r + height, c : c + width].mean()) for r, c in places]
    top, left = places[int(shows[1] > shows[0])]
    rows, cols = batch.positions.in_target
    before = 0.0 if fixed else 0.5
    window = (_within(rows, top - before, height), _within(cols, left - before, width))
    positions = batch.positions.crop(window)
    positions = replace(positions, rows_t=positions.rows_t - top, cols_t=positions.cols_t - left)
    seen = (slice(top, top + height), slice(left, left + width))
    reference = batch.reference
    if reference is not None:
        low = reference.shape[-2:] != batch.truth.shape[-2:]
        part = seen if low else window
        reference = reference[(..., *part)]
        positions = replace(positions, rows_r=positions.rows_r - part[0].start, cols_r=positions.cols_r - part[1].start)
    return Batch(
        batch.target[(..., *seen)],
        batch.truth[(..., *window)],
        reference,
        None if batch.base is None else batch.base[(..., *window)],
        positions,
        batch.intensity,
        batch.acquisition.cut((height, width), tuple(part.stop - part.start for part in window)),
        batch.twins,
    )


def _within(positions: Tensor, start: float, count: int) -> slice:
    """Which output pixels lie at `start` or up to `count` input pixels beyond."""
    inside = ((positions > start - 1e-6) & (positions < start + count - 1e-6)).nonzero()
    return slice(int(inside[0]), int(inside[-1]) + 1)
