"""Joint total variation: images of several contrasts that explain all scans and share their edges.

Minimised is, over the images u of all contrasts on one lattice,

    λ Σ_voxels Σ_eigenvalues penalty(S(u))  +  Σ_scans ‖A u − y‖² / 2σ²

with the exact acquisition A and the noise σ of every scan (the generative model of Brudfors, Balbastre, Nachev,
Ashburner 2018, "MRI super-resolution using multi-channel total variation") and the structure tensor S over contrasts
(`coupling`) of gradients in units of each contrast's own gradient size. An edge of one contrast is penalised little
more when the others have it too; that is how detail is shared between contrasts.

Joint non-local means refines the result by rounds of `nonlocal_means`, each followed by data consistency.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from ..core.errors import CancelledError
from ..core.progress import Monitor
from ..core.threads import single_threaded
from .channel import Channel
from .nonlocal_means import filter_widths
from .solver import Solver

_REWEIGHTED_EVERY = 4  # iterations with the same majoriser
_ITERATIONS_A_ROUND = 8  # iterations that take as long as a round of non-local means


def reconstruct(
    channels: Sequence[Channel],
    rates: tuple[float, float, float],
    *,
    smoothness: float = 1.0,
    iterations: int = 40,
    rounds: int = 0,
    device: str = "cpu",
    stop: Callable[[], bool] | None = None,
    monitor: Monitor | None = None,
    on_objective: Callable[[float], None] | None = None,
    preview: Callable[[list[np.ndarray]], None] | None = None,
) -> list[np.ndarray]:
    """The image of every channel on the lattice (k, j, i), float32, in the scans' units.

    Args:
        channels: the contrasts; their observations belong to the same lattice.
        rates: per axis (k, j, i), the factor of a difference of neighbours in the gradient: the finest spacing over the
            axis' spacing, 0 along independent slices.
        smoothness: λ in units of its default.
        iterations: of the solver for joint total variation.
        rounds: of non-local means afterwards.
        device: "cpu", "cuda:0" or another of `core.devices.list_devices`.
        stop: asked often; once it is true the images are returned as they are then.
        on_objective: called with the objective divided by λ, whenever the majoriser changes and at the end.
        preview: called with the images of joint total variation before the first round.

    Raises:
        CancelledError: the monitor's caller wants to cancel.
    """
    monitor = monitor or Monitor()
    with torch.inference_mode():
        with single_threaded():
            solver = Solver(channels, rates, smoothness, torch.device(device))
        try:
            interruptible = monitor if stop is None else monitor.interruptible(stop)
            minimise(solver, iterations, interruptible.part(0.0, _share(iterations, rounds)), on_objective)
            solver.release_iteration_buffers()
            if rounds:
                if preview is not None:
                    preview(solver.copies())
                _refine(solver, rounds, interruptible.part(_share(iterations, rounds), 1.0))
        except CancelledError:
            monitor.check()  # cancelled; otherwise `stop` ended it
        with single_threaded():
            return [solver.final_image(number, monitor.silent).cpu().numpy() for number in range(len(channels))]


def minimise(
    solver: Solver, iterations: int, monitor: Monitor, on_objective: Callable[[float], None] | None = None
) -> None:
    """Iterations of joint total variation; `on_objective`: see `reconstruct`."""
    with single_threaded():
        for number in range(iterations):
            monitor.update(number / iterations)
            if number % _REWEIGHTED_EVERY == 0:
                if on_objective is not None:
                    on_objective(solver.objective(monitor.silent))
                solver.reweight(monitor.silent)
            solver.iterate(monitor.silent)
        if on_objective is not None:
            on_objective(solver.objective(monitor.silent))


def _refine(solver: Solver, rounds: int, monitor: Monitor) -> None:
    """Rounds of non-local means."""
    errors = solver.estimated_errors()
    for number, width in enumerate(filter_widths(rounds)):
        monitor.update(number / rounds)
        solver.apply_nonlocal_means([width * error for error in errors], monitor.silent)


def _share(iterations: int, rounds: int) -> float:
    """The iterations' share of the time."""
    return iterations / max(1, iterations + _ITERATIONS_A_ROUND * rounds)
