"""One case at one scale: the degraded target, the references that methods are given, and their predictions."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..acquisition.degrade import degrade
from ..core.progress import Monitor
from ..image import kernels
from ..image.grid import Grid
from ..image.sampling import sample
from ..image.volume import Volume
from ..methods import get
from ..pipeline import PreparedRun, prepare
from ..registration.align import align
from .baselines import masked_sinc
from .method_under_test import MethodUnderTest
from .protocols.case import Case
from .protocols.protocol import axis_index
from .protocols.references import FULL, reference_variant
from .protocols.regions import fill_holes
from .protocols.scales import Scale, scale_name


@dataclass(frozen=True)
class AlignedReference:
    """A reference, registered if requested.

    Attributes:
        volume: what methods are given: None without one, degraded if the protocol says so.
        truth: the same, not degraded by the protocol.
        description: sentences on registration and degradation.
    """

    volume: Volume | None
    truth: Volume | None
    description: tuple[str, ...] = ()


@dataclass
class DegradedCase:
    """A case at one scale.

    Attributes:
        case, scale: which.
        reference_axis: the reference's slice axis, if the protocol degrades it.
        register: "off", "auto" or "on".
        low: the degraded target.
    """

    case: Case
    scale: Scale
    reference_axis: int | str | None = None
    register: str = "off"
    low: Volume = field(init=False)
    _references: dict[str, AlignedReference] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.low = self.case.low_resolution(self.scale)

    @property
    def name(self) -> str:
        """For progress: ×2."""
        return f"×{scale_name(self.scale)}"

    @property
    def effective_scale(self) -> tuple[float, float, float]:
        """The ratio of spacings, (k, j, i): the scale after rounding to whole samples."""
        ratios = np.array(self.low.spacing) / self.case.truth.spacing
        return tuple(float(ratio) for ratio in ratios.round(9))

    def reference(self, kind: str = FULL, monitor: Monitor | None = None) -> AlignedReference:
        """The reference of `kind` (see `references`), registered to the degraded target if asked."""
        if kind not in self._references:
            self._references[kind] = self._aligned(kind, monitor or Monitor())
        return self._references[kind]

    def _aligned(self, kind: str, monitor: Monitor) -> AlignedReference:
        given = self.case.reference
        moved = None if given is None else reference_variant(given, kind, self.case, self.scale)
        if moved is None:
            return AlignedReference(None, None)
        description = ("The reference was placed by the headers, not registered.",)
        if self.register != "off":
            aligned = align(self.low, moved, self.register, monitor.part(0.0, 1.0, f"{monitor.stage} register"))
            moved = moved if aligned.reference is None else aligned.reference
            how = f"by {aligned.displacement:.2f} mm" if aligned.registered else "not at all"
            description = (
                f"Registration to the degraded target ({self.register}) moved the reference {how}.",
                *aligned.warnings,
            )
        protocol = self.case.protocol
        if not protocol.reference_degraded:
            return AlignedReference(moved, moved, description)
        along = axis_index(moved.grid, self.reference_axis or (protocol.views or ("", "coronal"))[1])
        low = degrade(moved, protocol.degradation, self.scale, along)
        description = (*description, f"The reference is degraded too, along {'kji'[along]} of its own axes.")
        return AlignedReference(low, moved, description)

    def other_truth(self, monitor: Monitor | None = None) -> np.ndarray | None:
        """The other contrast's truth on the truth's grid, after registration; None without one."""
        truth = self.reference(FULL, monitor).truth
        return None if truth is None else sample(truth.array, truth.grid, self.case.truth.grid, [kernels.linear] * 3)

    def masked_sinc(self) -> np.ndarray:
        """The scored planes of `baselines.masked_sinc`."""
        case, low = self.case, self.low
        reference = self.reference().volume
        sinc = get("sinc").prepare(low, refine=case.degraded_axes).render(case.truth.grid)
        positive = sample(reference.array, reference.grid, case.truth.grid, [kernels.linear] * 3) > 0
        mask = np.moveaxis(fill_holes(np.moveaxis(positive, case.plane_axis, 0)), 0, case.plane_axis)
        return case.scored(masked_sinc(low, sinc.array, mask, case.truth.grid, case.protocol.degradation))


@dataclass(frozen=True)
class Prediction:
    """What a method made.

    Attributes:
        slices: the scored planes, (planes, rows, columns).
        notes: sentences of its report.
        run: renders other grids; None if each slice was prepared alone.
    """

    slices: np.ndarray
    notes: tuple[str, ...]
    run: PreparedRun | None


def predict(method: MethodUnderTest, degraded: DegradedCase, device: str, monitor: Monitor) -> Prediction:
    """The scored planes as `method` super-resolves them, through the public pipeline."""
    case = degraded.case
    if not case.alone:
        run = _prepare(method, degraded.low, degraded, case.truth.grid, device, monitor.part(0.0, 0.7))
        slices = render_scored_planes(run, case, monitor.part(0.7, 1.0))
        return Prediction(slices, (*run.report.warnings, *run.report.notes), run)
    slices, notes = [], []
    for number, single in enumerate(case.single_slices()):
        part = monitor.part(number / len(case.planes), (number + 1) / len(case.planes))
        low = single.low_resolution(degraded.scale)
        run = _prepare(method, low, degraded, single.truth.grid, device, part.part(0.0, 0.8))
        slices.append(render_scored_planes(run, single, part.part(0.8, 1.0)))
        notes += [*run.report.warnings, *run.report.notes]
    return Prediction(np.concatenate(slices), tuple(dict.fromkeys(notes)), None)


def render_scored_planes(run: PreparedRun, case: Case, monitor: Monitor) -> np.ndarray:
    """The scored planes of `case`, (planes, rows, columns), rendered by `run`."""
    slices = []
    grids = list(case.scored_grids())
    for number, grid in enumerate(grids):
        step = monitor.part(number / len(grids), (number + 1) / len(grids))
        slices.append(np.moveaxis(run.render(grid, **_callbacks(step)).array, case.plane_axis, 0))
    return np.concatenate(slices)


def _prepare(
    tested: MethodUnderTest, low: Volume, degraded: DegradedCase, grid: Grid, device: str, monitor: Monitor
) -> PreparedRun:
    method = get(tested.method)
    reference = None if method.reference == "none" else degraded.reference(tested.reference, monitor.silent).volume
    return prepare(
        low,
        reference,
        method.name,
        register="off",
        data_consistency=tested.enforces_consistency,
        device=device,
        grid=grid,
        **_callbacks(monitor),
        **tested.options,
    )


def _callbacks(monitor: Monitor) -> dict:
    """Callbacks that report the row's name as the stage instead of the inner stages."""
    return {"progress": lambda fraction, _: monitor.update(fraction), "cancel": monitor.cancelled}
