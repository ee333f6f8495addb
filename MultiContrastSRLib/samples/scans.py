"""Public sample scans: from a folder of the user, else downloaded once, else replaced by the phantom.

The table `scans.json` names public files by address and SHA-256; the Slicer module registers its "slicer" part.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ..core.errors import FileReadError, MultiContrastSRError, UnknownNameError
from ..image.grid import Grid
from ..image.volume import Volume
from ..io import load_volume
from .phantom import default_grid, head_phantom, lesion_mask

DATA_FOLDER = "MULTICONTRASTSR_DATA"  # environment variable: the user's folder of public data
PHANTOM = "phantom"
TIMEOUT_S = 20


class SampleUnavailableError(MultiContrastSRError):
    """A sample scan that is not on this machine and cannot be downloaded now."""

    exit_code = 3


@dataclass(frozen=True)
class Scan:
    """One public file.

    Attributes:
        name, label: identifier, and text for display.
        patient, contrast: the patient, and the contrast ("T1", "T2", "FLAIR", "T1POST", "lesions").
        file: its name in the cache. path: its place in the user's data folder.
        url, sha256, bytes: address, checksum and size of the download.
        licence, citation: terms of use, and the publication to cite.
    """

    name: str
    label: str
    patient: str
    contrast: str
    file: str
    path: str
    url: str
    sha256: str
    bytes: int
    licence: str
    citation: str


@dataclass(frozen=True)
class Samples:
    """Contrasts of one patient, or of the phantom.

    Attributes:
        patient: as in the table, or "phantom".
        volumes: contrast → volume, each named after its contrast.
    """

    patient: str
    volumes: Mapping[str, Volume]

    @property
    def real(self) -> bool:
        """Whether these are scans of a person."""
        return self.patient != PHANTOM


@lru_cache(maxsize=1)
def scans() -> tuple[Scan, ...]:
    """The table.

    >>> [scan.name for scan in scans() if scan.patient == "patient12"]
    ['MSPatient12-T1W', 'MSPatient12-T2W', 'MSPatient12-FLAIR']
    """
    table = json.loads(Path(__file__).with_name("scans.json").read_text(encoding="utf-8"))
    return tuple(Scan(**entry) for part in table.values() for entry in part)


def sample_volumes(
    patient: str = "patient12",
    contrasts: Sequence[str] = ("T2", "T1"),
    *,
    table: Sequence[Scan] | None = None,
    cache: str | Path | None = None,
    log: Callable[[str], None] = print,
) -> Samples:
    """Contrasts of `patient`; the built-in phantom's, with a message, where one of them is not available.

    Args:
        table: default `scans()`.
        cache: folder for downloads; default the user's cache folder.
        log: is called with a message about each download and replacement.

    Raises:
        UnknownNameError: no such patient or contrast.
        FileReadError: a download that is not what the table says; nothing of it is kept.
    """
    listed = {(scan.patient, scan.contrast): scan for scan in (scans() if table is None else table)}
    unknown = [contrast for contrast in contrasts if (patient, contrast) not in listed]
    if unknown:
        known = ", ".join(f"{p} {c}" for p, c in listed)
        raise UnknownNameError(f"Unknown sample {patient} {unknown[0]}; expected one of {known}.")
    chosen = [listed[patient, contrast] for contrast in contrasts]
    try:
        paths = [find_scan(scan, cache=cache, log=log) for scan in chosen]
    except SampleUnavailableError as error:
        log(f"{error} The built-in phantom is used instead.")
        return phantom_volumes(contrasts)
    return Samples(
        patient,
        {
            scan.contrast: load_volume(p, labels=True).renamed(scan.contrast)
            for scan, p in zip(chosen, paths, strict=True)
        },
    )


def phantom_volumes(contrasts: Sequence[str] = ("T2", "T1"), grid: Grid | None = None) -> Samples:
    """The phantom as `Samples`, with noise and bias field; "T1POST" is its T1, "lesions" its lesion mask."""
    grid = default_grid() if grid is None else grid
    volumes = {}
    for number, contrast in enumerate(contrasts):
        if contrast == "lesions":
            volumes[contrast] = lesion_mask(grid)
        else:
            volume = head_phantom(contrast.removesuffix("POST"), grid, noise=2.0, bias=0.1, seed=number)
            volumes[contrast] = volume.renamed(contrast)
    return Samples(PHANTOM, volumes)


def find_scan(scan: Scan, *, cache: str | Path | None = None, log: Callable[[str], None] = print) -> Path:
    """The file of `scan`: in the folder that MULTICONTRASTSR_DATA names, in the cache, or downloaded into it.

    Raises:
        SampleUnavailableError: none of these.
        FileReadError: the download has another SHA-256; nothing of it is kept.
    """
    folder = os.environ.get(DATA_FOLDER)
    if folder:
        # the folder may hold the repository itself, or a folder of repositories
        for place in (Path(folder) / scan.path, Path(folder) / scan.path.partition("/")[2]):
            if place.is_file():
                if _checksum(place) == scan.sha256:
                    return place
                log(f"{place} has another SHA-256 than the sample scan of that name; it is neither used nor changed.")
    return _from_cache(scan, cache, log)


def _from_cache(scan: Scan, cache: str | Path | None, log: Callable[[str], None]) -> Path:
    try:
        import pooch
    except ImportError:
        raise SampleUnavailableError(
            f"Sample {scan.name} needs pooch for its download, which is not installed; pip install pooch, or point "
            f"{DATA_FOLDER} at the data."
        ) from None
    cache = Path(pooch.os_cache("MultiContrastSR") if cache is None else cache)
    place = cache / scan.file
    if place.is_file() and _checksum(place) == scan.sha256:
        return place
    log(f"Downloading {scan.label} ({scan.bytes / 1e6:.1f} MB, {scan.licence}) from {scan.url}")
    quiet, level = pooch.get_logger(), pooch.get_logger().level
    quiet.setLevel("ERROR")
    try:
        return Path(
            pooch.retrieve(
                scan.url,
                known_hash=f"sha256:{scan.sha256}",
                fname=scan.file,
                path=cache,
                downloader=pooch.HTTPDownloader(timeout=TIMEOUT_S),
            )
        )
    except ValueError as error:  # pooch raises it for a wrong hash and deletes the download
        if "hash" not in str(error):
            raise
        raise FileReadError(
            f"Sample {scan.name} from {scan.url} is not what was expected (SHA-256 {scan.sha256}); nothing was kept. "
            "It was changed there or on the way. Try another network, or report it."
        ) from error
    except OSError as error:  # base class of requests' errors
        raise SampleUnavailableError(
            f"Sample {scan.name} is neither in {DATA_FOLDER} nor in {cache}, and {scan.url} cannot be reached "
            f"({_reason(error)})."
        ) from error
    finally:
        quiet.setLevel(level)


def _reason(error: OSError) -> str:
    """The innermost cause, in a few words."""
    response = getattr(error, "response", None)
    if response is not None:
        return f"HTTP {response.status_code}"
    inner: BaseException = error
    while inner.args and isinstance(inner.args[0], BaseException):
        inner = inner.args[0]
    return type(getattr(inner, "reason", inner)).__name__


def _checksum(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while piece := stream.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()
