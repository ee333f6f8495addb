"""Two contrasts in orthogonal thick views, each super-resolved with the other's help (McGinnis et al. 2023)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..core.errors import InputError
from ..core.progress import CancelCallback, Monitor, ProgressCallback
from ..image.similarity import mutual_information
from ..image.volume import Volume
from ..pipeline import PreparedRun
from .method_under_test import MethodUnderTest, methods_under_test
from .metrics.scoring import Truth
from .prediction import Prediction, render_scored_planes
from .protocols.protocol import Protocol, adjusted_protocol
from .protocols.scales import Scale, checked_scales
from .results import Evaluation
from .run import evaluate_case, load, load_case


def evaluate_bidirectional(
    first: Volume | str | Path,
    second: Volume | str | Path,
    *,
    methods: Sequence[str | MethodUnderTest] | None = None,
    protocol: str | Protocol = "p4",
    scales: Sequence[Scale] | None = None,
    degradation: str | None = None,
    axis: int | str | None = None,
    reference_axis: int | str | None = None,
    mask: Volume | str | Path | None = None,
    lesions: Volume | str | Path | None = None,
    slices: int | Sequence[int] | None = None,
    device: str = "auto",
    progress: ProgressCallback | None = None,
    cancel: CancelCallback | None = None,
) -> tuple[Evaluation, Evaluation]:
    """`first` by the degraded `second`, and `second` by the degraded `first`; arguments as `run.evaluate`'s.

    The two must be aligned already: they are not registered.

    "mi_error" of the two evaluations is the paper's ε of contrast 1 and 2 (a prediction against the other contrast's
    truth). "mi_error_both", the same number in both, is its ε̂: |MI(prediction 1, prediction 2) − MI(truth 1, truth 2)|
    on the scored planes of `first`. Rows that are no method have none.

    Args:
        axis, reference_axis: slice axes of `first` and of `second`; default the protocol's views.

    Raises:
        InputError: as `run.evaluate`, or a protocol that does not degrade both.
    """
    whole = Monitor(progress, cancel, stage="load")
    whole.update(0.0)
    chosen = adjusted_protocol(protocol, degradation, slices)
    if not chosen.reference_degraded:
        raise InputError(f"Protocol {chosen.name!r} does not degrade both contrasts; expected one that does, as 'p4'.")
    factors = checked_scales(chosen.scales if scales is None else scales)
    tested = methods_under_test(methods)
    volumes, regions = (load(first), load(second)), (load(mask, labels=True), load(lesions, labels=True))
    views = chosen.views or ("", "coronal")
    axes = (axis if axis is not None else views[0] or None, reference_axis if reference_axis is not None else views[1])
    cases = [load_case(volumes[n], volumes[1 - n], chosen, axes[n], *regions, slices, False) for n in (0, 1)]
    runs: dict[tuple[Scale, str], PreparedRun] = {}
    errors: dict[tuple[Scale, str], np.ndarray] = {}

    def keep_run(scale: Scale, row: str, made: Prediction, truth: Truth) -> dict[str, np.ndarray]:
        runs[scale, row] = made.run
        return {}

    def compare_predictions(scale: Scale, row: str, made: Prediction, truth: Truth) -> dict[str, np.ndarray]:
        partner = render_scored_planes(runs.pop((scale, row)), cases[0], whole.silent)
        predicted = mutual_information(made.slices, partner, truth.foreground)
        true = mutual_information(truth.image, truth.other, truth.foreground)
        errors[scale, row] = np.array([abs(predicted - true)])
        return {"mi_error_both": errors[scale, row]}

    settings = ("off", device, mask is not None)
    # the second contrast first, so that its runs can be rendered on the scored planes of the first
    of_second = evaluate_case(cases[1], tested, factors, axes[0], *settings, whole.part(0.0, 0.5), keep_run)
    of_first = evaluate_case(cases[0], tested, factors, axes[1], *settings, whole.part(0.5, 1.0), compare_predictions)
    for key, error in errors.items():
        of_second.scores[key]["mi_error_both"] = error
    sentence = "MI error, both predicted: |MI(both results) − MI(both truths)| in the foreground of the first contrast."
    of_first, of_second = (replace(one, description=(*one.description, sentence)) for one in (of_first, of_second))
    return of_first, of_second
