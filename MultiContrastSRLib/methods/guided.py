"""Guided super-resolution: the reference's detail, by closed-form local regression."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..acquisition import AcquisitionModel, resolution_along
from ..detail import DetailModel, Level, learn, transfer
from ..grid import Grid, spacing_along
from ..lattice import MAX_LATTICE_SCALE, LatticeImage, default_refinement
from ..progress import CancelCallback, Monitor, ProgressCallback
from ..reference import resample_reference
from ..sampling import apply_separable
from ..volume import Volume
from .base import Method, Option, register

_TRIAL_SLICES = (4, 12)  # fewest and most slices that judge the candidates
_CHUNK = 1 << 19  # lattice samples worked on at once: a cancel is heard after each such chunk


@register
class Guided(Method):
    """See `summary` and `MultiContrastSRLib.detail`."""

    name = "guided"
    label = "Guided (local regression)"
    summary = (
        "Transfers the reference's detail where the target's own detail follows it. No training; the default with a "
        "reference."
    )
    group = "classical"
    reference = "optional"
    order = 60
    options = (
        Option(
            "strength",
            1.0,
            "Detail strength",
            "Share of the reference's detail that is added; 0 is the sinc.",
            0.0,
            1.0,
        ),
    )
    citation = (
        "Local regression after He, Sun, Tang, IEEE TPAMI 35(6), 2013 (guided filter); stacking after Breiman, "
        "Machine Learning 24, 1996"
    )

    def prepare(
        self,
        target: Volume,
        reference: Volume | None = None,
        *,
        refine: tuple[bool, bool, bool] | None = None,
        device: str = "cpu",
        progress: ProgressCallback | None = None,
        cancel: CancelCallback | None = None,
        **options: bool | int | float | str,
    ) -> LatticeImage:
        """See `Method.prepare`. Without a reference, or with one that is no sharper, the result is the sinc's."""
        strength = self.check_options(options)["strength"]
        monitor = Monitor(progress, cancel, stage="prepare")
        model = AcquisitionModel.estimate(target)
        refined = refine or default_refinement(target.grid)
        if reference is None:
            return LatticeImage(target, model, target.array, ("No reference was used; the result is the sinc's.",))
        samples = lattice_samples(model, reference.grid, refined)
        # an axis is learned on where there is something to gain: samples or frequencies that only the reference has
        sharper = [
            r < 0.98 * t for r, t in zip(resolution_along(reference, target.grid), model.resolution, strict=True)
        ]
        active = tuple(
            n > axis.samples or (refine_axis and sharp and axis.weight() is not None)
            for n, refine_axis, sharp, axis in zip(samples, refined, sharper, model.axes, strict=True)
        )
        if not any(active):
            note = "The reference is no finer than the target; its detail was not used and the result is the sinc's."
            return LatticeImage(target, model, target.array, (note,))
        on_lattice, valid = resample_reference(reference, model.lattice(samples), target.grid, monitor.part(0.0, 0.3))
        return self._regress(target, model, on_lattice, valid * np.float32(strength), active, monitor.part(0.3, 1.0))

    @staticmethod
    def _regress(
        target: Volume,
        model: AcquisitionModel,
        reference: np.ndarray,
        share: np.ndarray,
        active: tuple[bool, ...],
        monitor: Monitor,
    ) -> LatticeImage:
        base = [
            axis.spread(n) if axis.kind == "kspace" else axis.interpolate(n)
            for axis, n in zip(model.axes, reference.shape, strict=True)
        ]
        array = apply_separable(target.array, base, monitor=monitor.silent)
        across = next((number for number, axis in enumerate(model.axes) if axis.kind == "slab"), None)
        # slices that are not refined across are independent: learn on a few, work in chunks
        independent = across is not None and not active[across]
        level = Level(model.axes, reference.shape, active, monitor)
        monitor.update(0.0)
        low, high = target.array, reference
        if independent:
            chosen = _representative(target.array, _slabs(target.shape, across, 1), across)
            low, high = (np.concatenate([array[part] for part in chosen], axis=across) for array in (low, high))
        learned = learn(_fitted(level, low.shape, high.shape), low, high)
        if not learned.helps:
            note = "The reference explains none of the target's detail; the result is the sinc's."
            return LatticeImage(target, model, target.array, (note,))
        size = int(np.prod(reference.shape)) // (target.shape[across] if independent else 1)
        work = _slabs(target.shape, across, max(1, _CHUNK // size)) if independent else [(slice(None),) * 3]
        for number, part in enumerate(work):
            monitor.update((number + 1) / (len(work) + 1))
            y, r = target.array[part], reference[part]
            array[part] += transfer(_fitted(level, y.shape, r.shape), learned, y, r, share[part])
        return LatticeImage(target, model, array, (_describe(learned),))


def _slabs(shape: tuple[int, ...], axis: int, depth: int) -> list[tuple[slice, ...]]:
    """Index tuples that cut an array into slabs of `depth` slices, which target and lattice share."""
    whole = (slice(None),) * 3
    return [(*whole[:axis], slice(start, start + depth), *whole[axis + 1 :]) for start in range(0, shape[axis], depth)]


def _representative(array: np.ndarray, slabs: list, axis: int) -> list:
    """A few slices spread over those that show anything."""
    energy = np.array([float(np.std(array[slab])) for slab in slabs])
    (shown,) = np.nonzero(energy > 0.3 * energy.max())
    if len(shown) == 0:
        return slabs[:1]
    count = int(np.clip(2 * _CHUNK * len(slabs) / array.size, *_TRIAL_SLICES))
    pick = np.unique(np.linspace(0, len(shown) - 1, min(count, len(shown))).round().astype(int))
    return [slabs[shown[p]] for p in pick]


def _fitted(level: Level, low: tuple[int, ...], high: tuple[int, ...]) -> Level:
    """`level` for a stack of fewer slices."""
    axes = tuple(replace(axis, samples=n) for axis, n in zip(level.axes, low, strict=True))
    return Level(axes, tuple(high), level.refined, level.monitor)


def _describe(learned: DetailModel) -> str:
    return (
        f"Share of the reference's detail that a trial one octave down supported: {100 * sum(learned.weights):.0f} %."
    )


def lattice_samples(model: AcquisitionModel, reference: Grid, refined: tuple[bool, ...]) -> list[int]:
    """Samples per axis (k, j, i) of the lattice: the reference's spacing along refined axes, at most 8 each."""
    samples = []
    for axis, spacing, refine in zip(model.axes, spacing_along(reference, model.grid), refined, strict=True):
        factor = min(axis.spacing / spacing, MAX_LATTICE_SCALE)
        finer = refine and factor > 1.02 and axis.samples > 1
        samples.append(int(np.floor(axis.samples * factor + 0.5)) if finer else axis.samples)
    return samples
