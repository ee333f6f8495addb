"""Sentences about the inputs and the requested result that the user should weigh. They never stop a run."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..image.grid import Grid, spacing_along
from ..image.kind import kind_warning
from ..image.volume import Volume

_TOLERANCE = 1.02  # of spacings: less is the rounding of shapes to whole samples
_CLEARLY = 1.1  # by which a reference must be coarser to look like the scan that was meant as the target
_MAX_RELIABLE_SCALE = 4.0


def input_warnings(target: Volume, reference: Volume | None) -> list[str]:
    """What speaks against these inputs: no scans, one image twice, scans swapped, scans of different patients."""
    kind = kind_warning(target.array, target.metadata, target.name or "The target")
    if reference is None:
        return [kind] if kind else []
    names = target.name or "The target", reference.name or "the reference"
    found = [
        kind,
        kind_warning(reference.array, reference.metadata, reference.name or "The reference"),
        same_image_warning(target, reference),
        swap_warning(target.grid, reference.grid, *names),
        patient_warning(target.metadata, reference.metadata, *names),
    ]
    return [sentence for sentence in found if sentence]


def same_image_warning(target: Volume, reference: Volume) -> str | None:
    """A sentence where both volumes hold the same voxels."""
    if not np.array_equal(target.array, reference.array):
        return None
    return (
        f"{target.name or 'The target'} and {reference.name or 'the reference'} are the same image, which adds "
        "nothing. Choose a sharper scan of another contrast as the reference."
    )


def swap_warning(target: Grid, reference: Grid, target_name: str, reference_name: str) -> str | None:
    """A sentence where the reference is coarser than the target along some axes, and finer along none."""
    pairs = list(zip(spacing_along(reference, target), target.spacing, strict=True))
    if any(theirs < mine / _TOLERANCE for theirs, mine in pairs) or all(
        theirs <= _CLEARLY * mine for theirs, mine in pairs
    ):
        return None
    theirs, mine = max(pairs, key=lambda pair: pair[0] / pair[1])
    return (
        f"The reference {reference_name} is coarser than the target {target_name} ({theirs:.3g} mm, the target "
        f"{mine:.3g} mm). Were they swapped?"
    )


def patient_warning(
    target: Mapping[str, object], reference: Mapping[str, object], target_name: str, reference_name: str
) -> str | None:
    """A sentence where the patients' names or IDs in the metadata of two volumes differ; they are not quoted."""
    kinds = {"patient_name": "names", "patient_id": "IDs"}
    texts = [[_plain(metadata.get(key)) for key in kinds] for metadata in (target, reference)]
    differing = [kind for kind, *pair in zip(kinds.values(), *texts, strict=True) if all(pair) and len(set(pair)) > 1]
    if not differing:
        return None
    return (
        f"The patients' {' and '.join(differing)} in the DICOM headers of {target_name} and {reference_name} differ. "
        "Make sure that both are scans of one patient."
    )


def _plain(text: object) -> str:
    """A name or ID without case, and without the separators of DICOM's parts of names."""
    return " ".join(str(text or "").replace("^", " ").casefold().split())


def result_warnings(target: Grid, result: Grid) -> list[str]:
    """What a result on the grid `result` loses, or cannot give, compared with the scan on `target`."""
    pairs = list(zip(spacing_along(result, target), target.spacing, strict=True))
    warnings = []
    coarser = [
        (new, old)
        for axis, (new, old) in enumerate(pairs)
        if axis != target.slice_axis and target.shape[axis] > 1 and new > _TOLERANCE * old
    ]
    if coarser:
        new, old = max(coarser, key=lambda pair: pair[0] / pair[1])
        where = "" if target.slice_axis is None else " in plane"
        warnings.append(
            f"The result is coarser{where} than the scan ({new:.3g} mm, the scan {old:.3g} mm) and loses detail that "
            f"was acquired. Choose a spacing of at most {min(old for _, old in coarser):.3g} mm to keep it."
        )
    scale = max(old / new for new, old in pairs)
    if scale > _TOLERANCE * _MAX_RELIABLE_SCALE:
        warnings.append(
            f"The result is up to {scale:.3g} times as fine as the scan. Beyond {_MAX_RELIABLE_SCALE:g} times, no "
            "method recovers fine structures reliably."
        )
    return warnings
