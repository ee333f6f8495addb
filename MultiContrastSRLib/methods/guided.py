"""Guided super-resolution: the reference's detail, by closed-form local regression."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..acquisition.lattice import MAX_LATTICE_SCALE, LatticeImage, default_refinement
from ..acquisition.model import AcquisitionModel, resolution_along
from ..core.progress import CancelCallback, Monitor, ProgressCallback
from ..guided.regression import DetailModel, Level, learn, transfer
from ..image.grid import Grid, spacing_along
from ..image.sampling import apply_separable
from ..image.volume import Volume
from ..registration.resample import resample_reference
from .contract import Method, Option, register

_TRIAL_SLICES = (4, 12)  # fewest and most slices that judge the candidates
_CHUNK = 1 << 19  # lattice samples worked on at once: a cancel is heard after each such chunk


@register
class Guided(Method):
    """See `summary` and `MultiContrastSRLib.guided.regression`."""

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
        guidance = Guidance(target, reference, refine or default_refinement(target.grid), strength, monitor)
        if not guidance.helps:
            return LatticeImage(target, guidance.model, target.array, (guidance.note,))
        return LatticeImage(target, guidance.model, guidance.whole(monitor.part(0.3, 1.0)), (guidance.note,))


class Guidance:
    """Guided super-resolution of one pair, set up: what was learned from the whole, ready for any of its slices.

    Args:
        refined: the axes (k, j, i) to be super-resolved.
        strength: share of the reference's detail that is added.
        resampled: what `resample_reference` gave on some lattice; taken if it is the one that is needed.

    Attributes:
        model: the target's acquisition.
        samples: of the lattice, (k, j, i); the target's own where nothing is added.
        across: the axis along which slices may be had one by one; None when all depend on each other.
        reference: on the lattice; None where nothing is added.
        note: what was found, for the report.
    """

    def __init__(
        self,
        target: Volume,
        reference: Volume | None,
        refined: tuple[bool, ...],
        strength: float = 1.0,
        monitor: Monitor | None = None,
        resampled: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> None:
        monitor = monitor or Monitor()
        self.model = model = AcquisitionModel.estimate(target)
        self.samples: tuple[int, ...] = target.shape
        self.across = next((number for number, axis in enumerate(model.axes) if axis.kind == "slab"), None)
        self.reference: np.ndarray | None = None
        self._target = target.array
        if reference is None:
            self.note = "No reference was used; the result is the sinc's."
            return
        samples = tuple(lattice_samples(model, reference.grid, refined))
        # an axis is learned on where there is something to gain: samples or frequencies that only the reference has
        sharper = [
            r < 0.98 * t for r, t in zip(resolution_along(reference, target.grid), model.resolution, strict=True)
        ]
        active = tuple(
            n > axis.samples or (refine_axis and sharp and axis.weight() is not None)
            for n, refine_axis, sharp, axis in zip(samples, refined, sharper, model.axes, strict=True)
        )
        if not any(active):
            self.note = (
                "The reference is no finer than the target; its detail was not used and the result is the sinc's."
            )
            return
        if self.across is not None and active[self.across]:
            self.across = None
        if resampled is None or resampled[0].shape != samples:
            resampled = resample_reference(reference, model.lattice(samples), target.grid, monitor.part(0.0, 0.3))
        on_lattice, valid = resampled
        self._level = Level(model.axes, samples, active)
        monitor.update(0.3)
        self._learned = self._learn(on_lattice, monitor)
        if not self._learned.helps:
            self.note = "The reference explains none of the target's detail; the result is the sinc's."
            return
        self._share = valid * np.float32(strength)
        self.samples, self.reference, self.note = samples, on_lattice, _describe(self._learned)

    @property
    def helps(self) -> bool:
        """Whether anything of the reference is added."""
        return self.reference is not None

    def part(self, numbers: slice, monitor: Monitor | None = None) -> np.ndarray:
        """Lattice slices `numbers` along `across`, or all of the lattice where they depend on each other."""
        part = self._index(numbers)
        measured = self._target[part]
        if self.reference is None:
            return measured
        reference = self.reference[part]
        level = _fitted(self._level, measured.shape, reference.shape, monitor or Monitor())
        base = [
            axis.spread(n) if axis.kind == "kspace" else axis.interpolate(n)
            for axis, n in zip(level.axes, level.fine, strict=True)
        ]
        array = apply_separable(measured, base, monitor=level.monitor.silent)
        return array + transfer(level, self._learned, measured, reference, self._share[part])

    def whole(self, monitor: Monitor) -> np.ndarray:
        """All of the lattice."""
        if self.across is None:
            return self.part(slice(None), monitor)
        array = np.empty(self.samples, np.float32)
        count = self.samples[self.across]
        depth = max(1, _CHUNK * count // array.size)
        for start in range(0, count, depth):
            monitor.update(start / count)
            numbers = slice(start, start + depth)
            array[self._index(numbers)] = self.part(numbers, monitor)
        return array

    def _index(self, numbers: slice) -> tuple[slice, ...]:
        """Target and lattice share their slices."""
        return tuple(numbers if axis == self.across else slice(None) for axis in range(3))

    def _learn(self, reference: np.ndarray, monitor: Monitor) -> DetailModel:
        low, high = self._target, reference
        if self.across is not None:  # a few slices stand for all
            chosen = [self._index(slice(n, n + 1)) for n in _representative(np.moveaxis(low, self.across, 0))]
            low, high = (np.concatenate([array[part] for part in chosen], axis=self.across) for array in (low, high))
        return learn(_fitted(self._level, low.shape, high.shape, monitor), low, high)


def _representative(slices: np.ndarray) -> np.ndarray:
    """Numbers of a few slices (along the first axis), spread over those that show anything."""
    energy = slices.std(axis=(1, 2))
    (shown,) = np.nonzero(energy > 0.3 * energy.max())
    if len(shown) == 0:
        return np.array([0])
    count = int(np.clip(2 * _CHUNK * len(slices) / slices.size, *_TRIAL_SLICES))
    return shown[np.unique(np.linspace(0, len(shown) - 1, min(count, len(shown))).round().astype(int))]


def _fitted(level: Level, low: tuple[int, ...], high: tuple[int, ...], monitor: Monitor) -> Level:
    """`level` for a stack of fewer slices, hearing `monitor`."""
    axes = tuple(replace(axis, samples=n) for axis, n in zip(level.axes, low, strict=True))
    return Level(axes, tuple(high), level.refined, monitor)


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
