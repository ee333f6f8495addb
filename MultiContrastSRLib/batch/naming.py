"""Names of results: BIDS derivatives of a BIDS dataset, and the target's name with an ending in a plain layout."""

from __future__ import annotations

import re

from .recipe import Recipe
from .scans import Scan

# entities that follow the ones of a raw image, in the order of the BIDS specification
_LAST = ("space", "res", "desc")


def bids_output(recipe: Recipe, target: Scan, reference: Scan | None, folder: str) -> str:
    """Path of the result of `target` below the output folder.

    >>> from pathlib import Path
    >>> scan = Scan(Path("a"), "T2w", "sub-1/anat/sub-1_run-2_T2w.nii.gz", {"sub": "1", "run": "2"}, "T2w")
    >>> bids_output(Recipe(("T2w",), spacing=0.5), scan, None, "sub-1")
    'sub-1/anat/sub-1_run-2_res-0p5mm_desc-sr_T2w.nii.gz'
    """
    entities = {key: value for key, value in target.entities.items() if key not in _LAST}
    if recipe.grid == "reference" and reference is not None:
        entities["space"] = label(reference.contrast)
    entities |= {"res": recipe.resolution_label, "desc": "sr"}
    stem = "_".join([*(f"{key}-{value}" for key, value in entities.items()), target.suffix])
    return f"{folder}/anat/{stem}.nii.gz"


def plain_output(recipe: Recipe, target: Scan, reference: Scan | None, folder: str) -> str:
    """Path of the result of `target` below the output folder: "name/T2_res-1mm_sr.nii.gz"."""
    return f"{folder}/{target.contrast}_res-{recipe.resolution_label}_sr.nii.gz"


def label(contrast: str) -> str:
    """A contrast as the value of an entity: letters and digits.

    >>> label("acq-mprage_T1w")
    'acqmprageT1w'
    """
    return re.sub(r"[^A-Za-z0-9]", "", contrast)


def transform_output(output: str, target: Scan, reference: Scan) -> str:
    """Path of the transform that resamples `reference` on the target, beside the result at `output`."""
    stem = output.rpartition("_")[0]  # all but the suffix
    return f"{stem}_from-{label(reference.contrast)}_to-{label(target.contrast)}_mode-image_xfm.txt"


def picture_output(output: str, kind: str) -> str:
    """Path of a picture of the result at `output`: `kind` is "before-after" or "edges"."""
    folder, _, name = output.removesuffix(".nii.gz").rpartition("/")
    return f"{folder.removesuffix('/anat')}/figures/{name}_{label(kind)}.png"
