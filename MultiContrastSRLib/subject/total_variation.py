"""Joint total variation: images of several contrasts that explain all scans and share their edges.

Minimised is, over the images u of all contrasts on one lattice,

    λ Σ_voxels Σ_eigenvalues penalty(S(u))  +  Σ_scans ‖A u − y‖² / 2σ²

with the exact acquisition A and the noise σ of every scan (the generative model of Brudfors, Balbastre, Nachev,
Ashburner 2018, "MRI super-resolution using multi-channel total variation") and the matrix field S of `coupling`, made
of gradients in units of each contrast's own. An edge that one contrast has costs little more when the others have it
too: that is how detail passes between them.

Solver. The penalty is touched from above by a weighted square of the gradients, and the sum with that bound brought
down by a few primal-dual steps (Chambolle & Pock 2011, over-relaxed as Condat 2013); then a new bound is laid. The data
term of the first scan of a contrast is met in closed form, further scans of it have dual variables.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..core.progress import Monitor
from . import coupling
from .data_term import DataTerm, expand, project
from .observation import Observation
from .similarity import GAIN, mean_of_similar, widths

STRENGTH = 0.1  # λ at smoothness 1
_EVERY = 4  # iterations between bounds
_STEP = 0.5  # of the images, in units of their gradients; the dual variables' follows from it
_RELAXATION = 1.8
_ROUNDS, _SHALLOW = 10, 5e-3  # of lifting to a floor; of the range, what may stay below it
_ROUND = 8  # iterations that take as long as a round of self-similarity
_HIDINGS = 4  # of a change from several scans
_BLOCK = 1 << 16  # voxels worked on at once: what is touched several times stays in the cache


@dataclass(frozen=True)
class Channel:
    """One contrast.

    Attributes:
        scans: its acquisitions, at least one.
        noise: standard deviation of the noise of each.
        scale: size of its gradients on the lattice: what makes contrasts comparable.
        floor: the least intensity that its images may have; −∞ where nothing is known.
    """

    scans: tuple[Observation, ...]
    noise: tuple[float, ...]
    scale: float
    floor: float = -math.inf

    @property
    def start(self) -> np.ndarray:
        """The mean of the interpolated scans."""
        return self.scans[0].start if len(self.scans) == 1 else np.mean([s.start for s in self.scans], axis=0)

    def terms(self, smoothness: float, like: Tensor) -> list[DataTerm]:
        """Its data terms, for images in units of `scale`."""
        weight = self.scale**2 / max(STRENGTH * smoothness, 1e-9)
        return [
            DataTerm(scan, self.scale, weight / noise**2, like)
            for scan, noise in zip(self.scans, self.noise, strict=True)
        ]


def gradient_size(image: np.ndarray, rates: Sequence[float], monitor: Monitor | None = None) -> float:
    """Mean size of the gradients of `image`, each weighed by itself, so that an empty background does not count."""
    monitor = monitor or Monitor()
    total = energy = 0.0
    depth = max(1, _BLOCK // (image.shape[1] * image.shape[2]))
    for first in range(0, len(image), depth):
        monitor.check()
        block = image[first : first + depth + 1]  # and the next slice, for differences across
        squares = np.zeros((min(depth, len(block)), *block.shape[1:]), np.float32)
        for axis, rate in enumerate(rates):
            if rate > 0:
                change = np.diff(block if axis == 0 else block[:depth], axis=axis) * np.float32(rate)
                squares[tuple(slice(0, n) for n in change.shape)] += change**2
        total += float(np.sqrt(squares).sum(dtype=np.float64))
        energy += float(squares.sum(dtype=np.float64))
    return energy / total if total > 0 else 0.0


def reconstruct(
    channels: Sequence[Channel],
    rates: tuple[float, float, float],
    *,
    smoothness: float = 1.0,
    iterations: int = 40,
    rounds: int = 0,
    device: str = "cpu",
    monitor: Monitor | None = None,
    watch: Callable[[float], None] | None = None,
    show: Callable[[list[np.ndarray]], None] | None = None,
) -> list[np.ndarray]:
    """The image of every channel on the lattice, float32.

    Args:
        rates: per axis (k, j, i), what a difference of neighbours counts in the gradient: the finest spacing over the
            axis', 0 along slices that are independent.
        smoothness: λ in units of `STRENGTH`.
        rounds: of self-similarity afterwards, see `similarity`.
        watch: told what is minimised, divided by λ, whenever a bound is laid and at the end.
        show: given the images as they are before the rounds.
    """
    monitor = monitor or Monitor()
    total = iterations + _ROUND * rounds
    with torch.inference_mode():
        with _one_thread():
            solver = _Solver(channels, rates, smoothness, torch.device(device))
            for number in range(iterations):
                monitor.update(number / total)
                if number % _EVERY == 0:
                    if watch is not None:
                        watch(solver.objective(monitor.silent))
                    solver.lay_bound(monitor.silent)
                solver.iterate(monitor.silent)
            if watch is not None:
                watch(solver.objective(monitor.silent))
        solver.rest()
        if rounds and show is not None:
            show([(image * scale).cpu().numpy() for image, scale in zip(solver.image, solver.scales, strict=True)])
        uncertain = solver.uncertain() if rounds else []
        for number, width in enumerate(widths(rounds)):
            monitor.update((iterations + _ROUND * number) / total)
            solver.resemble([width * error for error in uncertain], monitor.silent)
        with _one_thread():
            return solver.images(monitor.silent)


@contextmanager
def _one_thread() -> Iterator[None]:
    """CPU work in the calling thread: blocks are small, and threads that meet after each wait long on a busy machine.

    It also makes results the same, bit by bit, on any number of cores.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _hide(change: Tensor, terms: Sequence[DataTerm]) -> None:
    """Take out of `change`, in place, what the scans would see of it."""
    for term in terms:
        expand(project(change, term.bases).neg_(), term.bases, onto=change)


class _Solver:
    """Images (contrasts, k, j, i) and dual variables (contrasts, axes, k, j, i), worked on in place."""

    def __init__(
        self, channels: Sequence[Channel], rates: tuple[float, float, float], smoothness: float, device: torch.device
    ) -> None:
        like = torch.empty(0, dtype=torch.float32, device=device)
        self.channels = channels
        self.scales = [channel.scale for channel in channels]
        self.floors = [channel.floor / channel.scale for channel in channels]
        self.axes = [axis for axis, rate in enumerate(rates) if rate > 0]
        self.rates = [rates[axis] for axis in self.axes]
        self.terms = [channel.terms(smoothness, like) for channel in channels]
        self.image = torch.stack(self._starts(like))
        self.ahead = self.image.clone()  # 2 · new image − old image
        shape = self.image.shape[1:]
        self.dual = self.image.new_zeros((len(channels), len(self.axes), *shape))
        self.field = self.image.new_empty((len(coupling.pairs(len(channels))), *shape))
        self.further = [[torch.zeros_like(term.coefficients) for term in terms[1:]] for terms in self.terms]
        shares = max(len(terms) for terms in self.terms)  # the dual step is shared by the gradient and further scans
        self.dual_step = 1.0 / (shares * _STEP * 4 * sum(rate**2 for rate in self.rates))
        self.further_step = 1.0 / (shares * _STEP)  # gains of slabs and k-space crops are 1 at most
        depth = self._depth(0)
        self.blocks = [slice(k, min(k + depth, shape[0])) for k in range(0, shape[0], depth)]
        self.space = self.dual.new_empty((*self.dual.shape[:2], depth, *shape[1:]))

    def _starts(self, like: Tensor) -> list[Tensor]:
        starts = [torch.from_numpy(np.ascontiguousarray(channel.start)).to(like) for channel in self.channels]
        return [start / scale for start, scale in zip(starts, self.scales, strict=True)]

    def _depth(self, axis: int) -> int:
        """How many planes across `axis` are worked on at once."""
        shape = self.image.shape[1:]
        return shape[axis] if self.image.is_cuda else min(shape[axis], max(1, _BLOCK * shape[axis] // shape.numel()))

    def images(self, monitor: Monitor) -> list[np.ndarray]:
        """In the scans' units, lifted to their floors."""
        for image, floor, terms in zip(self.image, self.floors, self.terms, strict=True):
            self._lift(image, floor, terms, monitor)
        return [image.mul_(scale).cpu().numpy() for image, scale in zip(self.image, self.scales, strict=True)]

    def _lift(self, image: Tensor, floor: float, terms: Sequence[DataTerm], monitor: Monitor) -> None:
        """Raise what lies below `floor`, at the cost of what no scan has seen: what `terms` say of `image` stays.

        In dark gaps between bright tissue, a fissure within one slab for one, the solver goes below zero. Highest
        intensities need no bound of their own: with n voxels of mean y above a floor f, none exceeds f + n (y − f).
        """
        depth = _SHALLOW * (float(image.max()) - floor)
        for _ in range(_ROUNDS):
            monitor.check()
            lack = torch.sub(floor, image, out=self.ahead[0]).clamp_(min=0.0)
            if float(lack.max()) <= depth:
                break
            _hide(lack, terms)
            image.add_(lack)

    def rest(self) -> None:
        """Give back the memory that only iterations need."""
        del self.dual, self.field, self.further, self.space

    def uncertain(self) -> list[float]:
        """About how large the error of each image is, in its units: as large as its distance from where it began.

        On brains it is 1.0 to 1.3 times that for slabs, 1.2 to 2 times for k-space crops. Sizes are weighed by
        themselves, as those of gradients are.
        """
        sizes = []
        for image, start in zip(self.image, self._starts(self.image), strict=True):
            distance = start.sub_(image).abs_()
            total = float(distance.sum(dtype=torch.float64))
            sizes.append(float(distance.square_().sum(dtype=torch.float64)) / total if total > 0 else 0.0)
        return sizes

    def resemble(self, widths: Sequence[float], monitor: Monitor) -> None:
        """A round of self-similarity, at the cost of what no scan has seen."""
        change = mean_of_similar(self.image, self.axes, widths, monitor).sub_(self.image).mul_(GAIN)
        with _one_thread():
            for image, more, terms in zip(self.image, change, self.terms, strict=True):
                for _ in range(1 if len(terms) == 1 else _HIDINGS):  # hidden from one scan it may show in another
                    _hide(more, terms)
                image.add_(more)

    def objective(self, monitor: Monitor) -> float:
        """What is minimised, divided by λ."""
        self._structure(monitor)
        prior = sum(
            float(coupling.trace(self.field[:, block], coupling.penalty).double().sum()) for block in self.blocks
        )
        data = [term.value(image) for image, terms in zip(self.image, self.terms, strict=True) for term in terms]
        return prior + sum(data)

    def lay_bound(self, monitor: Monitor) -> None:
        """Make `field` the matrices that the dual variables of the weighted squares are damped by."""
        self._structure(monitor)
        self._replace(coupling.slope, monitor)
        self._smooth(monitor)
        self._replace(lambda weight: weight / (weight + self.dual_step), monitor)

    def iterate(self, monitor: Monitor) -> None:
        """One step of the images, then of the dual variables."""
        for image, ahead, dual, terms, further in zip(
            self.image, self.ahead, self.dual, self.terms, self.further, strict=True
        ):
            monitor.check()
            ahead.copy_(image)
            for values, axis, rate in zip(dual, self.axes, self.rates, strict=True):
                n = values.shape[axis]
                ahead.add_(values, alpha=_STEP * rate)
                ahead.narrow(axis, 1, n - 1).sub_(values.narrow(axis, 0, n - 1), alpha=_STEP * rate)
            for term, values in zip(terms[1:], further, strict=True):
                term.pull(values, _STEP, ahead)
            terms[0].prox(ahead, _STEP)
            ahead.mul_(2.0).sub_(image)
            image.lerp_(ahead, _RELAXATION / 2)
            for term, values in zip(terms[1:], further, strict=True):
                moved = values - self.further_step * term.residual(ahead)
                values.lerp_(moved.div_(1.0 + self.further_step / term.trust), _RELAXATION)
        for block in self.blocks:
            monitor.check()
            moved = self._gradient(self.ahead, block).mul_(self.dual_step).add_(self.dual[:, :, block])
            dual = self.dual[:, :, block].mul_(1.0 - _RELAXATION)
            for factor, (first, second) in zip(self.field[:, block], coupling.pairs(len(dual)), strict=True):
                dual[first].addcmul_(factor, moved[second], value=_RELAXATION)
                if first != second:
                    dual[second].addcmul_(factor, moved[first], value=_RELAXATION)

    def _gradient(self, images: Tensor, block: slice) -> Tensor:
        """Forward differences of `images` times the rates, in some slices; 0 at the far edges."""
        out = self.space[:, :, : block.stop - block.start]
        for number, (axis, rate) in enumerate(zip(self.axes, self.rates, strict=True)):
            along = axis + 1
            source = images[:, block.start : block.stop + 1] if axis == 0 else images[:, block]
            inner = source.shape[along] - 1
            target = out[:, number]
            upper, lower = (source.narrow(along, first, inner) for first in (1, 0))
            torch.sub(upper, lower, out=target.narrow(along, 0, inner))
            target.narrow(along, inner, target.shape[along] - inner).zero_()
            if rate != 1.0:
                target.mul_(rate)
        return out

    def _structure(self, monitor: Monitor) -> None:
        for block in self.blocks:
            monitor.check()
            coupling.products(self._gradient(self.image, block), self.field[:, block])
        self._smooth(monitor)

    def _smooth(self, monitor: Monitor) -> None:
        for axis in self.axes:
            other = 1 if axis == 0 else 0  # cut across another axis, so that pieces do not touch
            for piece in self.field.split(self._depth(other), dim=other + 1):
                monitor.check()
                coupling.smooth(piece, axis + 1)

    def _replace(self, function: Callable[[Tensor], Tensor], monitor: Monitor) -> None:
        for block in self.blocks:
            monitor.check()
            self.field[:, block] = coupling.spectral(self.field[:, block], function)
