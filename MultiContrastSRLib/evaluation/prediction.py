"""One case at one scale: the degraded target, the references that rows are given, and what a method makes of them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..acquisition.model import degrade
from ..core.progress import Monitor
from ..image import kernels
from ..image.grid import Grid
from ..image.sampling import sample
from ..image.volume import Volume
from ..methods import get
from ..pipeline import PreparedRun, prepare
from ..registration.align import align
from .baselines import mask_trick
from .method_under_test import Entry
from .protocols.case import Case
from .protocols.protocol import axis_index
from .protocols.references import FULL, altered
from .protocols.regions import filled
from .protocols.scales import Scale, scale_name


@dataclass(frozen=True)
class Placed:
    """A reference at its place.

    Attributes:
        volume: what methods are given: None without one, degraded where the protocol says so.
        true: the same, not degraded by the protocol.
        said: how it was placed.
    """

    volume: Volume | None
    true: Volume | None
    said: tuple[str, ...] = ()


@dataclass
class Situation:
    """A case at one scale.

    Attributes:
        case, factor: which.
        reference_axis: the reference's slice axis, where the protocol degrades it.
        register: "off", "auto" or "on".
        low: the degraded target.
    """

    case: Case
    factor: Scale
    reference_axis: int | str | None = None
    register: str = "off"
    low: Volume = field(init=False)
    _placed: dict[str, Placed] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.low = self.case.low(self.factor)

    @property
    def name(self) -> str:
        """For progress: ×2."""
        return f"×{scale_name(self.factor)}"

    def reference(self, kind: str = FULL, monitor: Monitor | None = None) -> Placed:
        """The reference of `kind` (see `references`), registered to the degraded target where asked."""
        if kind not in self._placed:
            self._placed[kind] = self._place(kind, monitor or Monitor())
        return self._placed[kind]

    def _place(self, kind: str, monitor: Monitor) -> Placed:
        given = self.case.reference
        moved = None if given is None else altered(given, kind, self.case, self.factor)
        if moved is None:
            return Placed(None, None)
        said = ("The reference was placed by the headers, not registered.",)
        if self.register != "off":
            aligned = align(self.low, moved, self.register, monitor.part(0.0, 1.0, f"{monitor.stage} register"))
            moved = moved if aligned.reference is None else aligned.reference
            how = f"by {aligned.displacement:.2f} mm" if aligned.registered else "not at all"
            said = (
                f"Registration to the degraded target ({self.register}) moved the reference {how}.",
                *aligned.warnings,
            )
        protocol = self.case.protocol
        if not protocol.reference_degraded:
            return Placed(moved, moved, said)
        along = axis_index(moved.grid, self.reference_axis or (protocol.views or ("", "coronal"))[1])
        low = degrade(moved, protocol.degradation, self.factor, along)
        return Placed(low, moved, (*said, f"The reference is degraded too, along {'kji'[along]} of its own axes."))

    def other(self, monitor: Monitor | None = None) -> np.ndarray | None:
        """The other contrast's truth on the truth's grid, where registration put it; None without one."""
        true = self.reference(FULL, monitor).true
        return None if true is None else sample(true.array, true.grid, self.case.truth.grid, [kernels.linear] * 3)

    def mask_trick(self) -> np.ndarray:
        """The scored slices of `baselines.mask_trick`."""
        case, low = self.case, self.low
        reference = self.reference().volume
        sinc = get("sinc").prepare(low, refine=case.degraded).render(case.truth.grid)
        known = sample(reference.array, reference.grid, case.truth.grid, [kernels.linear] * 3) > 0
        mask = np.moveaxis(filled(np.moveaxis(known, case.across, 0)), 0, case.across)
        return case.front(mask_trick(low, sinc.array, mask, case.truth.grid, case.protocol.degradation))


@dataclass(frozen=True)
class Prediction:
    """What a method made.

    Attributes:
        slices: the scored ones, (slices, rows, columns).
        notes: sentences of its report.
        run: renders other grids; None where each slice was prepared alone.
    """

    slices: np.ndarray
    notes: tuple[str, ...]
    run: PreparedRun | None


def predict(entry: Entry, situation: Situation, device: str, monitor: Monitor) -> Prediction:
    """The scored slices as `entry` sees them, through the public pipeline."""
    case = situation.case
    if not case.alone:
        run = _prepared(entry, situation.low, situation, case.truth.grid, device, monitor.part(0.0, 0.7))
        slices = rendered(run, case, monitor.part(0.7, 1.0))
        return Prediction(slices, (*run.report.warnings, *run.report.notes), run)
    slices, notes = [], []
    for number, single in enumerate(case.single()):
        part = monitor.part(number / len(case.planes), (number + 1) / len(case.planes))
        low = single.low(situation.factor)
        run = _prepared(entry, low, situation, single.truth.grid, device, part.part(0.0, 0.8))
        slices.append(rendered(run, single, part.part(0.8, 1.0)))
        notes += [*run.report.warnings, *run.report.notes]
    return Prediction(np.concatenate(slices), tuple(dict.fromkeys(notes)), None)


def rendered(run: PreparedRun, case: Case, monitor: Monitor) -> np.ndarray:
    """The scored slices of `case` as `run` shows them."""
    slices = []
    grids = list(case.runs())
    for number, grid in enumerate(grids):
        step = monitor.part(number / len(grids), (number + 1) / len(grids))
        slices.append(np.moveaxis(run.render(grid, **_named(step)).array, case.across, 0))
    return np.concatenate(slices)


def _prepared(
    entry: Entry, low: Volume, situation: Situation, grid: Grid, device: str, monitor: Monitor
) -> PreparedRun:
    method = get(entry.method)
    reference = None if method.reference == "none" else situation.reference(entry.reference, monitor.silent).volume
    return prepare(
        low,
        reference,
        method.name,
        register="off",
        data_consistency=entry.consistent,
        device=device,
        grid=grid,
        **_named(monitor),
        **entry.options,
    )


def _named(monitor: Monitor) -> dict:
    """Callbacks that report under the row's name rather than the inner stage's."""
    callbacks = monitor.callbacks
    return {**callbacks, "progress": lambda fraction, stage: callbacks["progress"](fraction, "")}
