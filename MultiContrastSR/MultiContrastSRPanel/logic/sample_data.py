"""Registers the sample scans with Slicer's Sample Data module."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

from .library import MODULE_FOLDER, library_folder

CATEGORY = "MultiContrastSR"
TABLE = "samples/scans.json"  # in the library's folder; read without importing the library


def sample_table() -> list[dict[str, Any]]:
    """The sample scans: name, file, url, sha256 of each."""
    return json.loads((library_folder() / TABLE).read_text(encoding="utf-8"))["slicer"]


def register() -> None:
    """Add the scans of one patient (T1, T2, FLAIR), each checked by its SHA-256 after the download."""
    from SampleData import SampleDataLogic

    if hasattr(SampleDataLogic, "registerCustomSampleDataCategory"):  # Slicer 5.12 and newer
        SampleDataLogic.registerCustomSampleDataCategory(CATEGORY, title=_("Multi-contrast super-resolution"))
    icons = Path(MODULE_FOLDER) / "Resources" / "Icons"
    for sample in sample_table():
        SampleDataLogic.registerCustomSampleDataSource(
            category=CATEGORY,
            sampleName=sample["name"],
            thumbnailFileName=str(icons / f"{sample['name']}.png"),
            uris=sample["url"],
            fileNames=sample["file"],
            checksums=f"SHA256:{sample['sha256']}",
            nodeNames=sample["name"],
        )
