"""A probe: do lesions that only the target has survive, and do structures that only the reference has stay out?

Round lesions, bright and dark, of two sizes, are put into one contrast alone; real ones, where a mask exists, are taken
out of one contrast alone. Each method runs with and without the change, through the public pipeline, and what is looked
at is the difference of its two results, so that nothing but the lesion counts. Contrast is core minus surroundings.

- **kept**: contrast of target-only lesions in the result, relative to what the sinc shows of them; wanted ≥ 95 %.
- **leaked**: contrast of reference-only lesions in the result, relative to theirs in the reference, each in units of
  its own contrast's brightest tissue; wanted ≤ 5 %. Data consistency holds the mean of what is larger than a
  pixel, so the root of mean squares around the lesion is given too: it sees edges that the mean does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ...core.progress import CancelCallback, Monitor, ProgressCallback
from ...image.volume import Volume
from ...methods import get
from ..method_under_test import Entry, checked_entries
from ..prediction import Situation, predict
from ..protocols.case import Case, front_of
from ..protocols.protocol import Protocol
from ..protocols.references import FULL
from ..protocols.scales import Scale, checked_scales
from ..results import BASELINE
from ..run import load, load_case, settled
from .inserted_lesions import Site, choose_sites, contrast, level_of, mask_regions, planted, removed, site_regions
from .lesion_findings import LesionFindings, LesionScores


def probe_lesions(
    target: Volume | str | Path,
    reference: Volume | str | Path | None,
    *,
    methods: Sequence[str | Entry] | None = None,
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
        lesions: mask of real lesions, seen in both contrasts: adds what is kept and leaked of those.
        register: done once, at the first scale.

    Raises:
        InputError: as `run.evaluate`.
    """
    whole = Monitor(progress, cancel, stage="load")
    whole.update(0.0)
    chosen = settled(protocol, degradation, slices)
    factors = checked_scales(chosen.scales if scales is None else scales)
    entries = checked_entries(methods)
    regions = load(mask, labels=True), load(lesions, labels=True)
    case = load_case(target, reference, chosen, axis, *regions, slices, alone)
    first = Situation(case, factors[0], reference_axis, register)
    case = replace(case, reference=first.reference(FULL, whole.silent).true)
    probe = _Probe(case, regions[1], first.other(whole.silent), reference_axis, device)
    scores = []
    for number, factor in enumerate(factors):
        part = whole.part(number / len(factors), (number + 1) / len(factors))
        scores += probe.run(entries, factor, part)
    whole.update(1.0)
    names = (subject, case.truth.name or "target", case.reference.name or "reference" if case.reference else "")
    return LesionFindings(tuple(replace(found, subject=subject, pair=names[1:]) for found in scores), chosen)


class _Probe:
    """The changed scans of one case."""

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
        self.levels = [level_of(volume) if volume is not None else float("nan") for volume in (truth, reference)]
        self.cases = {"base": case, "target": replace(case, truth=planted(truth, self.sites, self.levels[0]))}
        if reference is not None:
            changed = planted(reference, self.sites, self.levels[1])
            self.cases["reference"] = replace(case, reference=changed)
            self.shown = front_of(case, changed) - front_of(case, reference)
        self.real = case.lesions if lesions is not None and case.lesions is not None and case.lesions.any() else None
        if self.real is not None:
            without = [None if volume is None else removed(volume, lesions) for volume in (truth, reference)]
            self.cases["real none"] = replace(case, truth=without[0], reference=without[1])
            self.cases["real target"] = replace(case, reference=without[1])
            if reference is not None:
                self.cases["real reference"] = replace(case, truth=without[0])
                self.real_shown = front_of(case, reference) - front_of(case, without[1])

    def run(self, entries: Sequence[Entry], factor: Scale, monitor: Monitor) -> list[LesionScores]:
        """Scores of every row at one scale; sinc, which the others are relative to, is worked out first."""
        entries = sorted(entries, key=lambda entry: entry.row != BASELINE)
        situations = {name: Situation(case, factor, self.reference_axis) for name, case in self.cases.items()}
        seen: dict[str, np.ndarray] = {}
        found = []
        for index, entry in enumerate(entries):
            guided = get(entry.method).reference != "none"
            names = [name for name in situations if guided or not name.endswith("reference")]
            images = {}
            for number, name in enumerate(names):
                span = [(index + (number + n) / len(names)) / len(entries) for n in (0, 1)]
                part = monitor.part(*span, f"{situations[name].name} {entry.row}")
                images[name] = predict(entry, situations[name], self.device, part).slices
            changes = {
                name: images[name] - images["real none" if name.startswith("real") else "base"]
                for name in images
                if name not in ("base", "real none")
            }
            if entry.row == BASELINE:
                seen = changes
            found.append(self._scores(entry.row, factor, changes, seen))
        return found

    def _scores(
        self, row: str, factor: Scale, changes: dict[str, np.ndarray], seen: dict[str, np.ndarray]
    ) -> LesionScores:
        sites = self.sites
        nothing = np.full(len(sites), np.nan)
        kept = np.array([self._at(changes["target"], site) for site in sites])
        sinc = np.array([self._at(seen["target"], site) for site in sites])
        leaked, leaked_rms = nothing, nothing
        ratio = self.levels[0] / self.levels[1]
        if "reference" in changes:
            theirs = np.array([self._at(self.shown, site) for site in sites]) * ratio
            leaked = np.abs([self._at(changes["reference"], site) for site in sites]) / np.abs(theirs)
            rms = [[self._rms(image, site) for site in sites] for image in (changes["reference"], self.shown)]
            leaked_rms = np.array(rms[0]) / (np.array(rms[1]) * ratio)
        real_kept = real_leaked = float("nan")
        if self.real is not None:
            regions = mask_regions(self.real)
            real_kept = contrast(changes["real target"], *regions) / contrast(seen["real target"], *regions)
            if "real reference" in changes:
                theirs = contrast(self.real_shown, *regions) * ratio
                real_leaked = abs(contrast(changes["real reference"], *regions) / theirs)
        return LesionScores(
            row,
            factor,
            np.array([site.radius for site in sites]),
            np.array([site.sign for site in sites]),
            kept,
            sinc,
            leaked,
            leaked_rms,
            real_kept,
            real_leaked,
        )

    def _at(self, images: np.ndarray, site: Site) -> float:
        return contrast(images[site.plane], *site_regions(self.case, site))

    def _rms(self, images: np.ndarray, site: Site) -> float:
        core, ring = site_regions(self.case, site)
        return float(np.sqrt(np.mean(images[site.plane][core | ring] ** 2, dtype=np.float64)))
