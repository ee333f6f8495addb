"""Saves a result as a derived DICOM series, with the patient and the study of the scan that it was made of."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import slicer

from . import dependencies
from .library import library

_UNSAFE = re.compile(r"[^\w. -]+")  # characters that some disks do not have in names


@dataclasses.dataclass(frozen=True)
class DicomSeries:
    """All that is written, independent of later changes of the scene.

    Attributes:
        volume: the library's `Volume`, in world coordinates.
        settings: keywords of `io.dicom_export.save_series`.
    """

    volume: Any
    settings: dict[str, Any]

    @classmethod
    def of(cls, node: Any, keep_patient: bool = True) -> DicomSeries:
        """From a node that this module made. Main thread only.

        Raises:
            MultiContrastSRError: another node, or pydicom is missing and was not installed.
        """
        mrml = library("mrml")
        if not mrml.is_result(node):
            name = "nothing" if node is None else repr(node.GetName())
            raise library("core.errors").InputError(
                f"{name} cannot be saved as a derived series; expected a volume that this module made. Press Apply "
                "first."
            )
        if not slicer.mrmlScene.IsNodePresent(node):
            raise library("core.errors").InputError(
                f"{node.GetName()!r} has left the scene, where the scans are that the series refers to; expected it "
                "there. Press Apply again."
            )
        dependencies.ensure(("pydicom",))
        target, reference = (node.GetNodeReference(role) for role in (mrml.TARGET, mrml.REFERENCE))
        report = report_of(node)
        used = report is None or report.reference_used
        settings = {
            "sources": library("io.dicom_derived").Sources(_files_of(target), _files_of(reference) if used else ()),
            "derivation": "" if report is None else report.summary(),
            "keep_patient": keep_patient,
            "same_space": np.allclose(mrml.transform_to_world(node), np.eye(4)),
        }
        display = node.GetDisplayNode()
        if display is not None:
            settings["window"] = display.GetLevel(), display.GetWindow()
        return cls(mrml.volume_from_node(node), settings)

    def write(
        self,
        folder: Path,
        progress: Callable[[float, str], None] | None = None,
        cancel: Callable[[], bool] | None = None,
    ) -> tuple[Path, ...]:
        """Write it; on any thread. See `io.dicom_export.save_series`."""
        save = library("io.dicom_export").save_series
        return save(self.volume, folder, progress=progress, cancel=cancel, **self.settings)


def report_of(node: Any) -> Any:
    """The library's `Report` of a result; None where the node carries none that can be read."""
    mrml, kind = library("mrml"), library("pipeline.report").Report
    names = {field.name for field in dataclasses.fields(kind)}
    try:
        found = json.loads(node.GetAttribute(mrml.PREFIX + "Report") or "")
        return kind(**{name: value for name, value in found.items() if name in names})
    except (ValueError, TypeError, AttributeError):
        return None


def new_folder(parent: str | Path, name: str) -> Path:
    """A folder in `parent` that does not exist yet, named after a volume."""
    base = _UNSAFE.sub("_", name).strip(" .")[:80] or "series"
    tried, number = Path(parent) / base, 1
    while tried.exists():
        number += 1
        tried = Path(parent) / f"{base} {number}"
    return tried


def _files_of(node: Any) -> list[Path]:
    """The DICOM files of a scan, as far as Slicer's database knows them."""
    database = getattr(slicer, "dicomDatabase", None)
    if node is None or database is None:
        return []
    instances = (node.GetAttribute("DICOM.instanceUIDs") or "").split()
    files = [database.fileForInstance(instance) for instance in instances]
    return [Path(file) for file in files if file]
