"""A probe: are lesions that only the target has kept, and structures that only the reference has kept out?

Spherical lesions, bright and dark, of two sizes, are inserted into one contrast alone; real ones, if there is a mask,
are removed from one contrast alone. Each method runs with and without the change, through the public pipeline, and the
difference of its two results is measured, which nothing but the lesion causes. Contrast is core minus surroundings.

- **kept**: contrast of target-only lesions in the result, relative to their contrast in the sinc; wanted ≥ 95 %.
- **leaked**: contrast of reference-only lesions in the result, relative to theirs in the reference, each in units of
  its own contrast's 99.9th percentile; wanted ≤ 5 %. Data consistency preserves the mean of what is larger than a
  pixel, so the root of mean squares around the lesion is given too: it includes edges.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ...core.progress import CancelCallback, Monitor, ProgressCallback
from ...image.volume import Volume
from ...methods import get
from ..baselines import BASELINE
from ..method_under_test import MethodUnderTest, methods_under_test
from ..prediction import DegradedCase, predict
from ..protocols.case import Case, on_scored_planes
from ..protocols.protocol import Protocol, adjusted_protocol
from ..protocols.references import FULL
from ..protocols.scales import Scale, checked_scales
from ..run import load, load_case
from .inserted_lesions import (
    LesionSite,
    choose_sites,
    contrast,
    insert_lesions,
    mask_regions,
    peak_intensity,
    remove_lesions,
    site_regions,
)
from .lesion_findings import LesionFindings, LesionScores


def probe_lesions(
    target: Volume | str | Path,
    reference: Volume | str | Path | None,
    *,
    methods: Sequence[str | MethodUnderTest] | None = None,
    protocol: str | Protocol = "p3",
    scales: Sequence[Scale] | None = None,
    degradation: str | None = None,
    axis: int | str | None = None,
    reference_axis: int | str | None = None,
    mask: Volume | str | Path | None = None,
    lesions: Volume | str | Path | None = None,
    slices: int | Sequence[int] | None = None,
    alone: bool = False,
    register: str = "off",
    device: str = "auto",
    subject: str = "",
    progress: ProgressCallback | None = None,
    cancel: CancelCallback | None = None,
) -> LesionFindings:
    """Probe methods on one pair; arguments as `run.evaluate`'s.

    Args:
        lesions: mask of real lesions, visible in both contrasts: adds how much of those is kept and leaked.
        register: done once, at the first scale.

    Raises:
        InputError: as `run.evaluate`.
    """
    whole = Monitor(progress, cancel, stage="load")
    whole.update(0.0)
    chosen = adjusted_protocol(protocol, degradation, slices)
    factors = checked_scales(chosen.scales if scales is None else scales)
    tested = methods_under_test(methods)
    regions = load(mask, labels=True), load(lesions, labels=True)
    case = load_case(target, reference, chosen, axis, *regions, slices, alone)
    first = DegradedCase(case, factors[0], reference_axis, register)
    case = replace(case, reference=first.reference(FULL, whole.silent).truth)
    probe = _LesionProbe(case, regions[1], first.other_truth(whole.silent), reference_axis, device)
    scores = []
    for number, scale in enumerate(factors):
        part = whole.part(number / len(factors), (number + 1) / len(factors))
        scores += probe.run(tested, scale, part)
    whole.update(1.0)
    names = (case.truth.name or "target", case.reference.name or "reference" if case.reference else "")
    warnings = tuple(f"{subject} {' ← '.join(filter(None, names))}: {text}".strip() for text in case.warnings)
    return LesionFindings(tuple(replace(score, subject=subject, pair=names) for score in scores), chosen, warnings)


class _LesionProbe:
    """One case and its variants with lesions inserted or removed, by name.

    "base" is the case as given; "target" and "reference" have lesions inserted in that contrast. "real none" has the
    real lesions removed from both contrasts, "real target" and "real reference" from all but that contrast.
    """

    def __init__(
        self,
        case: Case,
        lesions: Volume | None,
        other: np.ndarray | None,
        reference_axis: int | str | None,
        device: str,
    ) -> None:
        self.case, self.reference_axis, self.device = case, reference_axis, device
        truth, reference = case.truth, case.reference
        self.sites = choose_sites(case, other)
        self.intensities = [
            peak_intensity(volume) if volume is not None else float("nan") for volume in (truth, reference)
        ]
        changed = insert_lesions(truth, self.sites, self.intensities[0])
        self.cases = {"base": case, "target": replace(case, truth=changed)}
        if reference is not None:
            changed = insert_lesions(reference, self.sites, self.intensities[1])
            self.cases["reference"] = replace(case, reference=changed)
            self.in_reference = on_scored_planes(case, changed) - on_scored_planes(case, reference)
        self.real = case.lesions if lesions is not None and case.lesions is not None and case.lesions.any() else None
        if self.real is not None:
            without = [None if volume is None else remove_lesions(volume, lesions) for volume in (truth, reference)]
            self.cases["real none"] = replace(case, truth=without[0], reference=without[1])
            self.cases["real target"] = replace(case, reference=without[1])
            if reference is not None:
                self.cases["real reference"] = replace(case, truth=without[0])
                self.real_in_reference = on_scored_planes(case, reference) - on_scored_planes(case, without[1])

    def run(self, methods: Sequence[MethodUnderTest], scale: Scale, monitor: Monitor) -> list[LesionScores]:
        """Scores of every method at one scale; the sinc, to which the others are relative, comes first."""
        methods = sorted(methods, key=lambda method: method.row != BASELINE)
        degraded = {name: DegradedCase(case, scale, self.reference_axis) for name, case in self.cases.items()}
        in_sinc: dict[str, np.ndarray] = {}
        scores = []
        for index, method in enumerate(methods):
            guided = get(method.method).reference != "none"
            names = [name for name in degraded if guided or not name.endswith("reference")]
            images = {}
            for number, name in enumerate(names):
                span = [(index + (number + n) / len(names)) / len(methods) for n in (0, 1)]
                part = monitor.part(*span, f"{degraded[name].name} {method.row}")
                images[name] = predict(method, degraded[name], self.device, part).slices
            changes = {
                name: images[name] - images["real none" if name.startswith("real") else "base"]
                for name in images
                if name not in ("base", "real none")
            }
            if method.row == BASELINE:
                in_sinc = changes
            scores.append(self._scores(method.row, scale, changes, in_sinc))
        return scores

    def _scores(
        self, row: str, scale: Scale, changes: dict[str, np.ndarray], in_sinc: dict[str, np.ndarray]
    ) -> LesionScores:
        sites = self.sites
        leaked = leaked_rms = np.full(len(sites), np.nan)
        unit = self.intensities[0] / self.intensities[1]  # from the reference's intensities to the target's
        if "reference" in changes:
            leaked = np.abs(self._contrasts(changes["reference"]) / (self._contrasts(self.in_reference) * unit))
            leaked_rms = self._rms(changes["reference"]) / (self._rms(self.in_reference) * unit)
        real_kept = real_leaked = float("nan")
        if self.real is not None:
            regions = mask_regions(self.real)
            real_kept = contrast(changes["real target"], *regions) / contrast(in_sinc["real target"], *regions)
            if "real reference" in changes:
                expected = contrast(self.real_in_reference, *regions) * unit
                real_leaked = abs(contrast(changes["real reference"], *regions) / expected)
        return LesionScores(
            row,
            scale,
            np.array([site.radius for site in sites]),
            np.array([site.sign for site in sites]),
            self._contrasts(changes["target"]),
            self._contrasts(in_sinc["target"]),
            leaked,
            leaked_rms,
            real_kept,
            real_leaked,
        )

    def _contrasts(self, images: np.ndarray) -> np.ndarray:
        """Contrast at each site."""
        return np.array([contrast(images[site.plane], *site_regions(self.case, site)) for site in self.sites])

    def _rms(self, images: np.ndarray) -> np.ndarray:
        """Root of mean squares in and around each site."""
        return np.array([self._rms_at(images, site) for site in self.sites])

    def _rms_at(self, images: np.ndarray, site: LesionSite) -> float:
        core, ring = site_regions(self.case, site)
        return float(np.sqrt(np.mean(images[site.plane][core | ring] ** 2, dtype=np.float64)))
