"""Values of DICOM attributes as text: numbers, character sets, and what they say about the acquisition."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path

from ..core.errors import FileReadError

# Defined Terms of Specific Character Set (PS3.3 C.12.1.1.2) by Python's names; others are read as UTF-8 or Latin-1
_CHARACTER_SETS = {
    "ISO_IR 100": "latin-1",
    "ISO_IR 101": "iso8859-2",
    "ISO_IR 109": "iso8859-3",
    "ISO_IR 110": "iso8859-4",
    "ISO_IR 144": "iso8859-5",
    "ISO_IR 127": "iso8859-6",
    "ISO_IR 126": "iso8859-7",
    "ISO_IR 138": "iso8859-8",
    "ISO_IR 148": "iso8859-9",
    "ISO_IR 203": "iso8859-15",
    "ISO_IR 166": "tis-620",
    "ISO_IR 13": "shift_jis",
    "ISO 2022 IR 13": "iso2022_jp",
    "ISO 2022 IR 87": "iso2022_jp",
    "ISO 2022 IR 149": "euc_kr",
    "ISO 2022 IR 58": "gb2312",
    "ISO_IR 192": "utf-8",
    "GB18030": "gb18030",
    "GBK": "gbk",
}


def numbers(text: str) -> tuple[float, ...]:
    r"""The numbers of a multi-valued attribute, written with decimal points or commas; () where one is malformed.

    >>> numbers("0.5\\0,75"), numbers("3 mm"), numbers("nan")
    ((0.5, 0.75), (), ())
    """
    try:
        values = tuple(float(part.replace(",", ".")) for part in text.replace("\0", " ").split("\\") if part.strip())
    except ValueError:
        return ()
    return values if all(map(math.isfinite, values)) else ()


def acquisition_metadata(read: Callable[[str], object]) -> dict[str, object]:
    """Entries of `Volume.metadata` that describe the acquisition; malformed values are left out.

    Args:
        read: the text of an attribute by its tag, "0018,0050" for example; empty or None where it is absent.
    """
    metadata: dict[str, object] = {}
    for tag, key in (("0018,0050", "slice_thickness"), ("0018,0088", "spacing_between_slices")):
        if (values := numbers(str(read(tag) or ""))) and values[0] > 0:
            metadata[key] = values[0]
    matrix = numbers(str(read("0018,1310") or ""))
    if len(matrix) == 4 and all(n >= 0 and n == int(n) for n in matrix) and any(matrix):
        metadata["acquisition_matrix"] = tuple(int(n) for n in matrix)
    modality = str(read("0008,0060") or "").strip().upper()
    if modality not in ("", "MR"):
        metadata["modality"] = modality
    return metadata


def thickness_of(metadata: Mapping[str, object]) -> float:
    """The slice thickness in mm of `acquisition_metadata`; 1 where it is not stated."""
    thickness = metadata.get("slice_thickness")
    return thickness if isinstance(thickness, float) else 1.0


def patient_metadata(read: Callable[[str], object]) -> dict[str, object]:
    """Entries of `Volume.metadata` that identify the patient, to compare scans with each other; never written to files.

    Args:
        read: as for `acquisition_metadata`.
    """
    texts = {"patient_name": read("0010,0010"), "patient_id": read("0010,0020")}
    return {key: str(text).strip() for key, text in texts.items() if text and str(text).strip()}


def decoded(text: str, character_set: str) -> str:
    """`text`, whose bytes that are not UTF-8 are surrogates, read by the first fitting set of `character_set`."""
    raw = text.encode("utf-8", "surrogateescape")
    for term in map(str.strip, character_set.split("\\")):
        encoding = _CHARACTER_SETS.get(term) or _CHARACTER_SETS.get(term.replace("ISO 2022 IR", "ISO_IR"))
        try:
            return raw.decode(encoding or "utf-8")
        except UnicodeDecodeError:
            continue
    return raw.decode("latin-1")


def unreadable(path: Path) -> FileReadError:
    """The error for a DICOM file that cannot be decoded."""
    return FileReadError(
        f"Folder {path.parent}: file {path.name} is truncated or damaged. Copy or export the series again."
    )
