"""The result of a run: the super-resolved volume with its provenance, and how it is saved."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from ..core.progress import CancelCallback, Monitor, ProgressCallback
from ..image.volume import Volume
from ..io import check_output, report_path
from ..io.files import check_ours, replaced_together
from ..io.formats import suffix_of, write_image
from .prepared_run import PreparedRun, timed
from .report import STATEMENT, Report, format_scale


@dataclass(frozen=True)
class Result:
    """What `super_resolve` returns.

    Attributes:
        volume: the super-resolved image, named after target, method and scale.
        report: provenance of `volume`.
        prepared: renders other grids without preparing again; this result stays as it is.
    """

    volume: Volume
    report: Report
    prepared: PreparedRun

    def companion(
        self, *, progress: ProgressCallback | None = None, cancel: CancelCallback | None = None
    ) -> Result | None:
        """The reference's contrast on the same grid, from the same run; None for methods that do not make it.

        It is aligned with the target, as the reference was for the run. Its data consistency is that of the method's
        own model of the reference; none is enforced afterwards.
        """
        image, report = self.prepared.image_for(self.volume.grid).companion, self.report
        if image is None:
            return None
        times = {"prepare": report.times["prepare"]}
        with timed(times, "render"):
            volume = image.render(self.volume.grid, Monitor(progress, cancel, stage="render"))
        resolution = {"target": report.resolution["reference"], "reference": report.resolution["target"]}
        note = f"Made along with {self.volume.name}, which was the target of the run."
        own = replace(
            report,
            target=report.reference or "",
            reference=report.target,
            times=times,
            consistency={"mode": "off"},
            resolution=resolution,
            notes=(*report.notes, note),
        )
        name = f"{report.reference or 'volume'} {report.made_by} {format_scale(report.scale)}"
        return replace(self, volume=volume.renamed(name), report=own)

    def save(
        self, path: str | Path, *, progress: ProgressCallback | None = None, cancel: CancelCallback | None = None
    ) -> tuple[Path, ...]:
        """Write the volume (.nii, .nii.gz, .nrrd, .mha) and its provenance beside it (.json). All or nothing.

        Raises:
            FileWriteError: the place cannot be written, or the extension is unknown.
            CancelledError: `cancel()` said so; no file is left.
        """
        with self.saving(path, progress=progress, cancel=cancel) as files:
            return files

    @contextmanager
    def saving(
        self, path: str | Path, *, progress: ProgressCallback | None = None, cancel: CancelCallback | None = None
    ) -> Iterator[tuple[Path, ...]]:
        """`save` whose files are there once the block ends without an error; else earlier ones are unchanged."""
        scans = (self.prepared.target, self.prepared.reference)
        place = check_output(path, tuple(scan.metadata.get("source") for scan in scans if scan is not None))
        json_place = report_path(place)
        report = self.report.as_dict()
        check_report(place)
        with replaced_together(place, json_place) as (partial, partial_report):
            write_image(self.volume, partial, suffix_of(place), Monitor(progress, cancel, stage="save"))
            partial_report.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
            yield place, json_place


def check_report(place: Path) -> None:
    """Raise `FileWriteError` where the report of a volume at `place` would replace a file that is no report of ours."""
    check_ours(report_path(place), "statement", STATEMENT)
