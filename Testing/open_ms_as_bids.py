"""Lays the raw patients of open_ms_data (MULTICONTRASTSR_DATA) out as a BIDS dataset of two sessions, by links.

python Testing/open_ms_as_bids.py /tmp/open-ms-bids
multicontrastsr batch /tmp/open-ms-bids /tmp/open-ms-out --targets T2w FLAIR --references T1w --spacing 1
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

SUFFIXES = {"T1W": "T1w", "T2W": "T2w", "FLAIR": "FLAIR"}


def lay_out(source: Path, target: Path) -> list[Path]:
    """Link the scans below `source`, study1_T1W.nii.gz and so on in a folder a patient; the links."""
    target.mkdir(parents=True, exist_ok=True)
    description = {"Name": "open_ms_data, longitudinal", "BIDSVersion": "1.10.0", "DatasetType": "raw"}
    (target / "dataset_description.json").write_text(json.dumps(description))
    links = []
    for scan in sorted(source.glob("patient*/study[12]_*.nii.gz")):
        study, _, contrast = scan.name.partition(".")[0].partition("_")
        label, session = f"sub-{scan.parent.name}", f"ses-{study[-1]}"
        link = target / label / session / "anat" / f"{label}_{session}_{SUFFIXES[contrast]}.nii.gz"
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(scan.resolve())
        links.append(link)
    return links


if __name__ == "__main__":
    folder = Path(os.environ["MULTICONTRASTSR_DATA"]) / "open_ms_data" / "longitudinal" / "raw"
    print(len(lay_out(folder, Path(sys.argv[1]))), "scans")
