"""The primal-dual solver of joint total variation, and its rounds of non-local means.

The non-convex penalty is majorised by a weighted square of the gradients; a few over-relaxed primal-dual iterations
(Chambolle & Pock 2011; Condat 2013) decrease the objective with this majoriser, then the weights are computed again.
The proximal operator of the data term of a contrast's first scan is known in closed form; further scans of the contrast
have dual variables.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from ..core.devices import has_float64
from ..core.progress import Monitor
from ..core.threads import single_threaded
from . import coupling
from .blocks import Block, parts_of
from .channel import Channel
from .data_term import DataTerm, as_tensor, expand, project
from .nonlocal_means import nonlocal_means

_STEP = 0.5  # of the images, in units of their gradients; the dual variables' step follows from it
_RELAXATION = 1.8
_ROUND_GAIN = 1.6  # a round moves this much farther than the filter's result: fewer rounds are needed
_PASSES = 4  # of data consistency with several scans, whose null spaces differ
_FLOOR_PASSES, _FLOOR_TOLERANCE = 10, 5e-3  # of raising to the floor; fraction of the range that may stay below it
_BLOCK = 1 << 16  # voxels processed at once, few enough for the processor's cache


def remove_measured(change: Tensor, terms: Sequence[DataTerm]) -> None:
    """Project `change`, in place, onto the null space of each scan's acquisition in turn."""
    for term in terms:
        expand(project(change, term.bases), term.bases, onto=change, share=-1.0)


class Solver:
    """Images (contrasts, k, j, i) and dual variables (contrasts, axes, k, j, i), updated in place.

    Args:
        channels: the contrasts, see `Channel`.
        rates: see `reconstruction.reconstruct`.
        smoothness: λ in units of its default.
        device: where to compute.
    """

    def __init__(
        self, channels: Sequence[Channel], rates: tuple[float, float, float], smoothness: float, device: torch.device
    ) -> None:
        like = torch.empty(0, dtype=torch.float32, device=device)
        self.channels = channels
        self.scales = [channel.scale for channel in channels]
        self.axes = [axis for axis, rate in enumerate(rates) if rate > 0]
        self.rates = [rates[axis] for axis in self.axes]
        self.terms = [channel.data_terms(smoothness, like) for channel in channels]
        self.image = torch.stack(self._initial(like))
        self.extrapolated = self.image.clone()  # 2 · new image − old image
        shape = self.image.shape[1:]
        self.dual = self.image.new_zeros((len(channels), len(self.axes), *shape))
        self.field = self.image.new_empty((len(coupling.upper_triangle(len(channels))), *shape))
        self.further_duals = [[torch.zeros_like(term.coefficients) for term in terms[1:]] for terms in self.terms]
        operators = max(len(terms) for terms in self.terms)  # the gradient and the further scans
        self.dual_step = 1.0 / (operators * _STEP * 4 * sum(rate**2 for rate in self.rates))
        self.further_step = 1.0 / (operators * _STEP)  # gains of slabs and k-space crops are at most 1
        parts = parts_of(shape, device)
        size = [max(each[axis].stop - each[axis].start for each in parts) for axis in range(2)]
        buffer = self.dual.new_zeros((*self.dual.shape[:2], *size, shape[2]))
        axes = list(zip(self.axes, self.rates, strict=True))
        tensors = self.image, self.extrapolated, self.dual, self.field, buffer
        self.blocks = [Block(part, axes, *tensors, shared=len(parts) > 1) for part in parts]

    def _initial(self, like: Tensor) -> list[Tensor]:
        return [as_tensor(channel.initial, like) / channel.scale for channel in self.channels]

    def _depth(self, axis: int) -> int:
        """How many planes across `axis` are processed at once."""
        shape = self.image.shape[1:]
        whole = self.image.device.type != "cpu"
        return shape[axis] if whole else min(shape[axis], max(1, _BLOCK * shape[axis] // shape.numel()))

    def final_image(self, number: int, monitor: Monitor) -> Tensor:
        """The image (k, j, i) of a contrast in the scans' units, raised to its floor; ends the solver's use for it."""
        self._raise_to_floor(self.image[number], self.channels[number], self.terms[number], monitor)
        return self.image[number].mul_(self.scales[number])

    def copies(self) -> list[np.ndarray]:
        """Copies of the images (k, j, i) as they are now, in the scans' units."""
        return [(image * scale).cpu().numpy() for image, scale in zip(self.image, self.scales, strict=True)]

    def _raise_to_floor(self, image: Tensor, channel: Channel, terms: Sequence[DataTerm], monitor: Monitor) -> None:
        """Raise intensities below the channel's floor by changes in the null space of the acquisition.

        In dark gaps between bright tissue, such as a fissure within one slab, the solver undershoots. An upper bound is
        not needed: of n voxels with mean y above a floor f, none exceeds f + n (y − f).
        """
        floor = channel.floor / channel.scale
        if isinstance(floor, float) and floor == -math.inf:
            return
        over = (1, 2) if isinstance(floor, Tensor) else (0, 1, 2)  # each slice has a floor of its own, or all have one
        tolerance = _FLOOR_TOLERANCE * (image.amax(over, keepdim=True) - floor)
        for _ in range(_FLOOR_PASSES):
            monitor.check()
            lack = torch.sub(floor, image, out=self.extrapolated[0]).clamp_(min=0.0)
            enough = lack.amax(over, keepdim=True) <= tolerance
            if enough.device.type == "cpu" and enough.all():  # another device would have to be waited for
                break
            remove_measured(lack.masked_fill_(enough, 0.0), terms)
            image.add_(lack)

    def release_iteration_buffers(self) -> None:
        """Free the memory that only iterations need."""
        del self.dual, self.field, self.further_duals, self.blocks

    def estimated_errors(self) -> list[float]:
        """Size of each image's error, in its units, estimated by its distance from the initial image.

        On brains the error is 1.0 to 1.3 times that for slabs, 1.2 to 2 times for k-space crops. The distance is the
        mean magnitude weighted by the magnitude itself, as in `gradient_size`.
        """
        sizes, widest = [], torch.float64 if has_float64(self.image.device.type) else torch.float32
        for image, initial in zip(self.image, self._initial(self.image), strict=True):
            distance = initial.sub_(image).abs_()
            total = float(distance.sum(dtype=widest))
            sizes.append(float(distance.square_().sum(dtype=widest)) / total if total > 0 else 0.0)
        return sizes

    def apply_nonlocal_means(self, widths: Sequence[float], monitor: Monitor) -> None:
        """A round of non-local means whose change lies in the null space of the acquisition.

        The images change only at the end, so that a round can be interrupted. `widths`: see `nonlocal_means`.
        """
        change = nonlocal_means(self.image, self.axes, widths, monitor).sub_(self.image).mul_(_ROUND_GAIN)
        with single_threaded():
            for image, own_change, terms in zip(self.image, change, self.terms, strict=True):
                for _ in range(1 if len(terms) == 1 else _PASSES):
                    remove_measured(own_change, terms)
                image.add_(own_change)

    def objective(self, monitor: Monitor) -> float:
        """The objective, divided by λ."""
        self._update_structure_tensor(monitor)
        penalties = (coupling.trace_of_function(block.field, coupling.penalty) for block in self.blocks)
        prior = sum(float(penalty.cpu().double().sum()) for penalty in penalties)
        data = [term.value(image) for image, terms in zip(self.image, self.terms, strict=True) for term in terms]
        return prior + sum(data)

    def reweight(self, monitor: Monitor) -> None:
        """Majorise the penalty at the present images: `field` becomes the proximal matrices of the dual variables."""
        self._update_structure_tensor(monitor)
        self._apply(coupling.quadratic_weight, monitor)
        self._smooth(monitor)
        self._apply(lambda weight: weight / (weight + self.dual_step), monitor)

    def iterate(self, monitor: Monitor) -> None:
        """One primal-dual iteration: a step of the images, then of the dual variables."""
        together = 1 if self.image.device.type == "cpu" else len(self.image)  # contrasts, one by one in the cache
        for first in range(0, len(self.image), together):
            monitor.check()
            self._step_images(slice(first, first + together))
        for block in self.blocks:
            monitor.check()
            block.step_dual(self.dual_step, _RELAXATION)

    def _step_images(self, contrasts: slice) -> None:
        image, extrapolated, dual = self.image[contrasts], self.extrapolated[contrasts], self.dual[contrasts]
        before = image
        for number, (axis, rate) in enumerate(zip(self.axes, self.rates, strict=True)):
            values, inner = dual[:, number], image.shape[axis + 1] - 1
            torch.add(before, values, alpha=_STEP * rate, out=extrapolated)
            extrapolated.narrow(axis + 1, 1, inner).sub_(values.narrow(axis + 1, 0, inner), alpha=_STEP * rate)
            before = extrapolated
        each = list(zip(extrapolated, self.terms[contrasts], self.further_duals[contrasts], strict=True))
        for moved, terms, duals in each:
            for term, values in zip(terms[1:], duals, strict=True):
                term.add_adjoint(values, _STEP, moved)
            terms[0].prox(moved, _STEP)
        torch.lerp(image, extrapolated, 2.0, out=extrapolated)
        image.lerp_(extrapolated, _RELAXATION / 2)
        for moved, terms, duals in each:
            for term, values in zip(terms[1:], duals, strict=True):
                ascended = values - self.further_step * term.residual(moved)
                values.lerp_(ascended.div_(1.0 + self.further_step / term.weight), _RELAXATION)

    def _update_structure_tensor(self, monitor: Monitor) -> None:
        for block in self.blocks:
            monitor.check()
            coupling.gradient_products(block.gradient(), block.field)
        self._smooth(monitor)

    def _smooth(self, monitor: Monitor) -> None:
        for axis in self.axes:
            other = 1 if axis == 0 else 0  # split along another axis, so that pieces are independent
            for piece in self.field.split(self._depth(other), dim=other + 1):
                monitor.check()
                coupling.binomial_smooth(piece, axis + 1)

    def _apply(self, function: Callable[[Tensor], Tensor], monitor: Monitor) -> None:
        for block in self.blocks:
            monitor.check()
            coupling.apply_matrix_function(block.field, function)
