"""One result on disk: volume, transform, pictures and side-car, moved into place together and recognized later."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import FileWriteError
from ..core.progress import Monitor
from ..image.volume import Volume
from ..io import check_output, report_path
from ..io.files import replaced_together
from ..io.formats import write_image
from ..io.itk import TO_LPS
from ..pipeline.result import Result
from .naming import label, picture_output, transform_output
from .pictures import before_after, edges
from .plan import Image
from .provenance import sha256_of, software
from .recipe import Recipe
from .records import make_folder

KEY = "MultiContrastSR"  # of our part of a side-car


def finished(output: Path, image: Image, fingerprint: str) -> dict[str, Any] | None:
    """The side-car of a result that was made with this fingerprint and is whole; None where there is none."""
    place = output / image.output
    sidecar = read_sidecar(place)
    if sidecar is None or sidecar[KEY].get("Fingerprint") != fingerprint:
        return None
    try:
        files = dict(sidecar[KEY]["Files"])
        whole = place.name in {Path(name).name for name in files} and all(
            sha256_of(output / name) == digest for name, digest in files.items()
        )
    except (OSError, KeyError, TypeError, ValueError):
        return None
    return sidecar if whole else None


def read_sidecar(place: Path) -> dict[str, Any] | None:
    """The side-car of the result at `place`; None where there is none of ours."""
    try:
        found = json.loads(report_path(place).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and isinstance(found.get(KEY), dict) else None


def write(
    output: Path,
    image: Image,
    recipe: Recipe,
    result: Result,
    volume: Volume,
    inputs: Sequence[Mapping[str, object]],
    weights: Sequence[str],
    fingerprint: str,
    bids: bool,
    monitor: Monitor,
) -> dict[str, Any]:
    """Write a result and all that belongs to it.

    The side-car, which holds the hashes of the other files, is moved into place last: a run that is killed between the
    moves leaves a result that `finished` does not accept.

    Args:
        output: the output folder.
        result: of the pipeline; `volume` is its image on the grid that the recipe asks for.
        inputs, weights, fingerprint: see `provenance`.
        bids: whether inputs are named by BIDS URIs.

    Returns:
        The side-car.

    Raises:
        FileWriteError: no space, not writable, or an output that is not ours. Nothing is left behind.
        CancelledError: likewise.
    """
    place = output / image.output
    target, reference = result.prepared.target, result.prepared.reference
    parts: dict[str, bytes | str] = {picture_output(image.output, "before-after"): before_after(target, result.volume)}
    if reference is not None:
        parts[picture_output(image.output, "edges")] = edges(target, reference)
        parts |= _transform(image, result, bids)
    names = [image.output, *parts]
    for name in names:
        make_folder((output / name).parent)
    scans = [scan.path for scan in (image.target, image.reference) if scan is not None]
    check_output(place, tuple(scans))
    if report_path(place).exists() and read_sidecar(place) is None:
        raise FileWriteError(
            f"Side-car {report_path(place)} was not written by this program; expected none, or one of an earlier "
            "result. Choose another output folder."
        )
    with replaced_together(*(output / name for name in names), report_path(place)) as partial:
        write_image(volume, partial[0], ".nii.gz", monitor)
        for path, content in zip(partial[1:-1], parts.values(), strict=True):
            path.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
        files = {name: sha256_of(path) for name, path in zip(names, partial[:-1], strict=True)}
        sidecar = _sidecar(image, recipe, result, inputs, bids)
        sidecar[KEY] |= {"WeightsSHA256": list(weights), "Fingerprint": fingerprint, "Files": files}
        partial[-1].write_text(json.dumps(sidecar, indent=2) + "\n", encoding="utf-8")
    return sidecar


def _sidecar(
    image: Image, recipe: Recipe, result: Result, inputs: Sequence[Mapping[str, object]], bids: bool
) -> dict[str, Any]:
    report: dict[str, Any] = result.report.as_dict()
    del report["times"]  # and no date: equal inputs make equal files
    spacing = " × ".join(f"{s:.3g}" for s in report["spacing"])
    prefix = "bids:raw:" if bids else ""
    sidecar: dict[str, Any] = {
        "Description": f"{image.target.contrast} super-resolved by MultiContrastSR, method {result.report.made_by}.",
        "Resolution": f"{spacing} mm (slices × rows × columns)",
        "SkullStripped": False,
        "Sources": [f"{prefix}{each['path']}" for each in inputs],
    }
    if recipe.grid == "reference" and image.reference is not None:
        sidecar["SpatialReference"] = f"{prefix}{image.reference.relative}"
    ours = {"Inputs": list(inputs), "Recipe": recipe.as_dict(), "Software": software(), "Report": report}
    return {**sidecar, KEY: ours}


def _transform(image: Image, result: Result, bids: bool) -> dict[str, str]:
    """The registration as a file that ITK, ANTs and Slicer read, and its side-car."""
    matrix = result.report.alignment.get("transform_ras")
    if matrix is None or image.reference is None:
        return {}
    name = transform_output(image.output, image.target, image.reference)
    # the report's matrix moves the reference onto the target; resampling maps the target's points to the reference's
    points = TO_LPS @ np.linalg.inv(np.array(matrix)) @ TO_LPS
    numbers = " ".join(f"{value:.12g}" for value in [*points[:3, :3].ravel(), *points[:3, 3]])
    text = (
        "#Insight Transform File V1.0\n#Transform 0\nTransform: AffineTransform_double_3_3\n"
        f"Parameters: {numbers}\nFixedParameters: 0 0 0\n"
    )
    prefix = "bids:raw:" if bids else ""
    sidecar = {
        "Description": "Rigid registration; identity where none was applied.",
        "FromFile": f"{prefix}{image.reference.relative}",
        "ToFile": f"{prefix}{image.target.relative}",
        "From": label(image.reference.contrast),
        "To": label(image.target.contrast),
        "Type": "rigid",
        "Units": "mm",
        "RegisteredRAS": np.array(matrix).tolist(),
    }
    return {name: text, f"{name[: -len('.txt')]}.json": json.dumps(sidecar, indent=2) + "\n"}
