"""Scans of a BIDS dataset, found by the package ancpbids (the extra `batch`)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..core.errors import FileReadError, MethodUnavailableError
from .scans import Scan, parse_contrast

Session = tuple[str, str]  # "sub-01" and "ses-2", the latter "" where there are none
_EXTENSIONS = [".nii.gz", ".nii"]


def find_scans(folder: Path, contrasts: Sequence[str]) -> dict[Session, dict[str, list[Scan]]]:
    """Scans of every participant and session that has one of `contrasts`, by contrast; see `scans.parse_contrast`.

    Raises:
        MethodUnavailableError: ancpbids is not installed.
        FileReadError: no BIDS dataset.
        InputError: not the name of a contrast.
    """
    check_dataset(folder)
    wanted = [parse_contrast(contrast) for contrast in contrasts]
    dataset = _load(folder)
    found: dict[Session, dict[str, list[Scan]]] = {}
    for contrast, (entities, suffix) in zip(contrasts, wanted, strict=True):
        for artifact in dataset.query(suffix=suffix, extension=_EXTENSIONS, scope="raw"):
            scan = _scan(artifact, folder, contrast)
            participant = scan.relative.partition("/")[0]
            if participant.startswith("sub-") and entities.items() <= scan.entities.items():
                session = f"ses-{scan.entities['ses']}" if "ses" in scan.entities else ""
                found.setdefault((participant, session), {}).setdefault(contrast, []).append(scan)
    return dict(sorted(found.items()))


def check_dataset(folder: Path) -> None:
    """Raise `FileReadError` where `folder` has no readable dataset_description.json."""
    place = folder / "dataset_description.json"
    remedy = "Give the folder of a BIDS dataset, or --scans for another layout."
    if not folder.is_dir():
        raise FileReadError(f"Folder {folder} does not exist; expected a BIDS dataset. {remedy}")
    try:
        found = json.loads(place.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FileReadError(
            f"Folder {folder} holds no dataset_description.json, as BIDS datasets do. {remedy}"
        ) from None
    except (OSError, ValueError) as error:
        raise FileReadError(f"File {place} cannot be read ({error}); expected a JSON object. {remedy}") from error
    if not isinstance(found, dict):
        raise FileReadError(f"File {place} holds a {type(found).__name__}; expected a JSON object. {remedy}")


def dataset_name(folder: Path) -> str:
    """The dataset's name; that of its folder where it states none."""
    try:
        return str(json.loads((folder / "dataset_description.json").read_text(encoding="utf-8"))["Name"])
    except (OSError, ValueError, KeyError, TypeError):
        return folder.resolve().name


def _load(folder: Path) -> Any:
    try:
        import ancpbids
    except ImportError as error:
        raise MethodUnavailableError(
            f"BIDS datasets need the package ancpbids ({error}); install it: pip install 'multicontrastsr[batch]', or "
            "give --scans for a plain layout."
        ) from error
    options = ancpbids.DatasetOptions(ignore=["derivatives", "sourcedata", "code", ".*"], ignore_pickle_file=True)
    return ancpbids.load_dataset(str(folder), options)


def _scan(artifact: Any, folder: Path, contrast: str) -> Scan:
    relative = Path(artifact.get_relative_path()).as_posix()
    stem = relative.rpartition("/")[2].partition(".")[0]
    # as the name has them: the package turns the numbers of runs into integers
    entities = dict(part.partition("-")[::2] for part in stem.split("_")[:-1])
    return Scan(folder / relative, contrast, relative, entities, stem.rpartition("_")[2])
